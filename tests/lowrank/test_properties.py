"""What holds for every interpolative decomposition, whatever the matrix and its layout."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from kexue_num import interpolative
from kexue_num.lowrank import interp_decomp
from tests.oracles import lowrank as oracle
from tests.strategies import layouts

DTYPES = (np.float32, np.float64, np.complex64, np.complex128)
METHODS = ("randomized", "deterministic")
# Derandomized: the same examples in every run, so that nothing here fails by chance.
examples = settings(derandomize=True, deadline=None, max_examples=80)

seeds = st.integers(0, 2**32 - 1)
methods = st.sampled_from(METHODS)


def values(rng, kind, shape, dtype):
    """A matrix of the kind; all but "ties" are free of equal column lengths."""
    rank = int(rng.integers(0, min(shape) + 1))
    parts = []
    for _ in range(1 + (np.dtype(dtype).kind == "c")):
        A = rng.standard_normal(shape)
        if kind == "low rank":
            A = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
        elif kind == "graded":
            # Within what the dtype can tell from a dependent column.
            decades = -0.2 * np.log10(np.finfo(dtype).eps)
            A *= 10.0 ** rng.uniform(-decades, decades, shape[1])
        elif kind == "ties":
            A = rng.integers(-2, 3, shape).astype(float)
        parts.append(A)
    return (parts[0] if len(parts) == 1 else parts[0] + 1j * parts[1]).astype(dtype)


@st.composite
def matrices(draw, dtypes=DTYPES, kinds=("plain", "low rank", "graded", "ties"), min_side=0):
    sides = st.integers(min_side, 40)
    shape = (draw(sides), draw(sides))
    kind, dtype = draw(st.sampled_from(kinds)), draw(st.sampled_from(dtypes))
    return values(np.random.default_rng(draw(seeds)), kind, shape, dtype)


@st.composite
def problems(draw, min_side=0, **options):
    """A matrix and a rank from 0 to its smaller side."""
    A = draw(matrices(min_side=min_side, **options))
    return A, draw(st.integers(min(min_side, *A.shape), min(A.shape)))


def same(left, right):
    """Equal in everything, bit for bit."""
    assert_array_equal(left.indices, right.indices)
    assert left.coefficients.tobytes() == right.coefficients.tobytes()
    assert left.error_bound == right.error_bound
    assert left.error_estimate == right.error_estimate


@examples
@given(problems(), methods, st.sampled_from(["sketch", "exact"]), st.sampled_from([0, 1]), seeds)
def test_definition(problem, method, refine, axis, seed):
    A, rank = problem
    before = A.tobytes()
    d = interp_decomp(A, rank, axis=axis, method=method, refine=refine, rng=seed)
    assert A.tobytes() == before

    n = A.shape[axis]
    assert (d.rank, d.axis, d.shape, d.dtype) == (rank, axis, A.shape, A.dtype)
    assert d.indices.dtype == np.int64
    assert d.indices.shape == (rank,)
    assert len(set(d.indices.tolist())) == rank
    assert np.all((d.indices >= 0) & (d.indices < n))

    Z = d.coefficients if axis == 1 else d.coefficients.T
    assert (Z.shape, Z.dtype) == ((rank, n), A.dtype)
    assert np.ascontiguousarray(Z[:, d.indices]).tobytes() == np.eye(rank, dtype=A.dtype).tobytes()
    assert_array_equal(d.skeleton, np.take(A, d.indices, axis=axis))
    assert np.abs(Z).max(initial=0.0) <= 2.0
    assert d.max_abs_coefficient == pytest.approx(np.abs(Z).max(initial=0.0), rel=1e-6)
    assert 0.0 <= d.error_estimate <= d.error_bound < np.inf
    assert d.confidence == 0.999


@examples
@given(problems(), methods, st.sampled_from([1.05, 1.5, 10.0]), seeds)
def test_coefficients_obey_any_bound(problem, method, z_bound, seed):
    A, rank = problem
    d = interp_decomp(A, rank, method=method, z_bound=z_bound, rng=seed)
    assert np.abs(d.coefficients).max(initial=0.0) <= z_bound
    # Full rank needs no coefficient but the identity's.
    if rank == A.shape[1]:
        assert_array_equal(d.coefficients, np.eye(rank)[np.argsort(d.indices)].T)


@examples
@given(st.data(), problems(), methods, seeds)
def test_layout_does_not_matter(data, problem, method, seed):
    A = data.draw(layouts(problem[0]))
    plain = np.ascontiguousarray(A).astype(A.dtype.newbyteorder("="))
    rank = problem[1]
    expected = interp_decomp(plain, rank, method=method, rng=seed)
    found = interp_decomp(A, rank, method=method, rng=seed)
    assert_array_equal(found.indices, expected.indices)
    assert_array_equal(found.skeleton, expected.skeleton)
    tight = 1e4 * np.finfo(plain.dtype).eps
    assert_allclose(found.coefficients, expected.coefficients, atol=tight)


@examples
@given(problems(), methods, st.sampled_from(["rank", "tol"]), seeds)
def test_workers_do_not_matter(problem, method, what, seed):
    A, rank = problem
    goal = {"rank": rank} if what == "rank" else {"tol": 0.05}
    one, two = (interp_decomp(A, **goal, method=method, rng=seed, workers=w) for w in (1, 2))
    same(one, two)


def test_workers_do_not_matter_when_they_all_work():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((1500, 30)) @ rng.standard_normal((30, 1200))
    A += 0.1 * rng.standard_normal(A.shape)
    for goal in ({"rank": 60}, {"rank": 60, "refine": "exact"}, {"tol": 0.1}):
        one, *more = (interp_decomp(A, **goal, rng=1, workers=w) for w in (1, 2, 3))
        for other in more:
            same(one, other)
    for form in (A.T, np.asfortranarray(A)):
        one, two = (interp_decomp(form, 60, rng=1, workers=w) for w in (1, 2))
        same(one, two)


@examples
@given(problems(), methods, st.sampled_from(["sketch", "exact"]), seeds, st.integers(-60, 60))
def test_a_power_of_two_scales_the_errors_and_nothing_else(problem, method, refine, seed, exponent):
    A, rank = problem
    scaled = A * A.dtype.type(2.0**exponent)
    assert_array_equal(scaled * A.dtype.type(2.0**-exponent), A)
    one = interp_decomp(A, rank, method=method, refine=refine, rng=seed)
    two = interp_decomp(scaled, rank, method=method, refine=refine, rng=seed)
    assert_array_equal(one.indices, two.indices)
    assert one.coefficients.tobytes() == two.coefficients.tobytes()
    # The errors pass through a logarithm, so they scale up to the last bits.
    assert two.error_bound == pytest.approx(np.ldexp(one.error_bound, exponent), rel=1e-13)
    assert two.error_estimate == pytest.approx(np.ldexp(one.error_estimate, exponent), rel=1e-13)


@examples
@given(problems(kinds=("plain", "graded"), min_side=1), st.randoms(use_true_random=False))
def test_permuted_columns_permute_the_deterministic_answer(problem, random):
    A, rank = problem
    order = np.arange(A.shape[1])
    random.shuffle(order)
    one = interp_decomp(A, rank, method="deterministic", rng=0)
    two = interp_decomp(A[:, order], rank, method="deterministic", rng=0)
    assert_array_equal(order[two.indices], one.indices)
    tight = 1e4 * np.finfo(A.dtype).eps
    assert_allclose(two.coefficients, one.coefficients[:, order], atol=tight)


@examples
@given(matrices(kinds=("plain", "graded"), min_side=1, dtypes=(np.float64, np.complex128)))
def test_deterministic_pivots_are_nested_and_those_of_pivoted_qr(A):
    full = oracle.column_pivots(A, min(A.shape))
    errors = []
    for rank in range(min(A.shape) + 1):
        # No swaps: the guard would trade nestedness for small coefficients.
        d = interp_decomp(A, rank, method="deterministic", z_bound=1e9, rng=0)
        assert_array_equal(d.indices, full[:rank])
        errors.append(oracle.true_error(A, d.skeleton, d.coefficients))
    rounding = 1e-13 * errors[0]
    assert np.all(np.diff(errors) <= rounding)
    assert errors[-1] <= rounding * (1 + (A.shape[1] > A.shape[0]) * 1e9)


@examples
@given(problems(), st.sampled_from(["rank", "tol"]), methods, seeds)
def test_the_same_seed_gives_the_same_answer(problem, what, method, seed):
    A, rank = problem
    goal = {"rank": rank} if what == "rank" else {"tol": 0.05}
    first = interp_decomp(A, **goal, method=method, rng=seed)
    same(first, interp_decomp(A, **goal, method=method, rng=seed))
    same(first, interp_decomp(A, **goal, method=method, rng=np.random.default_rng(seed)))
    if method == "deterministic":
        other = interp_decomp(A, **goal, method=method, rng=seed + 1)
        assert_array_equal(first.indices, other.indices)
        assert first.coefficients.tobytes() == other.coefficients.tobytes()


def test_different_seeds_give_different_answers():
    A = np.random.default_rng(0).standard_normal((400, 300))
    first, second = (interp_decomp(A, 20, rng=seed) for seed in (0, 1))
    assert not np.array_equal(first.coefficients, second.coefficients)
    generator = np.random.default_rng(0)
    third, fourth = (interp_decomp(A, 20, rng=generator) for _ in range(2))
    assert not np.array_equal(third.coefficients, fourth.coefficients)


@examples
@given(problems(), methods, st.sampled_from(["rank", "tol"]), seeds)
def test_rows_are_the_columns_of_the_transpose(problem, method, what, seed):
    A, rank = problem
    goal = {"rank": rank} if what == "rank" else {"tol": 0.05}
    rows = interp_decomp(A, **goal, axis=0, method=method, rng=seed)
    columns = interp_decomp(A.T, **goal, axis=1, method=method, rng=seed)
    assert_array_equal(rows.indices, columns.indices)
    assert_array_equal(rows.coefficients, columns.coefficients.T)
    assert_array_equal(rows.skeleton, columns.skeleton.T)
    assert rows.error_bound == columns.error_bound


@examples
@given(problems(), st.sampled_from([0, 1]), seeds)
def test_scipy_round_trip(problem, axis, seed):
    A, rank = problem
    d = interp_decomp(A, rank, axis=axis, rng=seed)
    idx, proj = d.to_scipy()
    Z = d.coefficients if axis == 1 else d.coefficients.T
    n = A.shape[axis]
    assert idx.dtype == np.int64
    assert_array_equal(np.sort(idx), np.arange(n))
    assert_array_equal(idx[:rank], d.indices)
    assert (proj.shape, proj.dtype) == ((rank, n - rank), A.dtype)
    assert_array_equal(interpolative.reconstruct_interp_matrix(idx, proj), Z)


@examples
@given(problems(), st.sampled_from([0, 1]), seeds)
def test_svd_of_the_result(problem, axis, seed):
    A, rank = problem
    d = interp_decomp(A, rank, axis=axis, rng=seed)
    svd = d.to_svd()
    tight = 1e3 * np.finfo(A.dtype).eps
    assert (svd.U.shape, svd.s.shape, svd.Vh.shape) == (
        (A.shape[0], rank),
        (rank,),
        (rank, A.shape[1]),
    )
    assert (svd.U.dtype, svd.s.dtype, svd.Vh.dtype) == (A.dtype, A.real.dtype, A.dtype)
    assert svd.error_bound == d.error_bound
    assert np.all(svd.s[:-1] >= svd.s[1:])
    assert np.all(svd.s >= 0)
    assert_allclose(svd.U.conj().T @ svd.U, np.eye(rank), atol=tight)
    assert_allclose(svd.Vh @ svd.Vh.conj().T, np.eye(rank), atol=tight)
    scale = np.abs(A).max(initial=0.0)
    assert_allclose(svd.U * svd.s @ svd.Vh, d.reconstruct(), atol=float(tight * scale))


@examples
@given(problems(), st.sampled_from([0, 1]), seeds)
def test_products_agree_with_the_matrix_they_stand_for(problem, axis, seed):
    A, rank = problem
    d = interp_decomp(A, rank, axis=axis, rng=seed)
    whole = d.reconstruct()
    assert (whole.shape, whole.dtype) == (A.shape, A.dtype)
    assert_array_equal(np.asarray(d), whole)
    X = values(np.random.default_rng(seed), "plain", (A.shape[1], 3), A.dtype)
    Y = values(np.random.default_rng(seed), "plain", (A.shape[0], 3), A.dtype)
    tight = 1e3 * np.finfo(A.dtype).eps * float(np.abs(A).max(initial=0.0))
    assert_allclose(d @ X, whole @ X, atol=tight)
    assert_allclose(d @ X[:, 0], whole @ X[:, 0], atol=tight)
    L = d.as_linear_operator()
    assert (L.shape, L.dtype) == (A.shape, A.dtype)
    assert_allclose(L.matvec(X[:, 0]), whole @ X[:, 0], atol=tight)
    assert_allclose(L.rmatvec(Y[:, 0]), whole.conj().T @ Y[:, 0], atol=tight)
    assert_allclose(L @ X, whole @ X, atol=tight)
    assert_allclose(L.H @ Y, whole.conj().T @ Y, atol=tight)


@examples
@given(matrices(min_side=1), methods, seeds, st.sampled_from([0.5, 1e-2, 1e-5]))
def test_a_tolerance_is_met(A, method, seed, tol):
    d = interp_decomp(A, tol=tol, method=method, rng=seed)
    # Derandomized examples; each one may fail with probability 0.001 by the certificate.
    rounding = 100 * np.finfo(A.dtype).eps
    error = oracle.true_error(A, d.skeleton, d.coefficients)
    assert d.converged
    assert error <= (tol + rounding) * oracle.spectral_norm(A)
    assert d.rank <= min(A.shape)
