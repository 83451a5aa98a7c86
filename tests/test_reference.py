"""The reference holds every public name, and every public name says what it is."""

import importlib
import inspect
from pathlib import Path

import pytest

import kexue_num

ROOT = Path(__file__).parents[1]
MODULES = (
    "kexue_num.density",
    "kexue_num.interpolative",
    "kexue_num.lattice",
    "kexue_num.lattice.trellis",
    "kexue_num.lowrank",
    "kexue_num.simplex",
    "kexue_num.transport",
)


def public_packages():
    """The folders below kexue_num whose names have no underscore."""
    for path in (ROOT / "kexue_num").rglob("__init__.py"):
        parts = path.parent.relative_to(ROOT).parts
        if len(parts) > 1 and not any(part.startswith("_") for part in parts):
            yield ".".join(parts)


def test_every_public_module_is_in_the_reference():
    text = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
    assert sorted(public_packages()) == sorted(MODULES)
    for module in MODULES:
        assert f".. automodule:: {module}\n   :members:" in text
    for name in kexue_num.__all__:
        if not inspect.ismodule(getattr(kexue_num, name)) and name != "__version__":
            assert f":: kexue_num.{name}\n" in text, name


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_documented(module):
    names = importlib.import_module(module)
    assert names.__doc__
    assert names.__all__
    missing = []
    for name in names.__all__:
        found = getattr(names, name)
        if inspect.ismodule(found):
            continue
        if not (callable(found) and inspect.getdoc(found)):
            missing.append(name)
        if not inspect.isclass(found):
            continue
        for member, value in vars(found).items():
            shown = inspect.isfunction(value) or isinstance(value, (property, classmethod))
            if shown and not member.startswith("_"):
                text = inspect.getdoc(getattr(found, member))
                if not text:
                    missing.append(f"{name}.{member}")
    assert not missing
