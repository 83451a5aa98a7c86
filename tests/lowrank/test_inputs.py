"""Kinds of input: dtypes, sparse formats, linear operators, array-likes."""

import numpy as np
import pytest
import scipy.linalg.interpolative as peer
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import kexue_num
from kexue_num.lowrank import column_subset, interp_decomp
from tests.oracles import lowrank as oracle

DTYPES = (np.float32, np.float64, np.complex64, np.complex128)
FORMATS = ("csr", "csc", "coo", "bsr", "lil", "dok")
CONTAINERS = [getattr(sp, f"{name}_{kind}") for name in FORMATS for kind in ("array", "matrix")]
GOALS = [{"rank": 12}, {"rank": 12, "refine": "exact"}, {"tol": 0.1}]


def sparse_matrix(dtype=np.float64, shape=(120, 90)):
    rng = np.random.default_rng(3)
    A = sp.random_array(shape, density=0.08, rng=rng, format="coo")
    values = A.data * np.geomspace(1, 1e-3, shape[1])[A.coords[1]]
    if np.dtype(dtype).kind == "c":
        values = values * np.exp(1j * np.arange(values.size))
    return sp.coo_array((values.astype(dtype), A.coords), shape=shape)


class Counted(LinearOperator):
    """A matrix known by its products, which counts the columns it is multiplied with."""

    def __init__(self, A, dtype=None):
        super().__init__(dtype=dtype or A.dtype, shape=A.shape)
        self.A, self.forward, self.adjoint = A, 0, 0

    def _matmat(self, X):
        self.forward += X.shape[1]
        return self.A @ X

    def _rmatmat(self, Y):
        self.adjoint += Y.shape[1]
        return self.A.conj().T @ Y


@pytest.fixture
def _no_densification(monkeypatch):
    """Only a matrix of few columns may become dense: a skeleton."""

    def guarded(method):
        def convert(self, *args, **options):
            assert min(self.shape) <= 200, f"a matrix of shape {self.shape} was densified"
            return method(self, *args, **options)

        return convert

    for container in CONTAINERS:
        for name in ("toarray", "todense"):
            monkeypatch.setattr(container, name, guarded(getattr(container, name)))


