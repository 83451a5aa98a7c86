"""The sparse-sign sketch: dense against sparse rows, and wherever the array begins in memory."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from kexue_num import _core

KEY = (3, 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("n_probes", [0, 5, 12, 13])
def test_any_first_column(isa, dtype, n_probes):
    """Panels begin where cache lines do: their places must not show in any bit."""
    rng = np.random.default_rng(0)
    whole = rng.standard_normal((401, 320)).astype(dtype)
    if np.dtype(dtype).kind == "c":
        whole += 1j * rng.standard_normal(whole.shape).astype(dtype)
    for first, cols in ((0, 320), (1, 256), (3, 131), (6, 64), (7, 9), (0, 0)):
        view = whole[:, first : first + cols]
        y, probes = _core.lowrank.sketch(view, 30, n_probes, KEY, 2)
        indptr = np.arange(402, dtype=np.int64) * cols
        indices = np.tile(np.arange(cols, dtype=np.int64), 401)
        other, held_out = _core.lowrank.sketch_csr(
            indptr, indices, view.ravel(), cols, 30, n_probes, KEY, 2
        )
        rtol = 100 * np.finfo(dtype).eps
        assert_allclose(y.to_array(2), other.to_array(2), atol=30 * rtol)
        assert_allclose(probes, held_out, atol=100 * rtol)
        for layout in (np.ascontiguousarray(view), np.asfortranarray(view)):
            again, same = _core.lowrank.sketch(layout, 30, n_probes, KEY, 1)
            assert_array_equal(again.to_array(1), y.to_array(1))
            assert_array_equal(same, probes)
