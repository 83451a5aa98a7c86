"""Every decomposition, of every form and dtype of matrix: what its result is and can do."""

import copy
import dataclasses
import inspect
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_array, csc_array, csr_array
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from kexue_num import lowrank
from tests.oracles import lowrank as oracle

DTYPES = (np.float32, np.float64, np.complex64, np.complex128)
FORMS = (np.asarray, csr_array, csc_array, coo_array, aslinearoperator)
DECOMPOSITIONS = {
    "columns": lambda A: lowrank.interp_decomp(A, 6, rng=0),
    "rows": lambda A: lowrank.interp_decomp(A, 6, axis=0, rng=0),
    "exact": lambda A: lowrank.interp_decomp(A, 6, refine="exact", rng=0),
    "tolerance": lambda A: lowrank.interp_decomp(A, tol=0.01, rng=0),
    "two-sided": lambda A: lowrank.two_sided_id(A, 6, rng=0),
    "two-sided tolerance": lambda A: lowrank.two_sided_id(A, tol=0.01, rng=0),
    "cur": lambda A: lowrank.cur(A, 6, rng=0),
    "cross": lambda A: lowrank.cur(A, 6, link="cross", n_rows=9, rng=0),
    "cur tolerance": lambda A: lowrank.cur(A, tol=0.01, rng=0),
    "svd": lambda A: lowrank.truncated_svd(A, 6, rng=0),
    "svd tolerance": lambda A: lowrank.truncated_svd(A, tol=0.01, rng=0),
}
# The attributes that callers rely on.
FIELDS = {
    "columns": "indices coefficients skeleton rank axis error_bound error_estimate "
    "max_abs_coefficient",
    "two-sided": "row_indices column_indices row_coefficients column_coefficients core error_bound",
    "cur": "row_indices column_indices C U R error_bound",
    "svd": "U s Vh error_bound",
}


def near_rank_eight(dtype):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((40, 8)) @ rng.standard_normal((8, 30))
    A += 1e-3 * rng.standard_normal((40, 30))
    if np.dtype(dtype).kind == "c":
        A = A * np.exp(1j * np.add.outer(np.arange(40) ** 2, np.arange(30)))
    return A.astype(dtype)


