"""The functions around the decomposition: reconstruction, SVD, norm and rank estimates."""

import inspect
import pickle

import numpy as np
import pytest
import scipy.linalg.interpolative as peer
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from kexue_num import NumericalError, interpolative
from tests.oracles import lowrank as oracle

DTYPES = (np.float32, np.float64, np.complex64, np.complex128)
FORMS = {
    "dense": np.asarray,
    "sparse": sp.csr_array,
    "operator": aslinearoperator,
}


def random_matrix(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        A = A + 1j * rng.standard_normal(shape)
    return A.astype(dtype)


def test_names_and_signatures_are_those_of_scipy():
    assert sorted(interpolative.__all__) == sorted(peer.__all__)
    for name in peer.__all__:
        ours = inspect.signature(getattr(interpolative, name)).parameters.values()
        theirs = inspect.signature(getattr(peer, name)).parameters.values()
        assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs], name


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("eps_or_k", [4, 4.0, np.int32(4), np.float64(1e-3)])
def test_types_of_results_are_those_of_scipy(dtype, eps_or_k):
    A = random_matrix((20, 12), dtype)
    A64 = np.array(A)
    for ours, theirs in (
        (interpolative.interp_decomp(A, eps_or_k), peer.interp_decomp(A64, eps_or_k)),
        (interpolative.svd(A, eps_or_k), peer.svd(A64, eps_or_k)),
    ):
        assert len(ours) == len(theirs)
        for mine, its in zip(ours, theirs, strict=True):
            assert type(mine) is type(its)
            if isinstance(its, np.ndarray):
                assert (mine.dtype, mine.shape) == (its.dtype, its.shape)
    assert type(interpolative.estimate_rank(A, 1e-3)) is int
    assert type(interpolative.estimate_spectral_norm(A)) is float


def test_deterministic_pivots_are_those_of_scipy():
    A, rank = oracle.fast_decay(np.random.default_rng(0))
    idx, proj = interpolative.interp_decomp(A, rank, rand=False)
    expected_idx, expected_proj = peer.interp_decomp(A.copy(), rank, rand=False)
    assert_array_equal(idx[:rank], expected_idx[:rank])
    order, expected_order = np.argsort(idx[rank:]), np.argsort(expected_idx[rank:])
    assert_allclose(proj[:, order], expected_proj[:, expected_order], atol=1e-11)


@pytest.mark.parametrize("form", ["sparse", "operator"])
def test_rand_false_has_no_meaning_without_entries(form):
    A = FORMS[form](random_matrix((20, 12)))
    for mine, its in zip(
        interpolative.interp_decomp(A, 4, rand=False, rng=3),
        interpolative.interp_decomp(A, 4, rand=True, rng=3),
        strict=True,
    ):
        assert_array_equal(mine, its)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index_dtype", [np.int8, np.uint16, np.int32, np.uint64, list])
def test_reconstruction(dtype, index_dtype):
    A = random_matrix((15, 11), dtype)
    idx, proj = interpolative.interp_decomp(A, 4, rng=0)
    order = idx.tolist() if index_dtype is list else idx.astype(index_dtype)
    B = interpolative.reconstruct_skel_matrix(A, 4, order)
    P = interpolative.reconstruct_interp_matrix(order, proj)
    whole = interpolative.reconstruct_matrix_from_id(B, order, proj)
    assert (B.dtype, P.dtype, whole.dtype) == (dtype, dtype, dtype)
    assert_array_equal(B, A[:, idx[:4]])
    assert_array_equal(P[:, idx[:4]], np.eye(4))
    assert_array_equal(P[:, idx[4:]], proj)
    assert_array_equal(whole[:, idx[:4]], B)  # bit for bit, not a product
    assert_allclose(whole, B @ P, rtol=10 * np.finfo(dtype).eps, atol=1e-6 * (dtype in DTYPES[::2]))


def test_reconstruction_agrees_with_scipy():
    A = random_matrix((15, 11))
    idx, proj = peer.interp_decomp(A, 4, rand=False)
    B = peer.reconstruct_skel_matrix(A, 4, idx)
    assert_array_equal(interpolative.reconstruct_skel_matrix(A, 4, idx), B)
    assert_array_equal(
        interpolative.reconstruct_interp_matrix(idx, proj),
        peer.reconstruct_interp_matrix(idx, proj),
    )
    assert_allclose(
        interpolative.reconstruct_matrix_from_id(B, idx, proj),
        peer.reconstruct_matrix_from_id(B, idx, proj),
        atol=1e-14,
    )


