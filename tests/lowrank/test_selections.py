"""Every choice of columns: against its paper's algorithm, its quality, its limits."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from kexue_num import _core
from kexue_num.lowrank import column_subset, interp_decomp
from kexue_num.lowrank._choose import SELECTIONS
from kexue_num.lowrank._operands import DenseOperand
from tests.oracles import lowrank as oracle

GENERAL = tuple(s for s in SELECTIONS if s != "rpcholesky")
DTYPES = (np.float32, np.float64, np.complex64, np.complex128)


def gaussian(n, seed=0, dimensions=3, scale=1.0):
    x = np.random.default_rng(seed).random((n, dimensions))
    return np.exp(-scale * ((x[:, None] - x[None]) ** 2).sum(-1))


def turned(A, dtype):
    """In that dtype; complex ones by a unitary factor on either side."""
    if np.dtype(dtype).kind == "c":
        phases = np.exp(1j * np.arange(max(A.shape)))
        A = phases[: A.shape[0], None] * A * phases[: A.shape[1]].conj()
    return A.astype(dtype)


def split(A, rank):
    """Leading right singular vectors and the residual they leave."""
    V = oracle.leading_vectors(A, rank)
    return np.ascontiguousarray(V), np.ascontiguousarray(A - A @ V.conj().T @ V)


# The core's choices are those of the papers


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("penalty", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("family", ["fast_decay", "slow_decay", "gaussian_kernel"])
def test_osinsky_against_its_definition(isa, family, penalty, dtype):
    A, rank = oracle.FAMILIES[family](np.random.default_rng(1))
    A = turned(A, dtype)
    V, E = split(A, rank)
    for workers in (1, 2):
        chosen, W = _core.lowrank.osinsky_columns(V, E, penalty, workers)
        assert_array_equal(chosen, oracle.osinsky_columns(V, E, penalty))
        np.testing.assert_allclose(W @ W.conj().T, np.eye(rank), atol=1e-12)
        np.testing.assert_allclose(np.tril(W[:, chosen], -1), 0, atol=1e-12)


def test_osinsky_bound():
    """||A - A[:, S] Z||_F^2 <= (k + 1) times the best, on any matrix."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((20, 25)) * 10.0 ** rng.uniform(-3, 3, 25)
        for rank in (1, 5, 15):
            V, E = split(A, rank)
            chosen, _ = _core.lowrank.osinsky_columns(V, E, 0.0, 1)
            Z = np.linalg.solve(V[:, chosen], V)
            found = np.linalg.norm(A - A[:, chosen] @ Z) ** 2
            assert found <= (rank + 1) * np.linalg.norm(E) ** 2 * (1 + 1e-9)


def test_adaptive_columns_follow_their_law(isa):
    """The first column has probability ||v_j||^2 / k: chi-square, false alarm 1e-6."""
    V = oracle.leading_vectors(np.random.default_rng(0).standard_normal((8, 6)), 3)
    V = np.ascontiguousarray(V)
    draws = [_core.lowrank.adaptive_columns(V, (seed, 7), 1)[0] for seed in range(6000)]
    expected = (V**2).sum(axis=0) / 3 * 6000
    statistic = ((np.bincount(draws, minlength=6) - expected) ** 2 / expected).sum()
    assert statistic < 35.9  # chi-square, 5 degrees of freedom


def test_adaptive_error_in_expectation():
    """Each step multiplies the expected ||E||_F^2 by 1 + 1 / (k - t), so all by k + 1.

    (Cortinovis & Kressner 2024.) The mean of 400 is within 5 of its deviations: false alarm 6e-7.
    """
    A, rank = oracle.slow_decay(np.random.default_rng(0))
    V, E = split(A, rank)
    errors = []
    for seed in range(400):
        chosen = _core.lowrank.adaptive_columns(V, (seed, 0), 1)
        errors.append(np.linalg.norm(A - A[:, chosen] @ np.linalg.solve(V[:, chosen], V)) ** 2)
    expected = (rank + 1) * np.linalg.norm(E) ** 2
    assert abs(np.mean(errors) - expected) < 5 * np.std(errors) / 20


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("family", ["fast_decay", "slow_decay", "kernel"])
def test_total_residual_against_its_definition(isa, family, dtype):
    A, rank = oracle.FAMILIES[family](np.random.default_rng(2))
    A, rank = turned(A[:60, :50], dtype), min(rank, 15)
    for workers in (1, 2):
        chosen = _core.lowrank.total_residual_columns(np.ascontiguousarray(A), rank, workers)
        assert_array_equal(chosen, oracle.total_residual_columns(A, rank))


