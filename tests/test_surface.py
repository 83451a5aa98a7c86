"""What holds for every public function: the same result for every number of workers,
from many threads and in a child."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import kexue_num
from tests import surface
from tests.interpreter import run

CALLS = surface.calls(4)
LARGER = surface.calls(40)


def test_the_table_is_complete():
    assert set(CALLS) | surface.ELSEWHERE == set(surface.public_names())
    assert not set(CALLS) & surface.ELSEWHERE
    for name, call in CALLS.items():
        assert list(surface.flatten(call())) or name.endswith(".forget"), name


def test_samples_beyond_the_memory_are_refused():
    for name in (
        "density.FourierDensity.rvs",
        "density.FourierDensity2D.rvs",
        "lattice.Lattice.sample",
        "lattice.UnigramTokenizer.sample",
        "lattice.trellis.sample",
    ):
        with pytest.raises(MemoryError, match=r"'size' needs .* GiB of the"):
            CALLS[name](size=2**45)


def test_no_sequence_of_texts_or_rows():
    for name, argument in (("encode_batch", "texts"), ("decode_batch", "rows")):
        for value in (None, np.array(2)):
            with pytest.raises(TypeError, match=f"{name}: '{argument}' must be a sequence"):
                CALLS[f"lattice.UnigramTokenizer.{name}"](**{argument: value})


@pytest.mark.parametrize(
    ("name", "changes", "error", "match"),
    [
        ("density.FourierDensity.bin_prob", {"hi": np.zeros((5, 2))}, ValueError,
         r"^bin_prob: 'hi' must have a shape that goes with \(4,\), .* got shape \(5, 2\)"),
        ("density.FourierDensity.moment", {"k": 1009}, kexue_num.NumericalError,
         "^moment: powers of order 'k' = 1009 overflow"),
        ("density.FourierDensity2D", {"max_iter": 2**31}, ValueError,
         r"fit: 'max_iter' must lie in 1\.\.2147483647"),
        ("lattice.UnigramTokenizer.train", {"corpus": np.array(2)}, TypeError,
         "'corpus' must be an iterable of texts, got 2"),
        ("lowrank.truncated_svd", {"max_iter": 2**63}, ValueError,
         r"^truncated_svd: 'max_iter' must lie in 1\.\."),
        ("transport.unbalanced", {"C": 1e7 * np.abs(np.random.default_rng(1).normal(size=(4, 5)))},
         kexue_num.NumericalError, "^unbalanced: all masses underflow"),
        ("transport.sliced", {"n_projections": 2**63}, MemoryError,
         "^sliced: 'n_projections' needs .* GiB of the"),
    ],
)  # fmt: skip
def test_refusals(name, changes, error, match):
    with pytest.raises(error, match=match):
        CALLS[name](**changes)


def test_a_flow_of_no_particles():
    flow = CALLS["simplex.wasserstein_flow"](particles=np.zeros((0, 2)))
    assert flow.particles.shape == (0, 2)


@pytest.mark.parametrize("name", sorted(LARGER))
def test_results_do_not_depend_on_the_number_of_workers(name):
    results = []
    for workers in (1, 2, 5):
        with kexue_num.worker_limit(workers):
            results.append(LARGER[name]())
    assert surface.same(results[0], results[1]) and surface.same(results[0], results[2])


@pytest.mark.parametrize("area", surface.AREAS)
def test_many_threads_compute_what_one_computes(area):
    names = [name for name in LARGER if name.rpartition(".")[0].startswith(area)] * 2
    expected = [LARGER[name]() for name in names]
    with ThreadPoolExecutor(8) as executor:
        found = list(executor.map(lambda name: LARGER[name](), names))
    wrong = [n for n, a, b in zip(names, expected, found, strict=True) if not surface.same(a, b)]
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_child_computes_what_its_parent_computes():
    script = f"""
import sys, os, signal, warnings
sys.path.append({str(surface.ROOT)!r})  # for the tests: the package is the installed one
warnings.simplefilter("ignore", DeprecationWarning)
import kexue_num
from tests import surface
kexue_num.set_workers(3)
calls = surface.calls(40)
expected = {{name: call() for name, call in calls.items()}}
child = os.fork()
if child == 0:
    signal.alarm(50)
    wrong = [name for name, call in calls.items() if not surface.same(call(), expected[name])]
    print(wrong, flush=True)
    os._exit(0)
status = os.waitpid(child, 0)[1]
print(os.waitstatus_to_exitcode(status))
"""
    assert run(script) == "[]\n0\n"


class OnlyDLPack:
    """An array of another library that NumPy knows by DLPack alone."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_every_array_may_come_through_dlpack():
    wrong = []
    for name, call in CALLS.items():
        for argument, array in call.arrays.items():
            if isinstance(array, np.ndarray):
                found = call(**{argument: OnlyDLPack(array)})
                if not surface.same(found, call()):
                    wrong.append((name, argument))
    assert wrong == []


def test_arrays_of_float32_results():
    def single(name):
        arrays = CALLS[name].arrays.items()
        return {k: a.astype(np.float32) for k, a in arrays if a.dtype.kind == "f"}

    plan = CALLS["transport.unbalanced"](**single("transport.unbalanced"))
    assert {part.dtype for part in plan.gradients} == {np.dtype(np.float32)}
    points = CALLS["density.FourierDensity2D.pdf"]
    assert points(x=points.arrays["x"].astype(np.float16)).dtype == np.float16


def test_masses_of_float16():
    tried = 0
    for name in CALLS:
        if not name.startswith("transport."):
            continue
        masses = {k: v for k, v in CALLS[name].arrays.items() if k in ("a", "b", "A", "B")}
        if masses:
            half = {k: v.astype(np.float16) for k, v in masses.items()}
            assert list(surface.flatten(CALLS[name](**half))), name
            tried += 1
    assert tried == 10
