"""The peak of memory in the calls whose docstrings state it, measured in a fresh process."""

import sys

import numpy as np
import pytest

from kexue_num import _core
from tests.interpreter import run

# What prepares a call for n, the call, a small n and a large one, and the bytes that the docstring
# allows beside the arguments. A copy of the arguments more would exceed it.
COSTS = "C, (a, b) = rng.random((n, n)), rng.dirichlet(np.ones(n), 2)"
MATRIX = "A = rng.normal(size=(4 * n, 3 * n))"
ROWS = "X = rng.normal(size=(n, 2 * n))"
CASES = {
    "density.FourierDensity": (
        "x = rng.normal(size=n)",
        "density.FourierDensity(max_order=64, base='normal', order=64).fit(x)",
        (10**5, 6 * 10**6),
        "20e6",
    ),
    "lattice.UnigramTokenizer.lattice": (
        "t = lattice.UnigramTokenizer.from_pieces(['a', 'b', 'ab'], [-1.0, -2.0, -2.0])",
        "t.lattice('ab' * n)",
        (10, 50000),
        "170 * 3 * n",
    ),
    "lowrank.cur": (MATRIX, "lowrank.cur(A, 20, rng=0)", (30, 1000), "16 * 8 * 20 * 7 * n"),
    "lowrank.interp_decomp": (
        MATRIX,
        "lowrank.interp_decomp(A, 50, rng=0)",
        (30, 1000),
        "16 * 8 * 50 * 3 * n",
    ),
    "lowrank.pinv": (
        "A = rng.normal(size=(3 * n, n))",
        "lowrank.pinv(A)",
        (30, 400),
        "8 * A.nbytes",
    ),
    "lowrank.pivoted_qr": (
        MATRIX,
        "lowrank.pivoted_qr(A, 20)",
        (30, 1000),
        "A.nbytes + 8 * 20 * 7 * n",
    ),
    "lowrank.truncated_svd": (
        MATRIX,
        "lowrank.truncated_svd(A, 20, rng=0, max_iter=4)",
        (30, 1000),
        "30 * 8 * 32 * 7 * n",
    ),
    "simplex.softmax": (ROWS, "simplex.softmax(X)", (30, 2000), "X.nbytes"),
    "simplex.sparsemax": (ROWS, "simplex.sparsemax(X)", (30, 2000), "X.nbytes"),
    "transport.assignment": (COSTS, "transport.assignment(C)", (30, 2000), "4 * n * n"),
    "transport.barycenter": (
        "A, C = rng.dirichlet(np.ones(n), 3), rng.random((n, n))",
        "transport.barycenter(A, C, 0.5)",
        (30, 1200),
        "8 * 3 * n * n",
    ),
    "transport.emd": (COSTS, "transport.emd(a, b, C)", (30, 1200), "4 * n * n"),
    "transport.emd_1d": (
        "x, y = rng.normal(size=(2, n))",
        "transport.emd_1d(x, y)",
        (30, 10**6),
        "96 * n",
    ),
    "transport.emo_loss": (
        "L, E = rng.normal(size=(n, 8 * n)).astype('f4'), rng.normal(size=(8 * n, 8)).astype('f4')",
        "transport.emo_loss(L, np.arange(n), E, return_grad=True)",
        (30, 1500),
        "L.nbytes + 2**24",
    ),
    "transport.partial": (COSTS, "transport.partial(a, b, C, 0.5)", (30, 1500), "12 * n * n"),
    "transport.sinkhorn": (COSTS, "transport.sinkhorn(a, b, C, 0.5)", (30, 2500), "4 * n * n"),
    "transport.sinkhorn_points": (
        "x, y = rng.random((2, n, 3))",
        "transport.sinkhorn_points(x, y, reg=1.0)",
        (30, 5000),
        "2**25 + 200 * n",
    ),
    "transport.sliced": (
        "x, y = rng.normal(size=(2, n, 3))",
        "transport.sliced(x, y, n_projections=50, rng=0)",
        (30, 10**5),
        "2**26",
    ),
}
ROOM = 6 << 20  # stacks, buffers of the products, the interpreter

SCRIPT = """
import ctypes, gc, warnings
import numpy as np
import kexue_num
from kexue_num import density, lattice, lowrank, simplex, transport

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)

def resident(key):
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(key))

for name, (prepare, call, sizes, most) in CASES.items():
    for n in sizes:  # the small call imports and starts what later calls find
        names = {**globals(), "n": n}
        exec(prepare, names)
        exec(f"compute = lambda: {call}", names)
        gc.collect()
        kexue_num.release_memory()
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak begins anew
        before = resident("VmRSS")
        result = names["compute"]()
        peak = resident("VmHWM") - before
        allowed = eval(most, names)
        del names, result
    print(name, peak, int(allowed))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_peaks_are_those_of_the_docstrings():
    _core.empty((1 << 20,), np.dtype(np.uint8))
    if _core.kept_memory() == 0:
        pytest.skip("a sanitizer's build holds more than it asks for")
    peaks = {}
    for line in run(f"CASES = {CASES!r}\n{SCRIPT}").splitlines():
        name, peak, allowed = line.split()
        peaks[name] = int(peak), int(allowed)
    assert set(peaks) == set(CASES)
    above = {name: (p, most) for name, (p, most) in peaks.items() if p > 1.1 * most + ROOM}
    assert not above