def test_total_residual_refreshes():
    """Steep decay cancels the downdates; the order stays that of the definition."""
    A = np.diag(10.0 ** -np.arange(14.0))[:, ::-1].copy()
    assert_array_equal(_core.lowrank.total_residual_columns(A, 14, 1), np.arange(14)[::-1])


def test_eliminated_columns_end_a_choice():
    A = np.random.default_rng(0).standard_normal((20, 4)) @ np.ones((4, 30))
    assert len(_core.lowrank.total_residual_columns(A, 5, 1)) == 1
    assert len(_core.lowrank.elimination_pivots(A[:5], 1)) == 1
    V = np.ascontiguousarray(np.eye(3, 9))
    assert sorted(_core.lowrank.adaptive_columns(V, (0, 0), 1)) == [0, 1, 2]
    chosen, _ = _core.lowrank.osinsky_columns(V, np.zeros((0, 9)), 0.0, 1)
    assert sorted(chosen) == [0, 1, 2]


def test_randomly_pivoted_cholesky_follows_its_law():
    """First and second pivot of a 4 x 4 matrix: chi-square over pairs, false alarm 1e-6."""
    K = np.diag([4.0, 2.0, 1.0, 1.0]) + 0.5
    trace, counts, n = np.trace(K), np.zeros((4, 4)), 6000
    for seed in range(n):
        first, second = column_subset(K, 2, select="rpcholesky", z_bound=1e9, rng=seed)
        counts[first, second] += 1
    expected = np.zeros((4, 4))
    for i in range(4):
        left = np.diagonal(K) - K[:, i] ** 2 / K[i, i]
        expected[i] = K[i, i] / trace * left / left.sum() * n
    other = ~np.eye(4, dtype=bool)
    assert ((counts - expected)[other] ** 2 / expected[other]).sum() < 53.1  # 11 degrees
    assert counts.trace() == 0


# Decompositions by every choice


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("refine", ["sketch", "exact"])
@pytest.mark.parametrize("select", SELECTIONS)
def test_decomposition(select, refine, dtype):
    A, rank = turned(gaussian(90, 1), dtype), 12
    one, two = (
        interp_decomp(A, rank, select=select, refine=refine, rng=3, workers=w) for w in (1, 2)
    )
    assert_array_equal(one.indices, two.indices)
    assert one.coefficients.tobytes() == two.coefficients.tobytes()
    assert len(set(one.indices.tolist())) == rank
    assert one.dtype == A.dtype
    assert one.max_abs_coefficient <= 2
    found = oracle.true_error(A, one.skeleton, one.coefficients)
    assert found <= one.error_bound
    assert found <= 12 * oracle.pivoted_qr_error(gaussian(90, 1), rank)


@pytest.mark.parametrize("select", SELECTIONS)
def test_forms_of_input(select):
    A = gaussian(80, 2)
    A[np.abs(A) < 0.2] = 0
    A += 2 * np.eye(80)  # stays positive definite
    dense = interp_decomp(A, 10, select=select, rng=0)
    sparse = interp_decomp(csr_array(A), 10, select=select, rng=0)
    assert sparse.skeleton.format == "csr"
    assert oracle.true_error(A, sparse.skeleton.toarray(), sparse.coefficients) < sparse.error_bound
    assert dense.error_bound < 4 * sparse.error_bound
    if select == "rpcholesky":
        with pytest.raises(ValueError, match=r"interp_decomp: 'select' .*diagonal"):
            interp_decomp(aslinearoperator(A), 10, select=select)
    else:
        d = interp_decomp(aslinearoperator(A), 10, select=select, rng=0)
        assert oracle.true_error(A, d.skeleton, d.coefficients) <= d.error_bound
        assert d.max_abs_coefficient <= 2
    rows = interp_decomp(A[:70] if select != "rpcholesky" else A, 10, axis=0, select=select, rng=0)
    assert rows.coefficients.shape[1] == 10


@pytest.mark.parametrize("select", SELECTIONS)
@pytest.mark.parametrize("tol", [0.2, 1e-3])
def test_fixed_precision(select, tol):
    A = gaussian(120, 3, 2)
    for refine in ("sketch", "exact"):
        d = interp_decomp(A, tol=tol, select=select, refine=refine, rng=1)
        found = oracle.true_error(A, d.skeleton, d.coefficients)
        norm = oracle.spectral_norm(A)
        assert d.converged
        assert found <= d.error_bound <= tol * norm
        assert d.max_abs_coefficient <= 2
        least = int((oracle.singular_values(A) > tol * norm).sum())
        assert d.rank <= 2 * least + 6


HOSTILE = ("kahan", "gu_eisenstat", "duplicated_columns", "rank_deficient", "outlier_column")


