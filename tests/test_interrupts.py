"""Ctrl-C ends every long call of the library within moments."""

import sys

import pytest

from tests import surface
from tests.interpreter import run

# What prepares a call of seconds, and the call.
DENSITY = "f = density.FourierDensity(200).fit(rng.normal(size=1000))"
TOKENIZER = """
tokenizer = lattice.UnigramTokenizer.from_pieces(["a", "b", "ab", "ba"], [-1.0, -2.0, -2.0, -3.0])
texts = ["abba" * 10**6] * 40
"""
WORDS = "words = ['abcdefghij'[i % 10] * 3 + str(i * i) for i in range(10**5)]"
PATHS = """
nodes = np.repeat(np.arange(2001), 2)
paths = lattice.Lattice.from_edges(nodes[:-2], nodes[2:], rng.normal(size=4000))
"""
TRELLIS = "e, m = rng.normal(size=(4, 3000, 40)), rng.normal(size=(40, 40))"
MATRIX = "A = rng.normal(size=(4000, 3000))"
SYMMETRIC = "A = rng.normal(size=(2000, 2000)); A = A @ A.T"
# Costs on which exact methods take long.
PRODUCTS = """
C = np.outer(np.arange(4000.0), np.arange(4000.0))
a, b = np.full(4000, 1 / 4000), rng.dirichlet(np.ones(4000))
"""
COSTS = "C, a = rng.random((3000, 3000)), np.full(3000, 1 / 3000)"
HARD = "1e-5, tol=1e-14, max_iter=10**6"
CALLS = {
    "density.FourierDensity.fit": (
        "x = rng.normal(size=3 * 10**6)",
        "density.FourierDensity(200, tol=1e-12).fit(x)",
    ),
    "density.FourierDensity.ppf": (DENSITY, "f.ppf(np.linspace(0, 1, 10**7))"),
    "density.FourierDensity.rvs": (DENSITY, "f.rvs(5 * 10**7, rng=0)"),
    "density.FourierDensity2D.fit": (
        "x = rng.normal(size=(20000, 2))",
        "density.FourierDensity2D(24, rank=3, tol=1e-14).fit(x)",
    ),
    "interpolative.interp_decomp": (MATRIX, "interpolative.interp_decomp(A, 2500, rng=0)"),
    "lattice.Lattice.sample": (PATHS, "paths.sample(10**5, rng=0)"),
    "lattice.Lattice.kbest": (PATHS, "paths.kbest(10**5)"),
    "lattice.UnigramTokenizer.train": (WORDS, "lattice.UnigramTokenizer.train(words, 5000)"),
    "lattice.UnigramTokenizer.encode_batch": (TOKENIZER, "tokenizer.encode_batch(texts)"),
    "lattice.trellis.kbest": (TRELLIS, "trellis.kbest(e, m, k=400)"),
    "lowrank.interp_decomp": (MATRIX, "lowrank.interp_decomp(A, 2500, method='deterministic')"),
    "lowrank.pivoted_qr": (MATRIX, "lowrank.pivoted_qr(A, 3000)"),
    "lowrank.strong_rrqr": (MATRIX, "lowrank.strong_rrqr(A, 1500)"),
    "lowrank.truncated_svd": (MATRIX, "lowrank.truncated_svd(A, 300, max_iter=500, rng=0)"),
    "lowrank.pinv": (MATRIX, "lowrank.pinv(A)"),  # last: LAPACK goes on in the background
    "simplex.perturbmax": (
        "x = rng.normal(size=(1000, 20000))",
        "simplex.perturbmax(x, 'normal')",
    ),
    "simplex.project_birkhoff": (
        "X = rng.normal(size=(2000, 2000)) * 100",
        "simplex.project_birkhoff(X, max_iter=10**6)",
    ),
    "simplex.simplex_qp": (SYMMETRIC, "simplex.simplex_qp(A, A[0] * 10)"),
    "simplex.soft_rank": ("x = rng.normal(size=10**7)", "simplex.soft_rank(x)"),
    "transport.assignment": (PRODUCTS, "transport.assignment(C)"),
    "transport.barycenter": (
        "A, C = rng.dirichlet(np.ones(2000), size=8), rng.random((2000, 2000))",
        f"transport.barycenter(A, C, {HARD})",
    ),
    "transport.emd": (PRODUCTS, "transport.emd(a, b, C)"),
    "transport.partial": (PRODUCTS, "transport.partial(a, b, C, 0.5)"),
    "transport.sinkhorn": (COSTS, f"transport.sinkhorn(a, a, C, {HARD})"),
    "transport.sinkhorn_batch": (
        COSTS,
        f"transport.sinkhorn_batch(a[None], a[None], C, {HARD})",
    ),
    "transport.sinkhorn_points": (
        "x, y = rng.random((2, 20000, 3))",
        f"transport.sinkhorn_points(x, y, reg={HARD})",
    ),
    "transport.unbalanced": (COSTS, f"transport.unbalanced(a, a, C, reg_m=1.0, reg={HARD})"),
}

SCRIPT = """
import os, signal, threading, time, warnings
import numpy as np
from kexue_num import density, interpolative, lattice, lowrank, simplex, transport
from kexue_num.lattice import trellis

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
sent = None

def interrupt():
    global sent
    time.sleep(0.1)
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)

def late(prepare, call):
    names = {**globals()}
    exec(prepare, names)
    exec(f"compute = lambda: {call}", names)
    timer, finished = threading.Thread(target=interrupt), False
    try:
        timer.start()
        names["compute"]()
        finished = True
        timer.join()
        time.sleep(1)
    except KeyboardInterrupt:
        return "finished before" if finished else time.monotonic() - sent

for name, (prepare, call) in CALLS.items():
    print(name, late(prepare, call), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill does not raise SIGINT on Windows")
@pytest.mark.parametrize("area", [area for area in surface.AREAS if "." not in area])
def test_keyboard_interrupts(area):
    calls = {name: call for name, call in CALLS.items() if name.startswith(f"{area}.")}
    assert calls
    # A tenth of a second is the rule. A machine with other work may be late, or so early that the
    # call has ended: what a call does in one of three runs is what it can do.
    for _ in range(3):
        lines = run(f"CALLS = {calls!r}\n{SCRIPT}").splitlines()
        late = dict(line.split(" ", 1) for line in lines)
        assert set(late) == set(calls)
        calls = {
            name: call
            for name, call in calls.items()
            if late[name] == "finished before" or float(late[name]) >= 2
        }
        if not calls:
            return
    pytest.fail(f"deaf to Ctrl-C: {late}")
