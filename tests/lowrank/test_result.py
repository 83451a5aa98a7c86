"""The result objects: frozen, small to print, picklable, usable as what they stand for."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, svds

from kexue_num.lowrank import SVD, InterpolativeDecomposition, interp_decomp
from tests.oracles import lowrank as oracle


@pytest.fixture
def A():
    return oracle.fast_decay(np.random.default_rng(0))[0]


def test_fields(A):
    d = interp_decomp(A, 10, rng=0)
    assert isinstance(d, InterpolativeDecomposition)
    assert isinstance(d.to_svd(), SVD)
    for name in ("indices", "rank", "axis", "error_bound", "shape", "coefficients", "dtype"):
        with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
            setattr(d, name, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        d.to_svd().s = None
    assert type(d.rank) is int
    assert type(d.converged) is bool


def test_short_repr(A):
    d = interp_decomp(A, 10, rng=0)
    assert len(repr(d)) < 160
    assert "\n" not in repr(d)
    assert "rank=10" in repr(d)
    assert f"shape={A.shape}" in repr(d)
    assert len(repr(d.to_svd())) < 160


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_copies(A, axis, form):
    d = interp_decomp(form(A), 10, axis=axis, rng=0)
    for other in (pickle.loads(pickle.dumps(d)), copy.copy(d), copy.deepcopy(d)):
        assert (other.rank, other.axis, other.shape) == (d.rank, d.axis, d.shape)
        assert other.error_bound == d.error_bound
        assert_array_equal(other.indices, d.indices)
        assert_array_equal(other.coefficients, d.coefficients)
        assert_array_equal(other.reconstruct(), d.reconstruct())


def test_the_result_is_its_own(A):
    B = A.copy()
    d = interp_decomp(B, 10, rng=0)
    before = d.reconstruct()
    B[:] = 0
    assert_array_equal(d.reconstruct(), before)


def test_array_protocol(A):
    d = interp_decomp(A, 10, rng=0)
    whole = d.reconstruct()
    assert_array_equal(np.asarray(d), whole)
    assert np.asarray(d, dtype=np.float32).dtype == np.float32
    assert_array_equal(np.array(d, copy=True), whole)
    with pytest.raises(ValueError, match=r"copy|new"):
        np.asarray(d, copy=False)


def test_products(A):
    d = interp_decomp(A, 10, rng=0)
    with pytest.raises(ValueError, match=r"[Mm]ismatch|matmul|dimension"):
        d @ np.ones(A.shape[1] + 1)
    L = d.as_linear_operator()
    assert isinstance(L, LinearOperator)
    s = svds(L, k=3, return_singular_vectors=False, rng=0)
    np.testing.assert_allclose(np.sort(s)[::-1], d.to_svd().s[:3], rtol=1e-8)


def test_svd_certificate_covers_the_svd(A):
    d = interp_decomp(A, 30, rng=0)
    svd = d.to_svd()
    assert oracle.true_error(A, svd.U * svd.s, svd.Vh) <= svd.error_bound * (1 + 1e-10)