@pytest.mark.parametrize("family", HOSTILE)
@pytest.mark.parametrize("select", GENERAL)
def test_hostile_matrices(select, family):
    A, rank = oracle.FAMILIES[family](np.random.default_rng(0))
    limit = 1.7 * oracle.strong_rrqr_factor(A, rank, 2.0) * oracle.singular_values(A)[rank]
    for refine in ("sketch", "exact"):
        d = interp_decomp(A, rank, select=select, refine=refine, rng=0)
        found = oracle.true_error(A, d.skeleton, d.coefficients)
        assert np.abs(d.coefficients).max() <= 2
        assert found <= d.error_bound
        if select not in ("uniform", "norm", "leverage"):  # a draw may miss what matters
            assert found <= max(limit, 1e-13 * oracle.spectral_norm(A))


@pytest.mark.parametrize("select", SELECTIONS)
@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_scales(select, scale):
    A = gaussian(60, 4)
    plain, scaled = (interp_decomp(s * A, 8, select=select, rng=0) for s in (1.0, scale))
    assert scaled.error_bound == pytest.approx(plain.error_bound * scale, rel=1e-3)
    assert scaled.max_abs_coefficient <= 2


def test_columns_are_read_where_a_result_keeps_them(monkeypatch):
    asked = []
    coefficients = DenseOperand.coefficients

    def spy(self, rows, r, indices, columns):
        asked.append(columns)
        return coefficients(self, rows, r, indices, columns)

    monkeypatch.setattr(DenseOperand, "coefficients", spy)
    A = np.random.default_rng(0).standard_normal((60, 40))
    chosen = column_subset(A, 5, rng=0)
    assert_array_equal(chosen, interp_decomp(A, 5, rng=0).indices)
    assert asked == [False, True]


@pytest.mark.parametrize("select", SELECTIONS)
def test_edges(select):
    for A in (np.zeros((6, 6)), np.ones((1, 1)), np.ones((5, 5)), np.eye(4)):
        for rank in range(len(A) + 1):
            d = interp_decomp(A, rank, select=select, rng=0)
            assert d.rank == rank
            assert np.abs(A - d.reconstruct()).max() <= max(d.error_bound, 1e-14)
            assert len(column_subset(A, rank, select=select, rng=0)) == rank
    if select != "rpcholesky":
        assert interp_decomp(np.ones((1, 7)), 1, select=select, rng=0).rank == 1
        assert interp_decomp(np.ones((0, 7)), 0, select=select, rng=0).coefficients.shape == (0, 7)
        assert interp_decomp(np.ones((7, 0)), 0, select=select, rng=0).skeleton.shape == (7, 0)
    with pytest.raises(ValueError, match="interp_decomp: 'A' must be finite, got nan"):
        interp_decomp(np.full((4, 4), np.nan), 2, select=select)
    with pytest.raises(ValueError, match="interp_decomp: 'rank' must be at most 4"):
        interp_decomp(np.eye(4), 5, select=select)


# Quality. Medians over seeds, against column-pivoted QR with exact coefficients: SciPy's best.


@pytest.mark.parametrize(
    ("family", "limit"), [("fast", 0.6), ("kernel", 0.6), ("gaussian_kernel", 0.85)]
)
def test_osinsky_beats_column_pivoting(family, limit):
    ratios = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        n, rank = 800, 100
        if family == "fast":
            A = oracle.with_spectrum(rng, n, n, 10.0 ** (-np.arange(200) / 20))
        else:
            d = 3 if family == "kernel" else 5
            x, y = rng.random((n, d)), rng.random((n, d))
            y[:, 0] += 1.2 if family == "kernel" else 0
            squares = ((x[:, None] - y[None]) ** 2).sum(-1)
            A = 1 / np.sqrt(squares) if family == "kernel" else np.exp(-squares)
        pivots = _core.lowrank.factor_columns(A, 1.0, np.empty(0, np.int64), rank, 1)[2]
        Q = np.linalg.qr(A[:, pivots])[0]
        reference = oracle.spectral_norm(A - Q @ (Q.T @ A))
        d = interp_decomp(A, rank, select="osinsky", refine="exact", rng=seed)
        assert d.max_abs_coefficient <= 2
        ratios.append(oracle.spectral_norm(A - d.reconstruct()) / reference)
    assert np.median(ratios) <= limit