@pytest.mark.parametrize("form", FORMS)
def test_skeleton_of_every_form(form):
    A = random_matrix((9, 7), np.complex128)
    B = interpolative.reconstruct_skel_matrix(FORMS[form](A), 3, [5, 0, 2, 1, 3, 4, 6])
    assert sp.issparse(B) == (form == "sparse")
    assert_array_equal(B.toarray() if form == "sparse" else B, A[:, [5, 0, 2]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(15, 11), (3, 11), (15, 4), (15, 1)])
@pytest.mark.parametrize("form", [np.asarray, sp.csc_array])
def test_id_to_svd(dtype, shape, form):
    A = random_matrix(shape, dtype)
    rank = min(3, *shape)
    idx, proj = interpolative.interp_decomp(A, rank, rng=0)
    B = A[:, idx[:rank]]
    check_svd(interpolative.id_to_svd(form(B), idx, proj), B @ matrix_p(idx, proj), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("eps_or_k", [6, 1e-3])
def test_svd(dtype, form, eps_or_k):
    A = random_matrix((30, 6), dtype) @ random_matrix((6, 20), dtype, seed=1)
    result = interpolative.svd(FORMS[form](A), eps_or_k, rng=0)
    check_svd(result, A, dtype)
    assert len(result[1]) == 6


def matrix_p(idx, proj):
    return interpolative.reconstruct_interp_matrix(idx, proj)


def check_svd(result, A, dtype):
    U, s, V = result
    tight = 100 * np.finfo(dtype).eps
    assert (U.dtype, V.dtype) == (dtype, dtype)
    assert s.dtype == np.finfo(dtype).dtype
    assert np.all(s[:-1] >= s[1:])
    assert np.all(s >= 0)
    assert_allclose(U.conj().T @ U, np.eye(len(s)), atol=tight)
    assert_allclose(V.conj().T @ V, np.eye(len(s)), atol=tight)
    assert_allclose(U * s @ V.conj().T, A, atol=tight * float(np.linalg.norm(A, 2)))


def test_empty_id():
    P = interpolative.reconstruct_interp_matrix([1, 0], np.zeros((0, 2)))
    assert P.shape == (0, 2)
    whole = interpolative.reconstruct_matrix_from_id(np.zeros((3, 0)), [1, 0], np.zeros((0, 2)))
    assert_array_equal(whole, np.zeros((3, 2)))
    U, s, V = interpolative.id_to_svd(np.zeros((3, 0)), [1, 0], np.zeros((0, 2)))
    assert (U.shape, s.shape, V.shape) == ((3, 0), (0,), (2, 0))


NORM_CASES = {
    "gaussian": random_matrix((80, 120)),
    "close largest values": np.diag(1.0 - 1e-3 * np.sqrt(np.arange(200.0))),
    "triple largest value": np.diag(np.r_[1.0, 1.0, 1.0, np.linspace(0.9, 0.0, 60)]),
    "rank one": np.outer(np.arange(1.0, 8), np.arange(1.0, 6)),
    "one column": np.arange(9.0)[:, None],
    "one row": np.arange(9.0)[None],
    "identity": np.eye(30),
    "1e200": 1e200 * random_matrix((30, 20)),
    "1e-200": 1e-200 * random_matrix((20, 30)),
    "complex": random_matrix((25, 40), np.complex128),
    "float32": random_matrix((25, 40), np.float32),
    "integers": np.arange(12).reshape(3, 4),
    "boolean": np.eye(5, dtype=bool),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", NORM_CASES)
def test_spectral_norm(case, form):
    # Fixed seeds. On these spectra the Krylov space of 20 steps resolves the norm; SciPy's power
    # iteration is off by 1e-2 on the first two, and returns NaN or 0 at the extreme scales.
    A = NORM_CASES[case]
    exact = oracle.spectral_norm(A.astype(complex))
    for seed in range(3):
        found = interpolative.estimate_spectral_norm(FORMS[form](A), rng=seed)
        tight = 1e-6 if A.dtype == np.float32 else 1e-8
        assert exact * (1 - tight) <= found <= exact * (1 + tight)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (4, 5)])
def test_spectral_norm_of_nothing(shape):
    assert interpolative.estimate_spectral_norm(np.zeros(shape)) == 0.0


def test_spectral_norm_grows_with_the_iterations():
    A = random_matrix((300, 300))
    found = [interpolative.estimate_spectral_norm(A, its, rng=0) for its in (1, 2, 5, 20)]
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_spectral_norm_calls_no_more_products_than_promised():
    A = random_matrix((60, 50))
    calls = {"matmat": 0, "rmatmat": 0}

    def counted(name, M):
        def product(X):
            calls[name] += 1
            return M @ X

        return product

    operator = LinearOperator(
        A.shape,
        dtype=A.dtype,
        matvec=counted("matmat", A),
        rmatvec=counted("rmatmat", A.T),
        matmat=counted("matmat", A),
        rmatmat=counted("rmatmat", A.T),
    )
    interpolative.estimate_spectral_norm(operator, its=7, rng=0)
    assert calls == {"matmat": 7, "rmatmat": 7}