# dtypes


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("goal", GOALS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_stay(dtype, goal, axis):
    A = sparse_matrix(dtype).toarray()
    d = interp_decomp(A, **goal, axis=axis, rng=0)
    assert (d.dtype, d.coefficients.dtype, d.skeleton.dtype) == (dtype, dtype, dtype)
    assert d.reconstruct().dtype == dtype
    left, right = (d.skeleton, d.coefficients) if axis == 1 else (d.coefficients, d.skeleton)
    assert oracle.true_error(A, left, right) <= d.error_bound
    assert type(d.error_bound) is float
    assert type(d.error_estimate) is float
    assert type(d.max_abs_coefficient) is float


@pytest.mark.parametrize(
    ("dtype", "computed"),
    [
        (np.float16, np.float32),
        (np.bool_, np.float64),
        (np.int8, np.float64),
        (np.uint16, np.float64),
        (np.int64, np.float64),
    ],
)
def test_other_dtypes_are_those_they_are_computed_in(dtype, computed):
    """float16 has too few bits for coefficients: those, and the skeleton, are float32."""
    A = np.random.default_rng(0).integers(0, 2 if dtype is np.bool_ else 50, (30, 20)).astype(dtype)
    one, two = interp_decomp(A, 7, rng=0), interp_decomp(A.astype(computed), 7, rng=0)
    assert one.dtype == computed
    assert_array_equal(one.indices, two.indices)
    assert_array_equal(one.coefficients, two.coefficients)
    assert one.error_bound == two.error_bound


def test_array_likes():
    A = np.arange(1.0, 13).reshape(4, 3) ** 2
    expected = interp_decomp(A, 2, rng=0)

    class Holder:
        def __array__(self, dtype=None, copy=None):
            return A

    class Producer:
        def __dlpack_device__(self):
            return A.__dlpack_device__()

        def __dlpack__(self, **options):
            return A.__dlpack__(**options)

    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix(A)
    for form in (A.tolist(), tuple(map(tuple, A)), matrix, Holder(), Producer(), memoryview(A)):
        found = interp_decomp(form, 2, rng=0)
        assert_array_equal(found.indices, expected.indices)
        assert_array_equal(found.coefficients, expected.coefficients)
        assert type(found.skeleton) is np.ndarray


@pytest.mark.parametrize("side", [1, 2, 3, 15, 16, 17, 63, 64, 65, 129])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sizes_around_the_widths_of_registers_and_tiles(side, dtype):
    rng = np.random.default_rng(side)
    for shape in ((side, 33), (33, side), (side, side)):
        A = rng.standard_normal(shape).astype(dtype)
        for rank in {0, 1, min(shape) // 2, min(shape)}:
            d = interp_decomp(A, rank, rng=0)
            assert oracle.true_error(A, d.skeleton, d.coefficients) <= d.error_bound
            assert np.abs(d.coefficients).max(initial=0.0) <= 2.0


# sparse matrices


@pytest.mark.parametrize("goal", GOALS, ids=str)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("container", CONTAINERS, ids=lambda c: c.__name__)
def test_sparse_formats(container, axis, goal):
    A = container(sparse_matrix())
    kept = A.copy()
    d = interp_decomp(A, **goal, axis=axis, rng=0)
    assert (kept != A).nnz == 0
    assert sp.issparse(d.skeleton)
    assert isinstance(d.skeleton, sp.sparray) == isinstance(A, sp.sparray)
    dense = A.toarray()
    assert_array_equal(d.skeleton.toarray(), np.take(dense, d.indices, axis=axis))
    whole = d.reconstruct()
    assert type(whole) is np.ndarray
    assert oracle.spectral_norm(dense - whole) <= d.error_bound
    assert_allclose(d @ np.eye(90), whole, atol=1e-13)
    assert_allclose(d.as_linear_operator() @ np.eye(90), whole, atol=1e-13)
    svd = d.to_svd()
    assert_allclose(svd.U * svd.s @ svd.Vh, whole, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sparse_dtypes(dtype):
    A = sparse_matrix(dtype).tocsr()
    d = interp_decomp(A, 20, rng=0)
    assert (d.dtype, d.skeleton.dtype) == (dtype, dtype)
    assert oracle.spectral_norm(A.toarray() - d.reconstruct()) <= d.error_bound
    whole = interp_decomp(sparse_matrix().tocsr().astype(np.int32), 3, rng=0)
    assert whole.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float64, np.complex64])
def test_sparse_and_dense_answers_are_equally_good(dtype):
    A = sparse_matrix(dtype)
    dense = A.toarray()
    ratio = []
    for seed in range(11):
        one, two = interp_decomp(A.tocsr(), 25, rng=seed), interp_decomp(dense, 25, rng=seed)
        ratio.append(
            oracle.spectral_norm(dense - one.reconstruct())
            / oracle.spectral_norm(dense - two.reconstruct())
        )
    assert 1 / 1.3 <= np.median(ratio) <= 1.3


def test_sparse_index_dtypes_duplicates_and_order():
    A = sparse_matrix().tocsr()
    expected = interp_decomp(A, 10, rng=0)
    wide = A.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    # Every value split into two halves, columns in descending order.
    rows = np.repeat(np.arange(A.shape[0]), np.diff(A.indptr))
    order = np.lexsort((-np.r_[A.indices, A.indices], np.r_[rows, rows]))
    split = sp.csr_array(
        (
            0.5 * np.r_[A.data, A.data][order],
            np.r_[A.indices, A.indices][order],
            2 * A.indptr,
        ),
        shape=A.shape,
    )
    for form in (wide, split):
        found = interp_decomp(form, 10, rng=0)
        assert_array_equal(found.indices, expected.indices)
        assert_allclose(found.coefficients, expected.coefficients, atol=1e-12)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (5, 4)])
def test_sparse_matrices_without_entries(shape):
    for form in (sp.csr_array(shape), sp.coo_array(shape)):
        d = interp_decomp(form, tol=0.1)
        assert (d.rank, d.error_bound) == (0, 0.0)
        assert d.skeleton.shape == (shape[0], 0)
        d = interp_decomp(form, min(2, *shape), rng=0)
        assert d.error_bound == 0.0


@pytest.mark.usefixtures("_no_densification")
@pytest.mark.parametrize("goal", [{"rank": 20}, {"tol": 0.5}], ids=str)
def test_large_sparse_matrix_is_never_densified(goal):
    # 8 GB as a dense array; 1e6 entries, of which a few columns carry the most.
    rng = np.random.default_rng(0)
    m, n, entries = 100_000, 10_000, 1_000_000
    columns = rng.integers(0, n, entries)
    values = rng.standard_normal(entries) * np.where(columns < 15, 100.0, 1.0)
    A = sp.csr_array((values, (rng.integers(0, m, entries), columns)), shape=(m, n))
    d = interp_decomp(A, **goal, rng=0)
    assert set(range(15)) <= set(d.indices.tolist())
    assert sp.issparse(d.skeleton)
    assert d.skeleton.shape == (m, d.rank)
    assert 0 < d.error_bound < 1e4


