"""show_config: true facts, and a word about every setting that was not followed."""

import platform

import numpy as np
import pytest
import scipy

import kexue_num
from kexue_num import _core
from tests.interpreter import run

SECTIONS = ["kexue_num", "instruction sets", "threads", "blas", "python"]


def test_dicts():
    report = kexue_num.show_config("dicts")
    assert list(report) == SECTIONS
    assert report["kexue_num"]["version"] == kexue_num.__version__
    assert report["kexue_num"]["compiler"] == _core.compiler
    assert report["instruction sets"]["available"] == _core.available_isas()
    assert report["instruction sets"]["in use"] in _core.available_isas()
    assert report["threads"]["workers"] == kexue_num.get_workers()
    assert report["python"]["version"] == platform.python_version()
    assert report["python"]["numpy"] == np.__version__
    assert report["python"]["scipy"] == scipy.__version__


def test_printed(capsys):
    assert kexue_num.show_config() is None
    printed = capsys.readouterr().out
    titles = [line[:-1] for line in printed.splitlines() if not line.startswith(" ")]
    assert titles == SECTIONS
    for facts in kexue_num.show_config("dicts").values():
        for name, fact in facts.items():
            if not isinstance(fact, list):
                assert f"  {name}: {fact}\n" in printed
    assert f"  available: {', '.join(_core.available_isas())}\n" in printed


def test_bad_mode():
    expected = "^show_config: 'mode' must be one of 'stdout', 'dicts', got 'yaml'$"
    with pytest.raises(ValueError, match=expected):
        kexue_num.show_config("yaml")


PRINT = "import kexue_num; print(kexue_num.show_config('dicts')[{!r}])"


@pytest.mark.parametrize("isa", _core.available_isas())
def test_instruction_set_from_the_environment(isa):
    facts = eval(run(PRINT.format("instruction sets"), KEXUE_ISA=isa))
    assert facts == {"available": _core.available_isas(), "in use": isa, "KEXUE_ISA": isa}


@pytest.mark.parametrize("isa", ["sse9", "", "AVX2"])
def test_unusable_instruction_set_is_reported(isa):
    facts = eval(run(PRINT.format("instruction sets"), KEXUE_ISA=isa))
    assert facts["in use"] == _core.available_isas()[-1]
    assert facts["KEXUE_ISA"] == f"{isa} (ignored: not available)"


def test_threads_from_the_environment():
    facts = eval(run(PRINT.format("threads"), KEXUE_NUM_THREADS="7"))
    assert facts == {"workers": 7, "workers at import": "7 (KEXUE_NUM_THREADS)"}
    facts = eval(run(PRINT.format("threads"), KEXUE_NUM_THREADS="x", OMP_NUM_THREADS="5,1"))
    assert facts == {
        "workers": 5,
        "workers at import": "5 (OMP_NUM_THREADS)",
        "ignored": ["KEXUE_NUM_THREADS=x (not in 1..1024)"],
    }


def test_blas_is_not_loaded_by_import():
    assert eval(run(PRINT.format("blas"))) == {"library": "not loaded yet"}


def test_blas_is_named_once_it_is_loaded():
    _core.blas.load()
    facts = kexue_num.show_config("dicts")["blas"]
    assert facts["library"]
    assert facts["integers"] in ("32 bits", "64 bits")
