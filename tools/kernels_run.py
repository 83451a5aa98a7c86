#!/usr/bin/env python
"""Whether the tests ran every kernel function on every instruction set of this machine (GCC).

    python tools/kernels_run.py BUILD ISA...

BUILD is a directory configured with -DKEXUE_COVERAGE=ON, after the tests. Prints the functions of
the kernels' objects that did not run, with the instruction sets they did not run on, and fails if
there are any.
"""

import json
import subprocess
import sys
from pathlib import Path


def runs(object_notes: Path, isa: str) -> dict[tuple[str, int, str], int]:
    """How often each function of our own files ran: by file, line and name without the ISA."""
    command = ["gcov", "--json-format", "--stdout", "--demangled-names"]
    notes = object_notes.resolve()
    found = subprocess.run([*command, notes], capture_output=True, check=True, cwd=notes.parent)
    counts: dict[tuple[str, int, str], int] = {}
    for file in json.loads(found.stdout)["files"]:
        if "/cpp/" not in f"/{file['file']}":
            continue
        for function in file["functions"]:
            # Lambdas' arguments name the vectors, whose lengths differ.
            name = function["demangled_name"].replace(f"{isa}::", "").partition("::{lambda")[0]
            key = (Path(file["file"]).name, function["start_line"], name)
            counts[key] = counts.get(key, 0) + function["execution_count"]
    return counts


def main() -> int:
    build, *isas = sys.argv[1:]
    idle: dict[tuple[str, int, str], set[str]] = {}
    for isa in isas:
        objects = sorted(Path(build).glob(f"CMakeFiles/kexue_kernels_{isa}.dir/**/*.cpp.gcno"))
        if not objects:
            sys.exit(f"{build} holds no kernels for {isa}")
        for notes in objects:
            for key, count in runs(notes, isa).items():
                if count == 0:
                    idle.setdefault(key, set()).add(isa)
    for (file, line, name), where in sorted(idle.items()):
        print(f"{file}:{line}: not run on {', '.join(sorted(where))}: {name}")
    print(f"{len(idle)} kernel functions were not run on some of {', '.join(isas)}")
    return 1 if idle else 0


if __name__ == "__main__":
    sys.exit(main())
