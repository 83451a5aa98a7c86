"""The checked-in stub describes the compiled core."""

import importlib.util
from pathlib import Path

TOOL = Path(__file__).resolve().parent.parent / "tools" / "stubs.py"


def load_tool():
    spec = importlib.util.spec_from_file_location("stubs", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_stub_is_current():
    stubs = load_tool()
    fresh = stubs.signatures(stubs.generate())
    assert ("set_workers", "workers") in fresh
    assert stubs.signatures(stubs.TARGET.read_text()) == fresh, "run `python tools/stubs.py`"


def test_signatures_see_every_difference():
    signatures = load_tool().signatures
    same = "def f(a: int, b: float = 2.0) -> int: ..."
    assert signatures(same) == signatures("def f(a: str, b: int = 2.0) -> None: ...")
    for other in ("def g(a, b=2.0): ...", "def f(a, c=2.0): ...", "def f(a, b): ...", "f: int"):
        assert signatures(other) != signatures(same)
    nested = "class area:\n    @staticmethod\n    def f(a, b=2.0): ..."
    assert ("area.f", "a, b=2.0") in signatures(nested)