@pytest.mark.parametrize("left", FORMS)
@pytest.mark.parametrize("right", FORMS)
def test_spectral_norm_of_a_difference(left, right):
    A, B = random_matrix((30, 20), np.complex128), random_matrix((30, 20), seed=1)
    found = interpolative.estimate_spectral_norm_diff(FORMS[left](A), FORMS[right](B), rng=0)
    assert_allclose(found, oracle.spectral_norm(A - B), rtol=1e-9)
    nothing = interpolative.estimate_spectral_norm_diff(FORMS[left](A), FORMS[right](A), rng=0)
    assert nothing <= 1e-14 * oracle.spectral_norm(A)  # the rounding of two ways to multiply


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("eps", [1e-2, 1e-5, 1e-9])
@pytest.mark.parametrize("family", ["fast_decay", "slow_decay", "hilbert", "rank_deficient"])
def test_rank_lies_between_the_ranks_at_eps_and_at_half_of_it(family, eps, form):
    A, _ = oracle.FAMILIES[family](np.random.default_rng(0))
    s = oracle.singular_values(A)
    low, high = (int((s > factor * s[0]).sum()) for factor in (eps, eps / 2))
    # Probability 0.999 each; 36 cases at fixed seeds.
    assert low <= interpolative.estimate_rank(FORMS[form](A), eps, rng=0) <= high


def test_rank_of_zero_and_identity():
    assert interpolative.estimate_rank(np.zeros((4, 6)), 1e-3) == 0
    assert interpolative.estimate_rank(np.zeros((0, 6)), 1e-3) == 0
    assert interpolative.estimate_rank(np.eye(7), 1e-3) == 7


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("interp_decomp", (3,)),
        ("interp_decomp", (1e-3,)),
        ("svd", (3,)),
        ("estimate_spectral_norm", (2,)),
        ("estimate_rank", (1e-3,)),
    ],
)
def test_rng(function, arguments):
    A = random_matrix((300, 40))
    call = getattr(interpolative, function)
    seeded = [call(A, *arguments, rng=rng) for rng in (5, np.random.default_rng(5))]
    assert pickle.dumps(seeded[0]) == pickle.dumps(seeded[1])
    with pytest.raises(TypeError, match=rf"^{function}: 'rng' must .*RandomState$"):
        call(A, *arguments, rng=np.random.RandomState(5))


