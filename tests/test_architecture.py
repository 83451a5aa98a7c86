"""Who may know what: the rooms of the library, read from includes and imports.

Every rule is a function from a file to its violations, so that the rules are tested too.
"""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "cpp" / "include" / "kexue" / "core"
FRAMEWORKS = {"cupy", "dask", "jax", "pandas", "sklearn", "tensorflow", "torch"}
ADAPTERS = {"dask", "jax", "sklearn", "torch"}
# Bindings that are a part of an area of another name.
PARTS = {
    "column_row": "lowrank",
    "emo": "transport",
    "products": "lowrank",
    "projections": "simplex",
    "selection": "lowrank",
    "sinkhorn": "transport",
    "tokenizer": "lattice",
    "training": "lattice",
    "vocabulary": "lattice",
}
# fmt: off
C_PLUS_PLUS = {
    "algorithm", "any", "array", "atomic", "bit", "bitset", "cfenv", "cfloat", "charconv",
    "chrono", "climits", "cmath", "compare", "complex", "concepts", "condition_variable",
    "cstddef", "cstdint", "cstdio", "cstdlib", "cstring", "deque", "exception", "functional",
    "initializer_list", "iomanip", "ios", "iosfwd", "iostream", "istream", "iterator", "limits",
    "list", "map", "memory", "memory_resource", "mutex", "new", "numbers", "numeric",
    "optional", "ostream", "queue", "random", "ratio", "semaphore", "set", "shared_mutex",
    "span", "sstream", "stack", "stdexcept", "streambuf", "string", "string_view",
    "system_error", "thread", "tuple", "type_traits", "typeindex", "typeinfo", "unordered_map",
    "unordered_set", "utility", "valarray", "variant", "vector", "version",
}
# fmt: on
# Constants, types, C functions: no function template that could be emitted as a wide copy.
# fmt: off
INTRINSICS = {"arm_neon.h", "immintrin.h"}
KERNEL_HEADERS = {
    "bit", "cfloat", "climits", "complex", "cstddef", "cstdint", "limits", "math.h", "numbers",
    "stddef.h", "stdint.h", "string.h", "type_traits",
} | INTRINSICS
# fmt: on
KERNEL_WORDS = {
    "an allocation": r"\b(new|malloc|calloc|realloc|aligned_alloc|make_unique)\b",
    "an exception": r"\b(throw|try|catch)\b",
    "a thread": r"\bstd::(thread|jthread|async|mutex|atomic)\b",
    "a container": r"\bstd::(vector|string|array|span|map|set|deque|function)\b",
}


def files(folder, *suffixes):
    """Files of the folder, however deep, that belong to the project."""
    found = sorted(path for path in (ROOT / folder).rglob("*") if path.suffix in suffixes)
    return [path for path in found if "__pycache__" not in path.parts]


def rooms():
    """The C++ areas."""
    return sorted(path.name for path in CORE.parent.iterdir() if path.is_dir() and path != CORE)


# C++