def test_optimised_randomised_id():
    """Advani & O'Hagan 2021: uniform columns, pivoting among them, exact coefficients.

    Its error is well below that of coefficients from k + 2 random rows (SciPy's operator path), and
    near that of column pivoting.
    """
    ours, rows, pivoted = [], [], []
    for seed in range(7):
        rng = np.random.default_rng(seed)
        A, rank = oracle.slow_decay(rng)
        d = interp_decomp(A, rank, select="uniform", refine="exact", rng=seed)
        ours.append(oracle.spectral_norm(A - d.reconstruct()))
        sketch = rng.standard_normal((rank + 2, A.shape[0])) @ A
        chosen = oracle.column_pivots(sketch, rank)
        Z = np.linalg.lstsq(sketch[:, chosen], sketch, rcond=None)[0]
        rows.append(oracle.spectral_norm(A - A[:, chosen] @ Z))
        pivoted.append(oracle.pivoted_qr_error(A, rank))
    assert np.median(ours) <= 0.45 * np.median(rows)
    assert np.median(ours) <= 1.4 * np.median(pivoted)


def test_tall_input():
    rng = np.random.default_rng(0)
    A = oracle.with_spectrum(rng, 3000, 60, 10.0 ** (-np.arange(60) / 6))
    for select in GENERAL:
        d = interp_decomp(A, 20, select=select, refine="exact", rng=0)
        best = oracle.residual(A, d.indices)
        assert oracle.spectral_norm(A - d.reconstruct()) == pytest.approx(
            oracle.spectral_norm(best), rel=1e-6
        )


# Positive semidefinite input


def test_indefinite_input():
    with pytest.raises(ValueError, match=r"'A' must be positive semidefinite .*-1 on the diagonal"):
        interp_decomp(np.diag([1.0, -1.0]), 1, select="rpcholesky")
    with pytest.raises(ValueError, match=r"'A' must be positive semidefinite .*elimination"):
        column_subset(np.array([[1.0, 3.0], [3.0, 1.0]]), 2, select="rpcholesky", rng=0)
    with pytest.raises(ValueError, match="'A' must be Hermitian"):
        column_subset(np.array([[1.0, 0.5], [0.1, 1.0]]), 2, select="rpcholesky", rng=1)
    with pytest.raises(ValueError, match="'select' must not be 'rpcholesky' unless A is square"):
        interp_decomp(np.ones((3, 4)), 1, select="rpcholesky")


def test_cholesky_reads_few_entries():
    A = gaussian(400, 5, 2)
    sparse = csr_array(A)
    asked = []

    class Counting(csr_array):
        def __getitem__(self, key):
            asked.append(np.size(key[1]))
            return super().__getitem__(key)

    chosen = column_subset(Counting(sparse), 15, select="rpcholesky", rng=0)
    assert len(set(chosen.tolist())) == 15
    assert sum(asked) <= 75
    K = A[np.ix_(chosen, chosen)]
    left = A - A[:, chosen] @ np.linalg.solve(K, A[chosen])
    assert np.trace(left) <= 6 * oracle.singular_values(A)[15:].sum()


# column_subset


@pytest.mark.parametrize("select", [*SELECTIONS, "kmeans"])
def test_subset(select):
    A = gaussian(70, 6)
    for operand in (A, csr_array(A), A.astype(np.complex64)):
        chosen = column_subset(operand, 9, select=select, rng=2)
        assert chosen.dtype == np.int64
        assert len(set(chosen.tolist())) == 9
    assert_array_equal(chosen, column_subset(operand, 9, select=select, rng=2, workers=2))
    assert len(column_subset(A, 0, select=select)) == 0
    Q = np.linalg.qr(A[:, column_subset(A, 9, select=select, rng=2)])[0]
    assert oracle.spectral_norm(A - Q @ (Q.T @ A)) <= 12 * oracle.singular_values(A)[9]


def test_kmeans_finds_clusters():
    rng = np.random.default_rng(0)
    centres = 10 * rng.standard_normal((20, 6))
    labels = rng.permutation(np.repeat(np.arange(6), 15))
    A = centres[:, labels] + 0.1 * rng.standard_normal((20, 90))
    chosen = column_subset(A, 6, select="kmeans", z_bound=1e6, rng=0)
    assert sorted(labels[chosen].tolist()) == list(range(6))


def test_subset_messages():
    with pytest.raises(ValueError, match="column_subset: 'rank' must be at most 3"):
        column_subset(np.eye(3), 4)
    with pytest.raises(ValueError, match="column_subset: 'select' must be one of"):
        column_subset(np.eye(3), 1, select="best")
    with pytest.raises(ValueError, match="column_subset: 'A' must be finite"):
        column_subset(np.array([[np.inf, 1.0]]), 0)
    with pytest.raises(ValueError, match=r"column_subset: 'select' .*diagonal"):
        column_subset(LinearOperator((3, 3), matvec=lambda x: x), 1, select="rpcholesky")
