"""Every function on arrays as hostile as callers make them: an answer in its set, or an error.

Values are of all magnitudes, signed zeros, denormals, infinities and NaN; layouts are strided,
swapped, unaligned, read-only; sides are 0 to 7.
"""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue_num import ConvergenceWarning, NumericalError, simplex
from tests.strategies import hostile_arrays

DTYPES = ("float32", "float64", "float16", "int8", "bool", "uint16")
# Derandomized: the same examples in every run, so that nothing here fails by chance.
fuzz = settings(derandomize=True, deadline=None, max_examples=25)
arrays = hostile_arrays(dtypes=DTYPES, min_dims=1, max_dims=2, max_side=7)

MAPS = {
    "softmax": simplex.softmax,
    "sparsemax": simplex.sparsemax,
    "entmax15": simplex.entmax15,
    "taylor": simplex.taylor_softmax,
    "taylor 8": lambda x: simplex.taylor_softmax(x, 8),
    "topk": lambda x: simplex.topk_softmax(x, 1 + x.shape[-1] // 2),
    "topp": lambda x: simplex.topp_softmax(x, 0.7),
    "project": lambda x: simplex.project_simplex(x, 1.0),
    "upper": lambda x: simplex.project_simplex(x, 1.0, upper=1.5),
    "sparse": lambda x: simplex.project_simplex(x, max_nonzero=1 + x.shape[-1] // 3),
    "l1": lambda x: simplex.project_l1_ball(x, 0.5),
    **{f"entmax {a}": lambda x, a=a: simplex.entmax(x, a)
       for a in (0.3, 1 + 1e-9, 1.3, 1.7, 2.5, 40.0, 1e300, np.inf)},
    **{f"normmax {a}": lambda x, a=a: simplex.normmax(x, a) for a in (1.01, 1.5, 2.0, np.inf)},
    **{f"perturbmax {noise}": lambda x, noise=noise: simplex.perturbmax(x, noise)
       for noise in ("normal", "uniform", "exponential")},
    **{f"{name} at {t}": lambda x, name=name, t=t: getattr(simplex, name)(x, temperature=t)
       for name in ("softmax", "sparsemax", "entmax15", "taylor_softmax", "normmax")
       for t in (1e-300, 1e-5, 1e300)},
}  # fmt: skip
KINDS = ("sigmoid", "exp", "laplace", "sparse", "gradtopk", "iterative")


def room(result, n):
    eps = 1e-3 if result.dtype == np.float16 else np.finfo(result.dtype).eps
    return 8 * eps * max(1, n)


def finite_rows(x):
    return np.isfinite(x.astype(float)).all(-1)


def refused(function, *arguments, **options):
    """The result, or None where the input is refused by name."""
    text = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", ConvergenceWarning)
            return function(*arguments, **options)
    except (ValueError, TypeError, MemoryError, NumericalError) as error:
        text = str(error)
    assert ": '" in text
    return None


@pytest.mark.parametrize("name", MAPS)
@fuzz
@given(x=arrays)
def test_maps(name, x):
    p = refused(MAPS[name], x)
    if p is None:
        assert x.shape[-1] == 0
        return
    assert p.shape == x.shape
    numbers = finite_rows(x)
    values = p.astype(float)
    assert not np.isnan(values[numbers]).any()
    assert (np.isnan(values) | (abs(values) <= 1 + room(p, 1))).all()
    nan = np.isnan(x.astype(float)).any(-1)
    assert np.isnan(values[nan]).all()
    if name == "l1":
        assert (abs(values[numbers]).sum(-1) <= 0.5 + room(p, x.shape[-1])).all()
        return
    assert (values[~np.isnan(values)] >= 0).all()
    np.testing.assert_allclose(values[numbers].sum(-1), 1, atol=room(p, x.shape[-1]))


@pytest.mark.parametrize("kind", KINDS)
@fuzz
@given(x=arrays, share=st.floats(0, 1), temperature=st.sampled_from([1e-300, 0.1, 1.0, 1e300]))
def test_selections(kind, x, share, temperature):
    n = x.shape[-1]
    k = share * n if kind in ("sigmoid", "exp", "laplace", "sparse") else round(share * n)
    p = refused(simplex.soft_topk, x, k, kind=kind, temperature=temperature)
    if p is None:
        assert n == 0
        return
    numbers = finite_rows(x)
    values = p.astype(float)
    assert not np.isnan(values[numbers]).any() and (values[numbers] >= 0).all()
    np.testing.assert_allclose(values[numbers].sum(-1), k, atol=room(p, n) * max(1, k))
    if kind != "iterative":
        assert (values[numbers] <= 1 + room(p, 1)).all()
    g = np.linspace(-1, 1, x.size).reshape(x.shape)
    dx = refused(simplex.soft_topk_vjp, p, x, g, k, kind, temperature=temperature)
    if kind != "iterative":  # slopes grow with 1 / temperature, those of rounds with its powers
        assert not np.isnan(dx.astype(float)[numbers]).any()


@pytest.mark.parametrize("kind", ["l2", "kl"])
@fuzz
@given(x=arrays, strength=st.sampled_from([1e-320, 1e-5, 1.0, 1e10, 1e308]))
def test_soft_orders(kind, x, strength):
    n = x.shape[-1]
    if n == 0:
        assert refused(simplex.soft_sort, x) is None
        return
    options = {"regularization": kind}
    numbers = finite_rows(x)
    ranks = refused(simplex.soft_rank, x, strength, **options)
    values = ranks.astype(float)[numbers]
    assert (values >= 1 - room(ranks, n)).all() and (values <= n + n * room(ranks, n)).all()
    np.testing.assert_allclose(values.sum(-1), n * (n + 1) / 2, rtol=room(ranks, n))
    ordered = refused(simplex.soft_sort, x, strength, **options)
    values, entries = ordered.astype(float)[numbers], x.astype(float)[numbers]
    low, high = (f(entries, -1, keepdims=True) / 2 for f in (np.min, np.max))
    slack = room(ordered, n) * np.maximum(abs(low), abs(high)) + 1e-9
    assert (values / 2 >= low - slack).all() and (values / 2 <= high + slack).all()
    for vjp in (simplex.soft_rank_vjp, simplex.soft_sort_vjp):
        dx = refused(vjp, x, np.ones(x.shape), strength, **options)
        assert not np.isnan(dx.astype(float)[numbers]).any()


@fuzz
@given(x=arrays, w=arrays)
def test_projections(x, w):
    n = x.shape[-1]
    numbers = finite_rows(x)
    for function in (simplex.project_linf_ball, simplex.project_l1inf_ball):
        p = refused(function, x)
        if p is not None and numbers.all():
            assert (abs(p.astype(float)) <= 1 + room(p, n)).all()
    p = refused(simplex.project_permutahedron, x, w)
    if p is not None:
        assert np.isfinite(p.astype(float)[numbers]).all()
    p = refused(simplex.isotonic, x)
    if p is not None:
        assert (np.diff(p.astype(float)) >= 0).all()
    p = refused(simplex.isotonic, x, w)
    if p is not None:
        assert (np.diff(p.astype(float)) >= 0).all()


@fuzz
@given(
    x=hostile_arrays(dtypes=("float64",), min_dims=1, max_dims=2, max_side=7),
    seed=st.integers(0, 2**32 - 1),
    span=st.sampled_from([0.0, 1.0, 20.0, 300.0]),
    radius=st.sampled_from([1e-300, 1e-5, 1.0, 1e10, 1e300]),
    bounded=st.booleans(),
)
def test_weighted_projections(x, seed, span, radius, bounded):
    n = x.shape[-1]
    w = 10.0 ** np.random.default_rng(seed).uniform(-span, span, n)
    upper = {"upper": radius / w.max() * 2} if bounded and n and radius < 1e300 else {}
    p = refused(simplex.project_simplex, x, radius, weights=w, **upper)
    if p is None:
        return
    sizes = np.log10(radius) - np.log10(w)  # of what an entry alone would be
    for row, entry in zip(x.reshape(-1, max(n, 1)), p.reshape(-1, max(n, 1)), strict=True):
        if not np.isfinite(row).all() or sizes.max() > 307 or sizes.min() < -290:
            continue
        assert np.isfinite(entry).all() and (entry >= 0).all()
        terms = [float(a) * float(b) for a, b in zip(entry, w, strict=True)]
        # Entries below the least number become zero or that number: 5e-324 w_i at most.
        assert abs(sum(terms) - radius) <= 1e-12 * radius + 1e-305 + 5e-324 * w.sum()


@fuzz
@given(x=arrays)
def test_matrices(x):
    n = x.shape[-1]
    square = np.resize(np.asarray(x).astype(float), (n, n)) if x.size else np.zeros((0, 0))
    p = refused(simplex.project_birkhoff, square)
    if p is not None:
        assert (p >= 0).all()
        for axis in (0, 1):
            np.testing.assert_allclose(p.sum(axis), 1, atol=1e-9)
    q = refused(simplex.project_spectrahedron, square)
    if q is not None and np.isfinite(square).all():
        np.testing.assert_allclose(np.trace(q), 1, atol=1e-9)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 1.3, 1.5, 2.0, 4.0, 60.0, 1e300, np.inf])
@fuzz
@given(x=arrays)
def test_gradients(alpha, x):
    if x.shape[-1] == 0:
        return
    p = simplex.entmax(x, alpha)
    numbers = finite_rows(x)
    g = np.linspace(-1, 1, x.size).reshape(x.shape)
    gradient = refused(simplex.entmax_vjp, p, g, alpha, alpha_grad=True)
    assert not np.isnan(gradient.x.astype(float)[numbers]).any()
    assert not np.isnan(np.asarray(gradient.alpha, float)[numbers]).any()


@pytest.mark.parametrize("map_", ["softmax", "sparsemax", "entmax15", "topk"])
@fuzz
@given(x=arrays)
def test_losses(map_, x):
    n = x.shape[-1]
    target = np.zeros(x.shape[:-1], int)
    options = {"map": map_, "reduction": "none", "return_grad": True}
    if map_ == "topk":
        options["k"] = max(1, n // 2)
    loss = refused(simplex.fenchel_young_loss, x, target, **options)
    if loss is None:
        return
    numbers = finite_rows(x)
    assert not np.isnan(np.asarray(loss.value, float)[numbers]).any()
    assert not np.isnan(np.asarray(loss.grad, float)[numbers]).any()