IDENTITY = np.eye(3)
BAD = [
    ("interp_decomp", (IDENTITY, 2.7), ValueError, "'eps_or_k' must be below 1 or an integer.*2.7"),
    ("interp_decomp", (IDENTITY, -1), ValueError, "'eps_or_k' must be > 0, got -1"),
    ("interp_decomp", (IDENTITY, True), TypeError, "'eps_or_k' must be a real number, got True"),
    ("interp_decomp", (IDENTITY, "2"), TypeError, "'eps_or_k' must be a real number, got '2'"),
    ("interp_decomp", (IDENTITY, None), TypeError, "'eps_or_k' must be a real number, got None"),
    ("svd", (IDENTITY, np.nan), ValueError, "'eps_or_k' must be > 0, got nan"),
    ("svd", (IDENTITY, 1.5), ValueError, "'eps_or_k' must be below 1 or an integer.*1.5"),
    ("svd", (IDENTITY, 4), ValueError, r"'eps_or_k' must be at most 3 for A of shape \(3, 3\)"),
    ("svd", (IDENTITY, 1e-16), ValueError, "'eps_or_k' must be >= 2.2.*e-15, got 1e-16"),
    ("svd", (np.full((3, 3), np.inf), 1), ValueError, "'A' must be finite, got inf"),
    ("id_to_svd", ([[np.inf]], [0], np.zeros((1, 0))), ValueError, "'B' must be finite, got inf"),
    ("estimate_rank", (IDENTITY, 1.0), ValueError, "'eps' must be .*< 1, got 1.0"),
    ("estimate_rank", (IDENTITY, 1e-16), ValueError, "'eps' must be >= 2.2.*e-15.*got 1e-16"),
    ("estimate_rank", (IDENTITY.astype("f4"), 1e-6), ValueError, "'eps' must be >= 1.19.*e-06"),
    ("estimate_rank", (IDENTITY, -1.0), ValueError, "'eps' must .*got -1.0"),
    ("estimate_spectral_norm", (IDENTITY, 0), ValueError, "'its' must be >= 1, got 0"),
    ("estimate_spectral_norm", (IDENTITY, 2.5), TypeError, "'its' must be an integer, got 2.5"),
    ("estimate_spectral_norm", (np.ones(3),), ValueError, r"'A' must be 2-dim.*shape \(3,\)"),
    (
        "estimate_spectral_norm",
        (np.diag([np.nan, 1.0]),),
        ValueError,
        "'A' must be finite, got nan",
    ),
    (
        "estimate_spectral_norm",
        (sp.csr_array(np.diag([np.inf, 1.0])),),
        ValueError,
        "'A' must be fin",
    ),
    (
        "estimate_spectral_norm",
        (aslinearoperator(np.diag([np.nan, 1.0])),),
        ValueError,
        "'A' must be finite, got nan",
    ),
    ("estimate_spectral_norm", (np.array(["a"]),), TypeError, "'A' must be an array of .*<U1"),
    (
        "estimate_spectral_norm_diff",
        (IDENTITY, np.eye(2)),
        ValueError,
        r"'B' must have the shape \(3, 3\) of 'A', got \(2, 2\)",
    ),
    ("reconstruct_interp_matrix", ([0, 0], [[1.0]]), ValueError, "'idx' must be a permutation"),
    ("reconstruct_interp_matrix", ([1, 2], [[1.0]]), ValueError, "'idx' must be a permutation"),
    ("reconstruct_interp_matrix", ([-1, 0], [[1.0]]), ValueError, "'idx' must be a permutation"),
    ("reconstruct_interp_matrix", ([0.0, 1.0], [[1.0]]), TypeError, "'idx' must be .*integers"),
    ("reconstruct_interp_matrix", ([[0, 1]], [[1.0]]), TypeError, "'idx' must be a 1-dim"),
    ("reconstruct_interp_matrix", ([0, 1], [1.0]), ValueError, "'proj' must be 2-dimensional"),
    (
        "reconstruct_interp_matrix",
        ([0, 1, 2], [[1.0]]),
        ValueError,
        r"'proj' must have shape \(k, 3 - k\).*got \(1, 1\)",
    ),
    ("reconstruct_interp_matrix", ([0, 1], [["x"]]), TypeError, "'proj' must be an array of"),
    (
        "reconstruct_matrix_from_id",
        (IDENTITY, [0, 1], [[1.0]]),
        ValueError,
        r"'B' must have shape \(m, 1\), got \(3, 3\)",
    ),
    ("id_to_svd", (IDENTITY, [0, 1], [[1.0]]), ValueError, r"'B' must have shape \(m, 1\)"),
    ("reconstruct_skel_matrix", (IDENTITY, 4, [0, 1, 2]), ValueError, "'k' must lie in 0..3"),
    ("reconstruct_skel_matrix", (IDENTITY, -1, [0, 1, 2]), ValueError, "'k' must lie in 0..3"),
    ("reconstruct_skel_matrix", (IDENTITY, 1.0, [0, 1, 2]), TypeError, "'k' must be an integer"),
    (
        "reconstruct_skel_matrix",
        (IDENTITY, 1, [0, 1]),
        ValueError,
        r"'A' must have shape \(m, 2\), got \(3, 3\)",
    ),
]


@pytest.mark.parametrize(("function", "arguments", "error", "message"), BAD)
def test_messages(function, arguments, error, message):
    with pytest.raises(error, match=rf"^{function}: {message}"):
        getattr(interpolative, function)(*arguments)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_norms_near_the_largest_number(dtype):
    A = np.full((8, 4), np.finfo(dtype).max / 8, dtype)
    expected = np.linalg.norm(A / 2**20, 2) * 2.0**20
    assert_allclose(interpolative.estimate_spectral_norm(A, rng=0), expected, rtol=1e-6)
    half = interpolative.estimate_spectral_norm_diff(A, A / 2, rng=0)
    assert_allclose(half, expected / 2, rtol=1e-6)
    if dtype != "float32":
        with pytest.raises(NumericalError, match=r"^estimate_spectral_norm: the norm overflows"):
            interpolative.estimate_spectral_norm(A * 8, rng=0)


def test_decompositions_near_the_largest_number():
    big, none = np.full((3, 1), 1e308), np.zeros((1, 0))
    with pytest.raises(NumericalError, match=r"^id_to_svd: the product .* overflows"):
        interpolative.id_to_svd(big, [1, 0], [[0.5]])
    with pytest.raises(NumericalError, match=r"^reconstruct_matrix_from_id: .* over"):
        interpolative.reconstruct_matrix_from_id(big, [1, 0], [[2.0]])
    for scale in (1e-310, 1e308):
        U, S, V = interpolative.id_to_svd(np.full((3, 1), scale), [0], none)
        assert_allclose(S / scale, [np.sqrt(3)], rtol=1e-12)
        assert_allclose(np.abs(U @ V.T), np.full((3, 1), 1 / np.sqrt(3)), rtol=1e-12)
