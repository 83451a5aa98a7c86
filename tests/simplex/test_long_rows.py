"""Special values in rows that are cut into blocks and in batches written past the cache; extreme
temperatures; selections of long rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from kexue_num import simplex

DTYPES = (np.float32, np.float64)
MAPS = (simplex.softmax, simplex.log_softmax, simplex.sparsemax, simplex.entmax15)
# NaN, nothing, two infinite entries, NaN beside infinity, one finite entry.
SPECIAL = (
    [np.nan, 1, 2],
    [-np.inf, -np.inf, -np.inf],
    [np.inf, 1, np.inf],
    [np.inf, np.nan, 1],
    [-np.inf, 3, -np.inf],
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("special", SPECIAL, ids=str)
def test_huge_rows_with_special_values(dtype, special):
    """A long row, masked elsewhere, behaves as the three entries alone."""
    places = [5, 150_000, 299_999]
    x = np.full((2, 300_000), -np.inf, dtype)
    x[1, places] = special
    x[0, 0] = 0
    short = np.array(special, dtype)
    for map_ in MAPS:
        p, expected = map_(x)[1], map_(short)
        assert_array_equal(p[places], expected)
        others = np.delete(p, places)
        if np.isnan(expected).all():
            assert np.isnan(others).all()
        else:
            assert (others == (-np.inf if map_ is simplex.log_softmax else 0)).all()
    assert_array_equal(simplex.logsumexp(x)[1], simplex.logsumexp(short))


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_rows_of_large_batches(dtype, isa):
    """Special rows of a batch that is written past the cache; their neighbours stay."""
    x = np.random.default_rng(0).standard_normal((700, 6500)).astype(dtype)
    clean = [map_(x[90:110]) for map_ in MAPS]
    for k, special in enumerate(SPECIAL):
        x[92 + 3 * k] = -np.inf
        x[92 + 3 * k, 2000:2003] = special
    changed = np.zeros(20, bool)
    changed[2 : 2 + 3 * len(SPECIAL) : 3] = True
    for map_, before in zip(MAPS, clean, strict=True):
        p = map_(x)[90:110]
        assert_array_equal(p[~changed], before[~changed])
        for k, special in enumerate(SPECIAL):
            assert_array_equal(p[2 + 3 * k, 2000:2003], map_(np.array(special, dtype)))


@pytest.mark.parametrize("exponent", [-900, -80, 80, 900])
def test_logarithms_at_extreme_temperatures(exponent):
    """x and the temperature scaled by one power of two: the same logarithms."""
    x = np.random.default_rng(1).standard_normal((3, 20)) * 5
    x[1, 3] = -np.inf
    temperature = 2.0**exponent
    scaled = x * temperature
    assert_allclose(
        simplex.log_softmax(scaled, temperature=temperature), simplex.log_softmax(x), atol=1e-14
    )
    found = simplex.logsumexp(scaled, temperature=temperature)
    assert_allclose(found, simplex.logsumexp(x), rtol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 1000, 299_000])
def test_topk_of_long_rows(dtype, k):
    rng = np.random.default_rng(2)
    x = np.round(rng.standard_normal(300_000), 4).astype(dtype)
    p = simplex.topk_softmax(x, k)
    assert_array_equal(p > 0, x >= np.partition(x, -k)[-k])
    same = simplex.topk_softmax(np.full(300_000, dtype(0.5)), k)
    assert (same == same[0]).all()
    # Half a unit each for the inverse, the product and 1 / n, and one for the sum.
    assert_allclose(same, 1 / 300_000, rtol=2.5 * np.finfo(dtype).eps)