def same(a, b, dtype):
    assert_allclose(a, b, atol=1e4 * np.finfo(dtype).eps * np.abs(b).max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", sorted(DECOMPOSITIONS))
def test_every_form_and_dtype(what, form, dtype):
    A = near_rank_eight(dtype)
    d = DECOMPOSITIONS[what](form(A))
    whole = d.reconstruct()
    assert (d.shape, d.dtype, whole.dtype) == (A.shape, dtype, dtype)
    norm = oracle.spectral_norm(oracle.wide(A))
    assert oracle.spectral_norm(oracle.wide(A) - whole) <= d.error_bound
    if "tolerance" in what:
        assert d.error_bound <= 0.01 * norm * (1 + 1e-6)
        assert d.rank <= 10
    assert all(hasattr(d, name) for name in FIELDS.get(what, "").split())
    # What stands for the matrix, without forming it.
    x, y = np.random.default_rng(1).standard_normal((30, 2)), np.ones((40, 2))
    same(d @ x, whole @ x, dtype)
    same(d @ x[:, 0], whole @ x[:, 0], dtype)
    same(np.asarray(d), whole, dtype)
    L = d.as_linear_operator()
    assert isinstance(L, LinearOperator)
    assert (L.shape, L.dtype) == (A.shape, dtype)
    same(L @ x, whole @ x, dtype)
    same(L.H @ y, whole.conj().T @ y, dtype)
    for other in (pickle.loads(pickle.dumps(d)), copy.deepcopy(d)):
        assert_array_equal(other.reconstruct(), whole)
        assert repr(other) == repr(d)
        for field in dataclasses.fields(d):
            assert type(getattr(other, field.name)) is type(getattr(d, field.name))
    with pytest.raises(dataclasses.FrozenInstanceError):
        d.error_bound = 0.0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("axis", [0, 1])
def test_round_trips(axis, form, dtype):
    A = near_rank_eight(dtype)
    d = lowrank.interp_decomp(form(A), 6, axis=axis, rng=0)
    whole = d.reconstruct()
    svd, links = d.to_svd(), d.to_cur()
    assert (svd.U.dtype, svd.Vh.dtype, links.U.dtype) == (dtype, dtype, dtype)
    same(svd.reconstruct(), whole, dtype)
    same(links.reconstruct(), whole, dtype)
    for other in (svd, links):
        assert oracle.spectral_norm(oracle.wide(A) - other.reconstruct()) <= other.error_bound
    idx, proj = d.to_scipy()
    chosen = d.indices
    assert_array_equal(idx[:6], chosen)
    assert_array_equal(np.sort(idx), np.arange(A.shape[axis]))
    skeleton = np.take(A, chosen, axis=axis)
    pieces = skeleton if axis == 1 else skeleton.T
    rebuilt = np.empty_like(whole if axis == 1 else whole.T)
    rebuilt[:, idx] = np.hstack([pieces, pieces @ proj])
    same(rebuilt if axis == 1 else rebuilt.T, whole, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_scores_and_subsets(form, dtype):
    A = near_rank_eight(dtype)
    assert len(set(lowrank.column_subset(form(A), 6, rng=0).tolist())) == 6
    for axis in (0, 1):
        scores = lowrank.leverage_scores(form(A), 8, axis=axis, rng=0)
        assert scores.dtype == A.real.dtype
        expected = oracle.leverage_scores((A if axis == 1 else A.T).astype(complex), 8)
        assert_allclose(scores, expected, atol=2e-3 if scores.dtype == np.float32 else 1e-6)


@pytest.mark.parametrize(
    ("function", "names"),
    [
        ("interp_decomp", "A rank tol axis method select refine z_bound confidence rng workers"),
        ("two_sided_id", "A rank tol"),
        ("cur", "A rank tol link select n_rows"),
        ("column_subset", "A rank select"),
        ("leverage_scores", "A rank axis ridge"),
        ("deim", "V"),
        ("strong_rrqr", "A rank f"),
        ("pivoted_qr", "A rank tol"),
        ("truncated_svd", "A rank tol rng"),
        ("pinv", "A rtol"),
        ("best_left_factor", "M B"),
        ("best_right_factor", "M A"),
        ("cr_matmul", "X Y rank method weights rng"),
        ("cr_probabilities", "X Y"),
    ],
)  # fmt: skip
def test_arguments(function, names):
    assert set(names.split()) <= set(inspect.signature(getattr(lowrank, function)).parameters)


GIVEN = np.random.default_rng(0).standard_normal((6, 5))
HOLED = np.where(GIVEN > 1, np.nan, GIVEN)
TAKE_A_MATRIX = ("interp_decomp", "two_sided_id", "cur", "truncated_svd", "column_subset",
                 "leverage_scores", "pivoted_qr", "strong_rrqr")  # fmt: skip
TAKE_A_TOLERANCE = ("interp_decomp", "two_sided_id", "cur", "truncated_svd", "pivoted_qr")
BAD_MATRICES = {
    "long double": GIVEN.astype(np.longdouble),
    "objects": GIVEN.astype(object),
    "texts": GIVEN.astype(str),
    "dates": GIVEN.astype("M8[s]"),
    "masked": np.ma.masked_array(GIVEN, GIVEN > 1),
    "ragged": [[1, 2], [3]],
    "none": None,
    "vector": np.zeros(3),
    "stack": np.zeros((2, 2, 2)),
    "nan": HOLED,
    "infinite": np.where(GIVEN > 1, np.inf, GIVEN),
}


@pytest.mark.parametrize("function", TAKE_A_MATRIX)
def test_bad_matrices_are_named(function):
    call = getattr(lowrank, function)
    for matrix in (*BAD_MATRICES.values(), csr_array(HOLED)):
        with pytest.raises((ValueError, TypeError), match=f"^{function}: 'A' must "):
            call(matrix, 2)


@pytest.mark.parametrize("function", TAKE_A_MATRIX)
def test_bad_ranks_are_named(function):
    call = getattr(lowrank, function)
    for rank in (True, -1, 6, 2.0, np.nan, "2"):
        with pytest.raises((ValueError, TypeError), match=f"^{function}: 'rank' must .*got "):
            call(GIVEN, rank)
    with pytest.raises(ValueError, match=f"^{function}: 'workers' must .*got 0"):
        call(GIVEN, 2, workers=0)


@pytest.mark.parametrize("function", TAKE_A_TOLERANCE)
def test_bad_tolerances_are_named(function):
    call = getattr(lowrank, function)
    for tol in (0, -0.1, 1, np.nan, np.inf, "a", 1e-16):
        with pytest.raises((ValueError, TypeError), match=f"^{function}: 'tol' must .*got "):
            call(GIVEN, tol=tol)
    with pytest.raises(ValueError, match=f"^{function}: 'tol' must .*got 1e-06"):
        call(GIVEN.astype(np.float32), tol=1e-6)
    with pytest.raises(ValueError, match=f"^{function}: .* one of 'rank' and 'tol'.*got both"):
        call(GIVEN, 1, tol=0.1)


@pytest.mark.parametrize("function", TAKE_A_MATRIX)
def test_other_dtypes_are_widened(function):
    call = getattr(lowrank, function)
    widened = {"f2": "f4", "i1": "f8", "?": "f8", "u8": "f8", ">f8": "f8", ">c8": "c8"}
    for given, computed in widened.items():
        A = np.abs(3 * GIVEN).astype(given)
        d = call(A, 2)
        found = d.Q if hasattr(d, "Q") else d
        if function == "leverage_scores":
            assert found.dtype == np.dtype(computed).type(0).real.dtype
        elif function != "column_subset":
            assert found.dtype == computed
