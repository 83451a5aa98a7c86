"""Command line: `python -m benchmarks [area ...]`, and what to do with the JSON files of runs.

`python -m benchmarks compare OLD NEW`, `... history DIR` and `... table FILE`.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import kexue_num
from benchmarks._case import Case
from benchmarks._documents import (
    compare,
    document,
    history,
    history_file,
    read_json,
    write_json,
)
from benchmarks._report import format_case, format_floors, write_figures
from benchmarks._runner import FULL, QUICK, CaseResult, run_case
from benchmarks._table import insert, render
from benchmarks.limits import describe, measure_limits

# The modules of each area.
AREAS = {
    "lowrank": ("lowrank", "selections"),
    "simplex": ("simplex", "projections"),
    "density": ("density", "marron_wand"),
    "lattice": ("lattice", "tokenizer", "training"),
    "transport": ("exact", "sinkhorn", "emo"),
    "core": ("elementary",),
}
# The areas whose floors are stated for one thread; the others take all.
ONE_THREAD = ("simplex", "density", "lattice", "core")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks or read the files of runs; return the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    commands = {"compare": _compare, "history": _history, "table": _table}
    if arguments and arguments[0] in commands:
        return commands[arguments[0]](arguments[1:])
    return _run(arguments)


def _compare(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks compare")
    parser.add_argument("old", type=Path, metavar="OLD", help="JSON file of the earlier run")
    parser.add_argument("new", type=Path, metavar="NEW", help="JSON file of the later run")
    options = parser.parse_args(arguments)
    print(compare(read_json(options.old), read_json(options.new)))
    return 0


def _history(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks history")
    parser.add_argument("folder", type=Path, metavar="DIR", help="where --history put its files")
    parser.add_argument("--case", metavar="PATTERN", default="*", help="only cases like this")
    options = parser.parse_args(arguments)
    print(history(options.folder, _wildcards(options.case)))
    return 0


def _table(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks table")
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON file of a run")
    parser.add_argument(
        "--into", type=Path, metavar="README", help="replace the table of this file; default: print"
    )
    options = parser.parse_args(arguments)
    table = render(read_json(options.file))
    if options.into is None:
        print(table)
    else:
        insert(table, options.into)
        print(f"wrote {options.into}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Run every case through kexue_num and each peer, alternating in one process.",
        epilog="python -m benchmarks compare OLD NEW, history DIR and table FILE [--into README] "
        "read JSON files; each has a --help.",
    )
    parser.add_argument(
        "areas", nargs="*", metavar="area", help=f"of {', '.join(AREAS)}; default: all"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, under 30 seconds")
    parser.add_argument("--case", metavar="PATTERN", default="*", help="only cases like this")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads on both sides, in every case"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    parser.add_argument("--history", type=Path, metavar="DIR", help="add a dated JSON file there")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="write one figure per area")
    return parser


def _run(arguments: Sequence[str]) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    for area in options.areas:
        if area not in AREAS:
            parser.error(f"unknown area {area!r}: expected one of {', '.join(AREAS)}")
    if options.threads is not None and options.threads < 1:
        parser.error(f"--threads must be at least 1, got {options.threads}")
    selected = {area: _select(area, options.quick, options.case) for area in options.areas or AREAS}
    if not any(selected.values()):
        parser.error(f"no case matches {options.case!r}; see --list")
    if options.list:
        for chosen in selected.values():
            print("\n".join(case.name for case in chosen))
        return 0

    files = [options.json] if options.json is not None else []
    if options.history is not None:
        files.append(history_file(options.history))
    results = _measure(selected, options.threads, quick=options.quick, files=files)
    if options.figures is not None:
        for area, measured in results.items():
            if all(result.failure is not None for result in measured):
                continue
            print(f"wrote {write_figures(options.figures, area, measured)}")
    failed = any(result.failure is not None for measured in results.values() for result in measured)
    return 1 if failed else 0


def _wildcards(pattern: str) -> str:
    """Return a pattern as it is, or made to match a part if it has no wildcard."""
    return pattern if any(character in pattern for character in "*?[") else f"*{pattern}*"


def _select(area: str, quick: bool, pattern: str) -> list[Case]:
    """Return the cases of an area that match; a pattern without wildcards matches a part."""
    pattern = _wildcards(pattern)
    modules = (importlib.import_module(f"benchmarks.{name}") for name in AREAS[area])
    cases = (case for module in modules for case in module.cases(quick))
    return [case for case in cases if fnmatch.fnmatchcase(case.name, pattern)]


def _measure(
    selected: dict[str, list[Case]], threads: int | None, *, quick: bool, files: list[Path]
) -> dict[str, list[CaseResult]]:
    everywhere = kexue_num.get_workers()
    limits = {
        count: measure_limits(count, gemm_size=1024 if quick else 2048)
        for count in sorted({1, threads or everywhere})
    }
    print(describe(list(limits.values())))
    results: dict[str, list[CaseResult]] = {}
    for area, chosen in selected.items():
        results[area] = []
        for case in chosen:
            count = threads or (1 if area in ONE_THREAD and not case.all_threads else everywhere)
            result = run_case(case, limits[count], QUICK if quick else FULL)
            results[area].append(result)
            print("\n" + format_case(result), flush=True)
            # After every case: whatever happens later, this is kept.
            content = document(results, list(limits.values()), quick=quick)
            for file in files:
                write_json(file, content)
    everything = [result for measured in results.values() for result in measured]
    if any(result.floor for result in everything):
        print("\n" + format_floors(everything))
    for file in files:
        print(f"\nwrote {file}")
    return results


if __name__ == "__main__":
    sys.exit(main())