def without_comments(text):
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(\\.|[^"\\\n])*"', '""', text, flags=re.DOTALL)


def includes(text):
    return re.findall(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', text, flags=re.MULTILINE)


def header_violations(room, text):
    """A header of `kexue/<room>` knows the standard library, `core` and its own room."""
    for name in includes(text):
        known = name in C_PLUS_PLUS or name.startswith(("kexue/core/", f"kexue/{room}/"))
        if not known:
            yield f"kexue/{room} includes {name}"


def kernel_violations(text):
    """A kernel knows pointers and sizes: nothing that is allocated, thrown, locked or shared."""
    for name in includes(text):
        if name.startswith("kexue/") or name.endswith(".hpp"):
            continue  # the declaration of its table, and helpers beside it
        if name not in KERNEL_HEADERS:
            yield f"a kernel includes {name}"
    code = without_comments(text)
    for what, words in KERNEL_WORDS.items():
        if match := re.search(words, code):
            yield f"a kernel has {what}: {match[0]}"


def python_violations(text):
    """Only bindings know Python."""
    for name in includes(text):
        if name.startswith(("pybind11", "numpy/")) or name == "Python.h":
            yield f"a file outside cpp/bindings includes {name}"


def intrinsic_violations(text):
    """Only kernels name instructions; isa.cpp asks the processor which it has."""
    for name in includes(text):
        if name in INTRINSICS:
            yield f"a file outside the kernels includes {name}"


def binding_violations(areas, stem, text):
    """A binding knows the views and its own area, and computes nothing."""
    area = stem.removeprefix("bind_")
    area = PARTS.get(area, area)
    for name in includes(text):
        other = re.match(r"kexue/(\w+)/", name)
        if other and other[1] not in ("core", area):
            yield f"{stem} includes {name}"
    if stem == "views":
        for name in includes(text):
            if not (name in C_PLUS_PLUS or name.startswith(("pybind11/", "kexue/core/"))):
                yield f"views includes {name}"
    elif area in areas and re.search(r"\b(for|while)\s*\(", without_comments(text)):
        yield f"{stem} has a loop"


# Python


def imports(text, *, top_level):
    """The dotted names a module imports; with `top_level`, only those run by importing it."""
    found = []

    def visit(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = "." * child.level + (child.module or "")
                base += "" if base.endswith(".") else "."
                found.extend(base + alias.name for alias in child.names)
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                if not top_level:
                    visit(child)
            elif not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
                visit(child)

    visit(ast.parse(text))
    return found


def package(name):
    return name.lstrip(".").partition(".")[0]


def is_standard(name):
    return package(name) in sys.stdlib_module_names


def module_violations(path, text):
    """What a module of kexue_num may import; `path` is relative to the package."""
    area = path.parts[0].removesuffix(".py")
    at_import = imports(text, top_level=True)
    everywhere = imports(text, top_level=False)
    for name in everywhere:
        if name.startswith("."):
            yield f"{path} imports relatively: {name}"
    if path.name == "_validation.py":
        allowed = {"numpy"}
    elif area in ADAPTERS:
        allowed = {"numpy", "kexue_num", area}
    else:
        allowed = {"numpy", "kexue_num"}
    for name in at_import:
        if not is_standard(name) and package(name) not in allowed:
            yield f"{path} imports {name}"
    if area not in ADAPTERS and area != "_tour":
        for name in everywhere:
            if package(name) in FRAMEWORKS:
                yield f"{path} imports {name}"
    if not area.startswith("_"):
        for name in everywhere:
            yield from _foreign_names(path, area, name)


def _foreign_names(path, area, name):
    """Private names that belong to another area than `area`."""
    parts = name.split(".")
    if parts[0] != "kexue_num" or len(parts) < 3 or parts[1].startswith("_") or parts[1] == area:
        return
    if any(part.startswith("_") for part in parts[2:]):
        yield f"{path} imports {name}"


def core_area_violations(path, areas, text):
    """An area calls its own part of the compiled core and no other."""
    area = path.parts[0].removesuffix(".py")
    if not area.startswith("_"):
        for name in re.findall(r"\b_core\.(\w+)\.", text):
            if name in areas and name != area:
                yield f"{path} calls _core.{name}"


def oracle_violations(text):
    """An oracle cannot lean on what it judges."""
    for name in imports(text, top_level=False):
        if not is_standard(name) and package(name) not in ("numpy", "mpmath", "tests"):
            yield f"an oracle imports {name}"
        if name.startswith("tests.") and not name.startswith("tests.oracles"):
            yield f"an oracle imports {name}"


def benchmark_violations(text):
    """Benchmarks measure what users call."""
    for name in imports(text, top_level=False):
        if re.match(r"kexue_num\.(\w+\.)*_", name):
            yield f"a benchmark imports {name}"
    if re.search(r"\b_core\b", text):
        yield "a benchmark names _core"


# The rules hold


@pytest.mark.parametrize("room", ["core", *rooms()])
def test_headers(room):
    headers = files(f"cpp/include/kexue/{room}", ".hpp")
    assert headers
    violations = [(path.name, v) for path in headers for v in header_violations(room, read(path))]
    assert violations == []


def test_kernels():
    kernels = files("cpp/src/kernels", ".cpp", ".hpp")
    assert kernels
    assert [(path.name, v) for path in kernels for v in kernel_violations(read(path))] == []


def test_only_bindings_know_python():
    outside = [path for path in files("cpp", ".hpp", ".cpp") if path.parent.name != "bindings"]
    assert outside
    assert [(path.name, v) for path in outside for v in python_violations(read(path))] == []


def test_only_kernels_know_instructions():
    known = {ROOT / "cpp/src/isa.cpp", *files("cpp/src/kernels", ".cpp", ".hpp")}
    outside = [path for path in files("cpp", ".hpp", ".cpp") if path not in known]
    assert [(path.name, v) for path in outside for v in intrinsic_violations(read(path))] == []


def test_bindings():
    bindings = files("cpp/bindings", ".hpp", ".cpp")
    assert {"views", "module", "bind_core"} <= {path.stem for path in bindings}
    violations = [
        v for path in bindings for v in binding_violations(rooms(), path.stem, read(path))
    ]
    assert violations == []
    assert len(read(ROOT / "cpp/bindings/module.cpp").splitlines()) <= 60


def test_modules():
    base = ROOT / "kexue_num"
    modules = files("kexue_num", ".py")
    assert base / "_validation.py" in modules
    violations = [
        violation
        for path in modules
        for found in (
            module_violations(path.relative_to(base), read(path)),
            core_area_violations(path.relative_to(base), rooms(), read(path)),
        )
        for violation in found
    ]
    assert violations == []


def test_oracles():
    oracles = files("tests/oracles", ".py")
    assert [(path.name, v) for path in oracles for v in oracle_violations(read(path))] == []


def test_benchmarks():
    """But for the elementary functions, which only kernels call."""
    benchmarks = [path for path in files("benchmarks", ".py") if path.name != "elementary.py"]
    assert [(path.name, v) for path in benchmarks for v in benchmark_violations(read(path))] == []


def test_every_area_has_its_tests():
    for room in rooms():
        assert files(f"tests/{room}", ".py"), f"{room} has no tests"
        assert (ROOT / "cpp/bindings" / f"bind_{room}.cpp").is_file()


def test_files_stay_readable():
    for path in files("kexue_num", ".py"):
        assert len(read(path).splitlines()) <= 400, f"{path} is too long: make it a package"
    for path in files("cpp", ".hpp", ".cpp"):
        assert len(read(path).splitlines()) <= 400, f"{path} is too long: split it"
    for folder in ("cpp", "kexue_num", "tests", "benchmarks", "tools"):
        for path in files(folder, ".py", ".hpp", ".cpp"):
            for number, line in enumerate(read(path).splitlines(), 1):
                assert len(line) <= 100, f"{path}:{number} is longer than 100 characters"
                assert not line.endswith((" ", "\t")), f"{path}:{number} has trailing blanks"


def test_nothing_is_left_for_later():
    # The words are put together here so that this file does not contain them.
    words = "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"])
    for folder in ("cpp", "kexue_num", "tests", "benchmarks", "tools"):
        for path in files(folder, ".py", ".hpp", ".cpp"):
            match = re.search(rf"\b({words})\b", read(path))
            assert match is None, f"{path} has a {match[0]}"


def test_builds_are_portable():
    text = re.sub(r"#[^\n]*", "", read(ROOT / "CMakeLists.txt"))
    for flag in ("-march=native", "-ffast-math", "/fp:fast", "-flto", "target_clones", "OpenMP"):
        assert flag not in text


def read(path):
    return path.read_text(encoding="utf-8")


# The rules can fail


def test_rules_for_includes():
    assert not list(header_violations("core", '#include <span>\n#include "kexue/core/a.hpp"'))
    assert not list(header_violations("a", '#include "kexue/core/b.hpp"\n#include "kexue/a/c.hpp"'))
    for name in ("kexue/b/c.hpp", "pybind11/numpy.h", "Python.h", "cblas.h", "immintrin.h"):
        assert list(header_violations("a", f'#include "{name}"'))
    assert list(header_violations("core", '#include "kexue/a/b.hpp"'))
    for name in ("vector", "algorithm", "cmath", "thread", "pybind11/pybind11.h"):
        assert list(kernel_violations(f"#  include <{name}>"))
    for code in ("new int", "std::malloc(3)", "throw 1;", "std::vector<int> v;", "std::thread t;"):
        assert list(kernel_violations(code))
    assert not list(kernel_violations('// throw new std::vector\nf("try");\n#include <cstddef>'))
    assert list(python_violations("#include <pybind11/pybind11.h>"))
    assert list(python_violations("#include <Python.h>"))
    assert list(intrinsic_violations("#include <immintrin.h>"))
    assert list(binding_violations(["a", "b"], "bind_a", '#include "kexue/b/c.hpp"'))
    assert list(binding_violations(["a", "b"], "bind_a", "for (int i = 0;;) {}"))
    assert list(binding_violations(["a", "b"], "views", '#include "kexue/a/c.hpp"'))
    assert not list(binding_violations(["a"], "bind_a", '#include "kexue/a/c.hpp"\n// for (x)'))


def test_rules_for_imports():
    def module(name, text):
        return list(module_violations(Path(name), text))

    assert not module("a.py", "import os, numpy as np\nfrom kexue_num import _core, _validation")
    assert not module("a/_b.py", "def f():\n    import scipy.linalg")
    assert not module("a/_b.py", "from kexue_num.a import _c\nfrom kexue_num.b import public")
    assert not module("torch.py", "import torch")
    assert not module("_tour/a.py", "def f():\n    from sklearn import datasets")
    assert module("_validation.py", "from kexue_num import _core")
    assert module("_validation.py", "import kexue_num._core")
    assert module("a.py", "import scipy")
    assert module("a.py", "try:\n    from scipy import linalg\nexcept ImportError: pass")
    assert module("a.py", "class A:\n    import scipy")
    assert module("a.py", "def f():\n    import torch")
    assert module("_config.py", "def f():\n    import torch")
    assert module("torch.py", "import jax")
    assert module("_tour/a.py", "import sklearn")
    assert module("a.py", "from kexue_num.b import _c")
    assert module("a.py", "def f():\n    import kexue_num.b._c")
    assert module("a.py", "from . import b")
    assert list(core_area_violations(Path("a.py"), ["a", "b"], "_core.b.f(x)"))
    assert not list(core_area_violations(Path("a.py"), ["a", "b"], "_core.a.f(_core.random.g())"))
    assert list(oracle_violations("import kexue_num.lowrank"))
    assert list(oracle_violations("def f():\n    from scipy import linalg"))
    assert list(oracle_violations("from tests import strategies"))
    assert not list(oracle_violations("import math, mpmath, fractions, numpy"))
    assert list(benchmark_violations("from kexue_num import _core"))
    assert list(benchmark_violations("import kexue_num.lowrank._norms"))
    assert list(benchmark_violations("import kexue_num\nkexue_num._core.f()"))
    assert not list(benchmark_violations("from kexue_num import lowrank"))
