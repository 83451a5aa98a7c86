"""Writes kexue_num/_core.pyi from the compiled core: python tools/stubs.py.

pybind11-stubgen describes a submodule in a file of its own; here each becomes a class of static
methods in the one stub, because a folder `kexue_num/_core/` would hide a missing core from Python.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "kexue_num" / "_core.pyi"
HEADER = "# Written by tools/stubs.py from the compiled core; do not edit.\n"
# The generator follows the public name of the exception back to kexue_num; it is defined here.
NUMERICAL_ERROR = "class NumericalError(ArithmeticError): ..."
BARE = {
    "tuple": "tuple[typing.Any, ...]",
    "list": "list[typing.Any]",
    "dict": "dict[str, typing.Any]",
}


def generate() -> str:
    """The stub of the installed core, before formatting."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", "-m", "pybind11_stubgen", "kexue_num._core", "-o", folder]
        subprocess.run(
            [*command, "--numpy-array-use-type-var"], check=True, capture_output=True, cwd=folder
        )
        package = Path(folder, "kexue_num", "_core")
        top = package / "__init__.pyi" if package.is_dir() else package.with_suffix(".pyi")
        imports, body = _split(top.read_text())
        for file in sorted(package.glob("*.pyi")):
            if file != top:
                more_imports, inner = _split(file.read_text())
                imports |= more_imports
                body.append(_as_class(file.stem, inner))
    imports.add("import typing")
    statements = [ast.parse(text).body[0] for text in sorted(imports)]
    error = ast.parse(NUMERICAL_ERROR).body
    module = ast.Module(body=[*statements, *error, *body], type_ignores=[])
    return HEADER + ast.unparse(ast.fix_missing_locations(module)) + "\n"


def _split(source: str) -> tuple[set[str], list[ast.stmt]]:
    """Imports as text, and what is left without docstrings, `__all__` and values."""
    imports: set[str] = set()
    body: list[ast.stmt] = []
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            text = ast.unparse(statement)
            if not text.startswith(("from __future__", "from kexue_num", "from .")):
                imports.add(text)
        elif isinstance(statement, ast.AnnAssign):
            if ast.unparse(statement.target) != "__all__":
                statement.value = None
                body.append(statement)
        elif not isinstance(statement, ast.Expr):
            _tidy(statement)
            body.append(statement)
    return imports, body


def _tidy(statement: ast.stmt) -> None:
    """Drops docstrings and says what pybind11 leaves open: tuples and dictionaries of anything."""
    if isinstance(statement, ast.FunctionDef):
        statement.body = [ast.Expr(ast.Constant(...))]
        statement.returns = _complete(statement.returns)
        for argument in [*statement.args.args, *statement.args.kwonlyargs]:
            argument.annotation = _complete(argument.annotation)
    for child in getattr(statement, "body", []):
        _tidy(child)


def _complete(annotation: ast.expr | None) -> ast.expr | None:
    if isinstance(annotation, ast.Name) and annotation.id in BARE:
        return ast.parse(BARE[annotation.id], mode="eval").body
    return annotation


def _as_class(name: str, body: list[ast.stmt]) -> ast.ClassDef:
    for statement in body:
        if isinstance(statement, ast.FunctionDef):
            statement.decorator_list.insert(0, ast.Name("staticmethod"))
    inner = body or [ast.Expr(ast.Constant(...))]
    return ast.ClassDef(name=name, bases=[], keywords=[], body=inner, decorator_list=[])


def signatures(source: str) -> list[tuple[str, ...]]:
    """Names, parameters and defaults, without annotations.

    Annotations are left out of the comparison because they follow the version of pybind11.
    """
    found: list[tuple[str, ...]] = []

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for statement in body:
            if isinstance(statement, ast.FunctionDef):
                arguments = statement.args
                for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
                    argument.annotation = None
                found.append((prefix + statement.name, ast.unparse(arguments)))
            elif isinstance(statement, ast.AnnAssign):
                found.append((prefix + ast.unparse(statement.target),))
            elif isinstance(statement, ast.ClassDef):
                found.append((prefix + statement.name, *map(ast.unparse, statement.bases)))
                visit(statement.body, f"{prefix}{statement.name}.")

    visit(ast.parse(source).body, "")
    return sorted(found)


if __name__ == "__main__":
    TARGET.write_text(generate())
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", str(TARGET)], check=True)
