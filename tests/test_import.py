"""What `import kexue_num` loads, offers and says when it cannot work."""

import os
import pickle
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import kexue_num
from tests.interpreter import run

PACKAGE = Path(kexue_num.__file__).parent


def test_import_is_light():
    script = """
import sys
import numpy
before = set(sys.modules)
import kexue_num
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
    loaded = set(run(script).split())
    assert "kexue_num" in loaded
    assert loaded - {"kexue_num", "numpy"} <= sys.stdlib_module_names


@pytest.mark.parametrize("area", kexue_num._AREAS)
def test_areas_load_when_used(area):
    script = f"""
import sys
import kexue_num
assert "kexue_num.{area}" not in sys.modules and "{area}" in dir(kexue_num)
assert kexue_num.{area} is sys.modules["kexue_num.{area}"]
assert kexue_num.{area}.__all__
assert not [name for name in sys.modules if name == "scipy" or name.startswith("scipy.")]
"""
    run(script)


def test_public_names():
    assert set(kexue_num._AREAS) < set(kexue_num.__all__) <= set(dir(kexue_num))
    assert kexue_num.__all__ == sorted(kexue_num.__all__)
    for name in kexue_num.__all__:
        assert getattr(kexue_num, name) is not None
    with pytest.raises(AttributeError, match=r"^module 'kexue_num' has no attribute 'nothing'$"):
        _ = kexue_num.nothing


def test_version():
    assert kexue_num.__version__ == metadata.version("kexue_num")


@pytest.mark.parametrize(
    ("kind", "base"),
    [(kexue_num.NumericalError, ArithmeticError), (kexue_num.ConvergenceWarning, UserWarning)],
)
def test_errors_are_public_and_pickle(kind, base):
    assert issubclass(kind, base)
    assert kind.__module__ == "kexue_num"
    copy = pickle.loads(pickle.dumps(kind("reached 3")))
    assert type(copy) is kind
    assert copy.args == ("reached 3",)


def test_source_tree_explains_itself(tmp_path):
    ignore = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "kexue_num", ignore=ignore)
    # -S: no site-packages, so that an installed core cannot come to the rescue.
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import kexue_num"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        "ImportError: kexue_num has no compiled core: you are importing the source tree; "
        "run `pip install -e .` in it, or start Python in another directory"
    )