# linear operators


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("goal", GOALS, ids=str)
def test_operators(goal, axis, dtype):
    A = sparse_matrix(dtype).toarray()
    d = interp_decomp(Counted(A), **goal, axis=axis, rng=0)
    assert d.dtype == dtype
    tight = 10 * np.finfo(dtype).eps
    assert_allclose(d.skeleton, np.take(A, d.indices, axis=axis), atol=tight)
    assert oracle.spectral_norm(A - d.reconstruct()) <= d.error_bound
    if "tol" in goal:
        assert oracle.spectral_norm(A - d.reconstruct()) <= goal["tol"] * oracle.spectral_norm(A)


@pytest.mark.parametrize("rank", [5, 20, 60])
def test_operators_cost_at_most_twice_the_products_of_scipy(rank):
    A, _ = oracle.slow_decay(np.random.default_rng(0))
    ours, theirs = Counted(A), Counted(A)
    interp_decomp(ours, rank, rng=0)
    peer.interp_decomp(theirs, rank, rng=np.random.default_rng(0))
    assert theirs.forward == 0
    assert ours.adjoint <= 2 * theirs.adjoint
    assert ours.forward <= rank  # the skeleton itself, which SciPy leaves to the caller


def test_operator_with_single_vector_products_only():
    A = sparse_matrix().toarray()
    bare = LinearOperator(
        A.shape, matvec=lambda x: A @ x, rmatvec=lambda y: A.T @ y, dtype=np.float64
    )
    one, two = interp_decomp(bare, 9, rng=0), interp_decomp(aslinearoperator(A), 9, rng=0)
    assert_array_equal(one.indices, two.indices)
    assert_allclose(one.coefficients, two.coefficients, atol=1e-12)


def test_operator_without_an_adjoint():
    A = np.eye(4)
    bare = LinearOperator((4, 4), matvec=lambda x: A @ x, dtype=np.float64)
    with pytest.raises(TypeError, match=r"^interp_decomp: 'A' must .*(rmatvec|rmatmat|adjoint)"):
        interp_decomp(bare, 2)


def test_real_operator_declared_complex():
    A = sparse_matrix().toarray()
    d = interp_decomp(Counted(A, dtype=np.complex128), 15, rng=0)
    assert d.dtype == np.complex128
    assert oracle.spectral_norm(A - d.reconstruct()) <= d.error_bound


def test_composed_operators():
    A, B = sparse_matrix().toarray(), np.random.default_rng(0).standard_normal((90, 40))
    d = interp_decomp(aslinearoperator(A) @ aslinearoperator(B), 40, rng=0)
    assert_allclose(d.reconstruct(), A @ B, atol=1e-10)


def test_centred_data_through_an_operator():
    # Columns of mean zero: probes with a mean see too little of them.
    A, rank = oracle.centred_columns(np.random.default_rng(0))
    s = oracle.singular_values(A)
    for seed in range(5):
        d = interp_decomp(aslinearoperator(A), rank, rng=seed)
        assert oracle.spectral_norm(A - d.reconstruct()) <= 25 * s[rank]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_denormal_entries(dtype):
    # The largest entry lies below the smallest normal number: squares and inverses of it overflow.
    A = np.random.default_rng(5).integers(1, 500, (40, 30)) * np.finfo(dtype).smallest_subnormal
    A = A.astype(dtype)
    d = interp_decomp(A, 30, rng=0)
    assert np.isfinite(d.coefficients).all()
    assert np.abs(d.coefficients).max() <= 2
    assert np.isfinite(d.error_bound)


def test_entries_whose_sums_overflow():
    A = np.full((400, 300), 1.7e308)
    with pytest.raises(
        kexue_num.NumericalError, match="interp_decomp: the entries of A are so large"
    ):
        interp_decomp(A, 5, rng=0)


def test_memory_is_asked_for_in_advance(small_machine):
    huge = np.broadcast_to(np.ones(1), (4000, 2**30))
    expected = r"{}: 'rank' needs .* GiB of the .* GiB there are, got 100"
    with pytest.raises(MemoryError, match=expected.format("interp_decomp")):
        interp_decomp(huge, 100)
    with pytest.raises(MemoryError, match=expected.format("interp_decomp")):
        interp_decomp(huge, 100, method="deterministic")
    with pytest.raises(MemoryError, match=expected.format("column_subset")):
        column_subset(huge, 100)
    assert interp_decomp(np.eye(3), 2).rank == 2
