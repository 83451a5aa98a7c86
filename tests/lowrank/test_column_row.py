"""Products from a few of their rank-one terms: cr_matmul and cr_probabilities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_array, csc_matrix, csr_array, issparse, random_array

from kexue_num.lowrank import CRProduct, cr_matmul, cr_probabilities
from tests.oracles import column_row as oracle
from tests.products import DTYPES, METHODS, assemble, examples, factors, problems, seeds
from tests.strategies import layouts

RANDOM = ("pips", "iid", "bernoulli")


@examples
@given(st.data(), problems, st.sampled_from(METHODS),
       st.sampled_from(["auto", "none", "ls_diag", "ls_full"]))  # fmt: skip
def test_definition(data, problem, method, weights):
    seed, n, length, m, dtype = problem
    X, Y = factors(seed, n, length, m, dtype)
    rank = data.draw(st.integers(0, length))
    X, Y = data.draw(layouts(X)), data.draw(layouts(Y))
    before = X.tobytes(), Y.tobytes()
    p = cr_matmul(X, Y, rank, method=method, weights=weights, rng=seed)
    assert (X.tobytes(), Y.tobytes()) == before
    assert isinstance(p, CRProduct)
    assert (p.shape, p.dtype) == ((n, m), dtype)
    assert p.indices.dtype == np.int64
    assert_array_equal(np.sort(p.indices), p.indices)
    assert np.all((p.indices >= 0) & (p.indices < length))
    if method != "bernoulli":
        assert p.indices.shape == (rank,)
    if method != "iid":
        assert len(set(p.indices.tolist())) == len(p.indices)
    assert_array_equal(p.C, X[:, p.indices])
    assert_array_equal(p.R, Y[p.indices])
    assert (p.variance is None) == (weights != "auto" or method not in RANDOM)

    tight = 200 * np.finfo(dtype).eps * (np.linalg.norm(X) * np.linalg.norm(Y) + 1)
    whole = p.toarray()
    assert whole.dtype == dtype
    scale = 1 + np.abs(p.weights).max(initial=0.0)
    assert_allclose(whole, assemble(p), atol=tight * scale)
    assert_allclose(np.asarray(p), whole)
    v = np.arange(2.0 * m).reshape(m, 2)
    assert_allclose(p @ v, whole @ v, atol=tight * scale * (m + 1) ** 2)
    assert_allclose(p @ v[:, 0], whole @ v[:, 0], atol=tight * scale * (m + 1) ** 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_probabilities(isa, dtype):
    X, Y = factors(0, 37, 50, 23, dtype)
    s = oracle.sizes(X.astype(complex), Y.astype(complex))
    for x, y in ((X, Y), (np.asfortranarray(X), np.asfortranarray(Y))):
        assert_allclose(cr_probabilities(x, y), s / s.sum(), rtol=1e-12)
    assert cr_probabilities(X, Y).dtype == np.float64


def test_probabilities_at_the_edges():
    assert_array_equal(cr_probabilities(np.zeros((3, 4)), np.ones((4, 2))), np.full(4, 0.25))
    assert cr_probabilities(np.ones((3, 0)), np.ones((0, 2))).shape == (0,)
    assert_array_equal(cr_probabilities(np.ones((0, 2)), np.ones((2, 1))), [0.5, 0.5])


@pytest.mark.parametrize("dtype", DTYPES)
def test_probabilities_of_any_scale(dtype):
    # Products of norms that overflow and underflow, and columns far from each other.
    X, Y = factors(1, 6, 8, 5, dtype, spread=0)
    expected = cr_probabilities(X, Y)
    info = np.finfo(dtype)
    # The last powers leave the smallest entries no denormals.
    low, high = int(info.minexp * 0.8), int(info.maxexp * 0.9)
    for shift in (low, high):
        power = np.ldexp(1.0, shift).astype(X.real.dtype)
        assert_allclose(cr_probabilities(X * power, Y), expected, rtol=1e-13)
        assert_allclose(cr_probabilities(X * power, Y * power), expected, rtol=1e-13)
    powers = np.ldexp(1.0, np.linspace(low, -low, 8).astype(int)).astype(X.real.dtype)
    found = cr_probabilities(X * powers, (1 / powers)[:, None] * Y)
    assert_allclose(found, expected, rtol=1e-13)


@examples
@given(seeds, st.integers(1, 30), st.integers(0, 30))
def test_largest_terms(seed, length, rank):
    X, Y = factors(seed, 4, length, 3)
    rank = min(rank, length)
    s = oracle.sizes(X, Y)
    p = cr_matmul(X, Y, rank)
    assert_array_equal(p.indices, np.sort(np.argsort(-s, kind="stable")[:rank]))
    assert_array_equal(p.weights, np.ones(rank))


def test_ties_take_the_first():
    p = cr_matmul(np.ones((2, 6)), np.ones((6, 2)), 3)
    assert_array_equal(p.indices, [0, 1, 2])


def test_largest_terms_are_best_where_terms_are_orthogonal():
    rng = np.random.default_rng(0)
    X = np.linalg.qr(rng.standard_normal((12, 10)))[0] * rng.random(10)
    Y = np.linalg.qr(rng.standard_normal((11, 10)))[0].T * rng.random(10)[:, None]
    error = np.linalg.norm(cr_matmul(X, Y, 4).toarray() - X @ Y)
    s = np.linalg.svd(X @ Y, compute_uv=False)
    assert error == pytest.approx(np.linalg.norm(s[4:]), rel=1e-12)


# Random methods. A batch of equal matrices gives as many independent draws.


@pytest.mark.parametrize("method", RANDOM)
@pytest.mark.parametrize("dtype", DTYPES)
def test_unbiased_with_the_stated_variance(method, dtype):
    # Every entry's mean and the mean squared error lie within five standard errors: for some 40
    # comparisons a false alarm has probability 3e-5 a dtype. The seed is fixed.
    draws = 40000
    X, Y = factors(3, 3, 8, 2, dtype)
    p = cr_matmul(np.broadcast_to(X, (draws, 3, 8)), Y, 4, method=method, rng=7)
    errors = p.toarray() - X @ Y
    parts = errors.view(errors.real.dtype).reshape(draws, -1).astype(np.float64)
    assert np.all(np.abs(parts.mean(axis=0)) <= 5 * parts.std(axis=0) / np.sqrt(draws))
    squares = (parts**2).sum(axis=1)
    variance = cr_matmul(X, Y, 4, method=method, rng=0).variance
    assert abs(squares.mean() - variance) <= 5 * squares.std() / np.sqrt(draws)


def test_draws_follow_the_design():
    # Frequencies of all sets against their exact probabilities, within five standard errors each:
    # for fewer than 100 sets a false alarm has probability below 6e-5. The seed is fixed.
    draws = 40000
    X, Y = factors(5, 2, 7, 2, spread=0.6)
    pi = oracle.inclusion(oracle.sizes(X, Y), 3)
    designs = oracle.pivotal_designs(pi)
    p = cr_matmul(np.broadcast_to(X, (draws, 2, 7)), Y, 3, method="pips", rng=11)
    found = {}
    for row, count in zip(*np.unique(p.indices, axis=0, return_counts=True), strict=True):
        found[tuple(row.tolist())] = count / draws
    for chosen, weight in designs.items():
        probability = float(weight)
        sigma = np.sqrt(probability * (1 - probability) / draws)
        assert abs(found.get(chosen, 0.0) - probability) <= 5 * sigma + 1e-12
    assert set(found) <= set(designs)


@examples
@given(seeds, st.integers(1, 9), st.integers(1, 9), st.sampled_from([0.0, 0.3, 2.0]))
def test_variance_by_enumeration(seed, length, rank, spread):
    rank = min(rank, length)
    X, Y = factors(seed, 3, length, 2, spread=spread)
    if spread == 0:  # equal sizes: intervals may end where terms do
        X, Y = (a / np.linalg.norm(a, axis=i, keepdims=True) for i, a in ((0, X), (1, Y)))
    s = oracle.sizes(X, Y)
    pi = oracle.inclusion(s, rank)
    unit = s.sum() ** 2
    designs = {"pips": oracle.pivotal_designs(pi), "bernoulli": oracle.bernoulli_designs(pi)}
    found = {m: cr_matmul(X, Y, rank, method=m, rng=seed).variance for m in RANDOM}
    for method, sets in designs.items():
        expected = oracle.expected_squared_error(X, Y, sets, pi)
        assert found[method] == pytest.approx(expected, abs=1e-10 * unit)
    expected = oracle.drineas_kannan_mahoney(X, Y, rank)
    assert found["iid"] == pytest.approx(expected, abs=1e-10 * unit)
    # Without replacement is never worse than with.
    assert found["pips"] <= found["iid"] + 1e-10 * unit


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", RANDOM)
def test_variance_of_batches(method, dtype):
    # The sum over all sets, of problems with nothing in common but their shapes; one has equal
    # sizes, one fewer terms than are drawn, one none, and columns of any scale are the same terms.
    problems = [factors(seed, 3, 7, 2, dtype) for seed in range(5)]
    X, Y = (np.stack(stack) for stack in zip(*problems, strict=True))
    X[1] /= np.linalg.norm(X[1], axis=0)
    Y[1] /= np.linalg.norm(Y[1], axis=1, keepdims=True)
    X[2, :, 2:] = 0
    Y[3] = 0
    powers = (2.0 ** np.linspace(-90, 90, 7).astype(int)).astype(X.real.dtype)
    found = cr_matmul(X, Y, 3, method=method, rng=0).variance
    scaled = cr_matmul(X * powers, Y / powers[:, None], 3, method=method, rng=0).variance
    assert_allclose(scaled, found, rtol=1e-5 if np.finfo(dtype).eps > 1e-10 else 1e-12, atol=1e-300)
    for x, y, value in zip(X.astype(complex), Y.astype(complex), found, strict=True):
        s = oracle.sizes(x, y)
        pi = oracle.inclusion(s, 3)
        if not s.any():
            expected = 0.0
        elif method == "iid":
            expected = oracle.drineas_kannan_mahoney(x, y, 3)
        else:
            design = oracle.pivotal_designs if method == "pips" else oracle.bernoulli_designs
            expected = oracle.expected_squared_error(x, y, design(pi), pi)
        assert value == pytest.approx(expected, abs=20 * np.finfo(dtype).eps * s.sum() ** 2)
    # Terms of nothing change nothing, and make matrices too long to be taken together.
    long = (np.pad(X, ((0, 0), (0, 0), (0, 300))), np.pad(Y, ((0, 0), (0, 300), (0, 0))))
    again = cr_matmul(*long, 3, method=method, rng=0).variance
    assert_allclose(again, found, rtol=1e-4 if np.finfo(dtype).eps > 1e-10 else 1e-11, atol=1e-9)


@pytest.mark.parametrize("spread", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_without_replacement_is_never_worse(spread, mean):
    for length, rank in ((60, 6), (60, 45), (400, 40)):
        X, Y = factors(length, 10, length, 8, spread=spread)
        X, Y = X + mean * np.abs(X), Y + mean
        found = {m: cr_matmul(X, Y, rank, method=m, rng=0).variance for m in ("pips", "iid")}
        assert found["pips"] <= found["iid"] * (1 + 1e-12)


def test_bounds_of_drineas_kannan_and_mahoney():
    """SIAM J. Comput. 36 (2006), theorem 1, on generated data: with the best probabilities

    E ||M - C R||_F^2 <= ||X||^2 ||Y||^2 / c, and with probability at least 1 - delta
    ||M - C R||_F <= (1 + sqrt(8 log(1 / delta))) ||X|| ||Y|| / sqrt(c); uniform probabilities
    have the larger variance sum_i s_i^2 / (c p_i) - ||M||^2 / c.
    """
    draws, c, delta = 2000, 12, 0.1
    X, Y = factors(0, 20, 80, 15)
    M, limit = X @ Y, np.linalg.norm(X) * np.linalg.norm(Y) / np.sqrt(c)
    p = cr_matmul(np.broadcast_to(X, (draws, *X.shape)), Y, c, method="iid", rng=0)
    errors = np.linalg.norm(p.toarray() - M, axis=(1, 2))
    variance = cr_matmul(X, Y, c, method="iid", rng=0).variance
    assert variance <= limit**2
    # Five standard errors: false alarm 6e-7. The seed is fixed.
    assert abs((errors**2).mean() - variance) <= 5 * (errors**2).std() / np.sqrt(draws)
    assert np.mean(errors > (1 + np.sqrt(8 * np.log(1 / delta))) * limit) <= delta
    s = oracle.sizes(X, Y)
    uniform = (80 * (s**2).sum() - np.linalg.norm(M) ** 2) / c
    assert variance <= 0.75 * uniform


@examples
@given(seeds, st.integers(2, 60), st.integers(1, 60), st.sampled_from([0.0, 1.0, 4.0]))
def test_weights_are_inverse_probabilities(seed, length, rank, spread):
    rank = min(rank, length)
    X, Y = factors(seed, 3, length, 2, spread=spread)
    p = cr_matmul(X, Y, rank, method="pips", rng=seed)
    pi = np.array([float(x) for x in oracle.inclusion(oracle.sizes(X, Y), rank)])
    assert_allclose(p.weights, 1 / pi[p.indices], rtol=1e-12)
    assert np.sum(pi) == pytest.approx(rank)
    assert set(np.flatnonzero(pi == 1)) <= set(p.indices.tolist())
    q = cr_probabilities(X, Y)
    d = cr_matmul(X, Y, rank, method="iid", rng=seed)
    assert_allclose(d.weights, 1 / (rank * q[d.indices]), rtol=1e-12)


def test_long_chains_of_large_probabilities():
    # Inclusion probabilities near one tie all intervals together.
    rng = np.random.default_rng(0)
    X, Y = rng.random((4, 120)) + 1, rng.random((120, 3)) + 1
    p = cr_matmul(X, Y, 117, method="pips", rng=0)
    assert len(set(p.indices.tolist())) == 117
    draws = 20000
    q = cr_matmul(np.broadcast_to(X, (draws, *X.shape)), Y, 117, method="pips", rng=1)
    squares = ((q.toarray() - X @ Y) ** 2).sum(axis=(1, 2))
    # Five standard errors: false alarm 6e-7.
    assert abs(squares.mean() - p.variance) <= 5 * squares.std() / np.sqrt(draws)


# Batches, sparse arrays, workers


@pytest.mark.parametrize("method", METHODS)
def test_batches(method):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((3, 1, 4, 10)), rng.standard_normal((2, 10, 5))
    p = cr_matmul(X, Y, 4, method=method, rng=0)
    assert p.shape == (3, 2, 4, 5)
    assert cr_probabilities(X, Y).shape == (3, 2, 10)
    for i in range(3):
        for j in range(2):
            C, w, R = p.C[i, j] * p.weights[i, j], p.weights[i, j], p.R[i, j]
            assert_array_equal(p.C[i, j], X[i, 0][:, p.indices[i, j]])
            assert_allclose(p.toarray()[i, j], C @ R, atol=1e-12)
            if method in ("topk", "tuple"):
                one = cr_matmul(X[i, 0], Y[j], 4, method=method, rng=0)
                assert_array_equal(one.indices, p.indices[i, j])
                assert_allclose(one.error_estimate, p.error_estimate[i, j], rtol=1e-10)
            else:
                one = cr_matmul(X[i, 0], Y[j], 4, method=method, rng=5)
                assert_allclose(one.variance, p.variance[i, j])
                assert np.all(w >= 0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weights", ["auto", "ls_diag", "ls_full"])
def test_empty_batches(method, weights):
    for batch in ((0,), (2, 0)):
        X, Y = np.zeros((*batch, 3, 4)), np.zeros((*batch, 4, 2))
        p = cr_matmul(X, Y, 2, method=method, weights=weights, rng=0)
        assert p.toarray().shape == p.shape == (*batch, 3, 2)
        assert p.error_estimate.shape == batch
        if p.variance is not None:
            assert p.variance.shape == batch
    assert cr_probabilities(X, Y).shape == (2, 0, 4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [csr_array, csc_matrix, coo_array])
def test_sparse(method, kind):
    rng = np.random.default_rng(0)
    X, Y = (random_array(s, density=0.3, rng=rng) for s in ((20, 30), (30, 15)))
    dense = cr_matmul(X.toarray(), Y.toarray(), 8, method=method, rng=1)
    for x, y in ((kind(X), kind(Y)), (kind(X), Y.toarray()), (X.toarray(), kind(Y))):
        p = cr_matmul(x, y, 8, method=method, rng=1)
        assert issparse(p.C) == issparse(x)
        assert issparse(p.R) == issparse(y)
        assert_array_equal(p.indices, dense.indices)
        assert_allclose(p.toarray(), dense.toarray(), atol=1e-13)
        assert_allclose(p @ np.ones((15, 2)), dense @ np.ones((15, 2)), atol=1e-12)
        assert_allclose(p.error_estimate, dense.error_estimate)
        if method in RANDOM:
            assert_allclose(p.variance, dense.variance)
        for weights in ("ls_diag", "ls_full"):
            q = cr_matmul(x, y, 8, method=method, weights=weights, rng=1)
            best = cr_matmul(X.toarray(), Y.toarray(), 8, method=method, weights=weights, rng=1)
            assert_allclose(q.toarray(), best.toarray(), atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_workers_do_not_matter(method):
    X, Y = factors(0, 300, 400, 200)
    p, q = (cr_matmul(X, Y, 50, method=method, rng=3, workers=w) for w in (1, 2))
    assert_array_equal(p.indices, q.indices)
    assert p.weights.tobytes() == q.weights.tobytes()
    assert p.variance == q.variance
    assert p.error_estimate == q.error_estimate


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        ((np.ones((2, 3)), np.ones((4, 2)), 1), {}, ValueError, "'Y' must have 3 rows"),
        ((np.ones(3), np.ones((3, 2)), 1), {}, ValueError, "'X' must have at least 2 dim"),
        ((np.ones((2, 3)), np.ones((3, 2)), 4), {}, ValueError, "'rank' must be at most 3"),
        ((np.ones((2, 3)), np.ones((3, 2)), -1), {}, ValueError, "'rank' must be >= 0"),
        ((np.ones((2, 3)), np.ones((3, 2)), 1.0), {}, TypeError, "'rank' must be an integer"),
        ((np.ones((2, 3)), np.full((3, 2), np.nan), 1), {}, ValueError, "'Y' must be finite"),
        ((np.full((2, 3), np.inf), np.ones((3, 2)), 1), {}, ValueError, "'X' must be finite"),
        ((np.ones((2, 3)), np.ones((3, 2)), 1), {"method": "top"}, ValueError, "'method'"),
        ((np.ones((2, 3)), np.ones((3, 2)), 1), {"weights": "x"}, ValueError, "'weights'"),
        ((np.ones((2, 3)), np.ones((3, 2)), 1), {"weights": "unbiased"}, ValueError, "random"),
        ((np.ones((2, 2, 3)), np.ones((3, 3, 2)), 1), {}, ValueError, "leading axes"),
        ((np.ones((2, 3), object), np.ones((3, 2)), 1), {}, TypeError, "'X' must be an array"),
        ((np.ones((2, 3)), np.ones((3, 2)), 1), {"rng": "a"}, TypeError, "'rng'"),
        ((np.ones((2, 3)), np.ones((3, 2)), 1), {"tuple_size": 0}, ValueError, "'tuple_size'"),
    ],
)
def test_messages(arguments, options, error, text):
    with pytest.raises(error, match="cr_matmul: .*" + text):
        cr_matmul(*arguments, **options)


def test_messages_of_probabilities():
    with pytest.raises(
        ValueError, match=r"cr_probabilities: 'X' must be finite, got nan at \[1, 0\]"
    ):
        cr_probabilities([[1.0, 2.0], [np.nan, 0.0]], np.eye(2))
    with pytest.raises(
        ValueError, match=r"cr_probabilities: 'Y' must be finite, got inf at \[1, 0, 1"
    ):
        cr_probabilities(np.eye(2), [np.eye(2), [[0, np.inf], [0, 0]]])
    with pytest.raises(ValueError, match="cr_probabilities: 'Y' must have 3 rows"):
        cr_probabilities(np.eye(3), np.eye(2))
    with pytest.raises(ValueError, match="cr_probabilities: 'X' must have at least 2 dimensions"):
        cr_probabilities(np.ones(3), np.eye(3))
    with pytest.raises(TypeError, match="cr_probabilities: 'Y' must be an array"):
        cr_probabilities(np.eye(2), np.eye(2, dtype=object))


def test_frozen_and_short():
    p = cr_matmul(*factors(0), 3)
    assert len(repr(p)) < 80
    with pytest.raises(AttributeError):
        p.indices = None
    with pytest.raises(ValueError, match="new"):
        np.asarray(p, copy=False)


def test_pairs_that_do_not_fit():
    with pytest.raises(ValueError, match="'X' must be 2-dimensional beside a sparse array"):
        cr_matmul(csr_array(np.eye(3)), np.ones((2, 3, 3)), 1)
    with pytest.raises(ValueError, match=r"'Y' must have leading axes that fit those of X, \(2,\)"):
        cr_matmul(np.ones((2, 3, 3)), np.ones((3, 3, 3)), 1)
    with pytest.raises(ValueError, match="'X' must be 2-dimensional, got shape"):
        cr_matmul(coo_array(np.ones(3)).tocsr(), np.ones((3, 3)), 1)


def test_entries_given_twice_are_summed():
    twice = csr_array(([1.0, 2.0, 3.0], [0, 0, 1], [0, 2, 3]), shape=(2, 2))
    Y = np.array([[1.0, 2.0], [3.0, 4.0]])
    product = cr_matmul(twice, Y, 2).toarray()
    assert_allclose(product, [[3.0, 6.0], [9.0, 12.0]], rtol=1e-15)
