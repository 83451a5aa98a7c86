"""Maps against exact rationals and 60 digits, on every instruction set."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kexue_num
from kexue_num import simplex
from tests.oracles import simplex as oracle

DTYPES = [np.float32, np.float64]
ALPHAS = [0.2, 0.5, 1.0001, 1.01, 1.3, 1.5, 1.9, 2.0, 2.25, 4.0, 8.0]
MAPS = [
    simplex.softmax,
    simplex.sparsemax,
    simplex.entmax15,
    lambda x, **k: simplex.entmax(x, 1.3, **k),
    lambda x, **k: simplex.entmax(x, 3.0, **k),
    lambda x, **k: simplex.entmax(x, 0.5, **k),
    simplex.normmax,
]


def rows(dtype, shape, scale, seed=0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)


def error(p, reference):
    """Largest absolute error, in eps of p's dtype."""
    eps = float(np.finfo(p.dtype).eps)
    return max(float(abs(float(v) - r)) for v, r in zip(p, reference, strict=True)) / eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 5, 16, 33, 64, 65, 130])
def test_softmax_to_four_ulp(isa, dtype, n):
    for center in (0, 300, 1950, -1950):
        x = rows(dtype, (3, n), 20, n) + dtype(center)
        for p, row in zip(simplex.softmax(x), x, strict=True):
            for value, reference in zip(p, oracle.softmax(row), strict=True):
                if reference > np.finfo(dtype).tiny:
                    assert abs(float(value) / reference - 1) <= 4 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [10, 37, 100])
def test_softmax_of_a_short_row_whatever_lies_beside_it(isa, dtype, n):
    """Rows solved together keep their own bits though one of them overflows, masks or is NaN."""
    x = rows(dtype, (40, n), 3, n)
    x[:, 1] = -np.inf
    p = simplex.softmax(x)
    np.testing.assert_array_equal(simplex.softmax(x[5:6]), p[5:6])
    special = {3: np.nan, 11: np.inf, 19: 1e7, 20: 1e30, 33: 1500.0}
    shifted = {7: 1990, 26: -1990, 38: 60}
    y = x.copy()
    for r, value in special.items():
        y[r, 4] = value
    for r, value in shifted.items():
        y[r] += dtype(value)
    q = simplex.softmax(y)
    others = [r for r in range(40) if r not in special | shifted]
    np.testing.assert_array_equal(q[others], p[others])
    assert np.isnan(q[3]).all()
    for r in (11, 19, 20, 33):
        np.testing.assert_array_equal(q[r], np.arange(n) == 4)
    for r in shifted:
        np.testing.assert_allclose(q[r], simplex.softmax(y[r]), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [257, 1797, 4099])
def test_large_matrices_equal_their_rows(isa, dtype, n):
    """Results past the cache are written row beside row, from any alignment, in place or not."""
    count = (32 << 20) // (n * np.dtype(dtype).itemsize) + 3
    x = rows(dtype, (count, n), 5)
    x[:, ::7] = -np.inf
    p = simplex.softmax(x, workers=1)
    for r in (0, 1, 2, 3, count // 2, count - 2, count - 1):
        np.testing.assert_allclose(
            p[r], simplex.softmax(x[r]), rtol=4 * np.finfo(dtype).eps, atol=0
        )
    sums = p.sum(axis=1, dtype=np.float64)
    assert np.abs(sums - 1).max() <= 4 * np.finfo(dtype).eps
    assert (p[:, ::7] == 0).all()
    np.testing.assert_array_equal(simplex.softmax(x, workers=1, out=x), p)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.1, 3.0])
@pytest.mark.parametrize("n", [50, 140])
def test_softmax_temperature(isa, dtype, temperature, n):
    """Without fused multiply-add x / temperature is rounded: an error of eps |x / T|."""
    x = rows(dtype, (4, n), 10)
    p = simplex.softmax(x, temperature=temperature)
    bound = 4 if isa != "baseline" else 4 + np.abs(x).max() / temperature
    for row, value in zip(x, p, strict=True):
        for v, reference in zip(value, oracle.softmax(row, temperature), strict=True):
            if reference > np.finfo(dtype).tiny:
                assert abs(float(v) / reference - 1) <= bound * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [1.0, 0.75])
@pytest.mark.parametrize("shape", [(16400, 257), (1, 262_147)])
def test_exponentials_beside_other_work(isa, dtype, temperature, shape):
    """Rows that are written past the cache, and rows in blocks, as NumPy computes them."""
    x = rows(dtype, shape, 2)
    eps = np.finfo(dtype).eps
    bound = 4 * eps if isa != "baseline" else (4 + 10 / temperature) * eps
    p = simplex.softmax(x, temperature=temperature)
    logs = simplex.log_softmax(x, temperature=temperature)
    level = simplex.logsumexp(x, temperature=temperature)
    for r in {0, 1, len(x) // 2, len(x) - 1} & set(range(len(x))):
        score = x[r].astype(np.longdouble) / temperature
        total = np.exp(score).sum()
        np.testing.assert_allclose(p[r], np.exp(score) / total, rtol=bound)
        np.testing.assert_allclose(logs[r], score - np.log(total), rtol=bound)
        np.testing.assert_allclose(level[r], np.log(total), rtol=2 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 9, 63, 64, 65, 300])
def test_sparsemax_is_exact(isa, dtype, n):
    for scale in (1e-3, 1, 30):
        x = rows(dtype, (3, n), scale, n)
        for p, row in zip(simplex.sparsemax(x), x, strict=True):
            reference = oracle.project(row)
            assert [bool(v) for v in p] == [v > 0 for v in reference]
            assert error(p, reference) <= 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [5, 40, 200])
def test_softmax_falls_to_zero_gradually(isa, dtype, n):
    """Rounded once to the numbers below the least normal one, and zero where masked."""
    depth = 108 if dtype == np.float32 else 750
    x = np.full((4, n), -np.inf, dtype)
    x[:, 0] = [0, 1990, -1990, 5000]
    x[:, 1:4] = x[:, :1] - np.array([0.3, 0.93, 1], dtype) * depth
    for p, row in zip(simplex.softmax(x), x, strict=True):
        assert np.all(p[4:] == 0)
        for value, reference in zip(p[:4], oracle.softmax(row[:4]), strict=True):
            unit = np.spacing(np.maximum(dtype(reference), np.finfo(dtype).tiny))
            assert abs(float(value) - reference) <= 4 * float(unit)


@pytest.mark.parametrize("dtype", DTYPES)
def test_supports_of_every_short_length(isa, dtype):
    """Small integers put entries exactly where the support ends."""
    rng = np.random.default_rng(8)
    for n in range(1, 19):
        for values in (rng.integers(-3, 4, (6, n)) / 2, rng.standard_normal((6, n))):
            x = values.astype(dtype)
            for row, p in zip(x, simplex.sparsemax(x), strict=True):
                assert [v > 0 for v in oracle.project(row)] == list(p > 0)
            for row, p in zip(x, simplex.entmax15(x), strict=True):
                reference = oracle.entmax15(row)
                assert [v > 0 for v in reference] == list(p > 0)
                assert error(p, reference) <= 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [3, 16, 21, 130])
def test_supports_that_rounding_would_change(isa, dtype, n):
    """The last entry is the number nearest to the threshold of the others, or one of the next."""
    rng = np.random.default_rng(n)
    x = (rng.standard_normal((40 if n < 100 else 8, n)) / 4).astype(dtype)
    for row, steps in zip(x, rng.integers(-2, 3, len(x)), strict=True):
        others = oracle.project(row[:-1])
        tau = next(Fraction(float(v)) - p for v, p in zip(row, others, strict=False) if p > 0)
        row[-1] = dtype(float(tau)) + steps * np.spacing(dtype(float(tau)))
    for p, row in zip(simplex.sparsemax(x), x, strict=True):
        reference = oracle.project(row)
        assert list(p > 0) == [v > 0 for v in reference]
        assert error(p, reference) <= 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [3, 5, 16, 17, 100, 200])
def test_sums_of_decimals(isa, dtype, n):
    """Thresholds of numbers with few digits often fall on an entry, but for its rounding."""
    x = np.random.default_rng(n).standard_normal((8000 // n, n)).round(1).astype(dtype) / 2
    maps = [*MAPS, simplex.project_simplex, lambda x: simplex.sparsemax(x, temperature=0.7)]
    for map_ in maps:
        sums = map_(x).sum(axis=1, dtype=np.longdouble)
        np.testing.assert_allclose(sums, 1, rtol=0, atol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [5, 17, 130, 300])
def test_entries_above_the_threshold_by_half_a_unit(isa, dtype, n):
    """10 - 0.1 rounds to the double 9.9, which is in the support: an error is relative to 0.1."""
    x = np.zeros((9, n), dtype)
    x[:, 0], x[:, n // 2] = 10, 9.9
    for radius in (0.1, 0.3, 0.7):
        x[3:6, n // 2] = 10 - dtype(radius)
        p = simplex.project_simplex(x, radius)
        for row, values in zip(x[::4], p[::4], strict=True):
            reference = oracle.project(row, radius)
            assert list(values > 0) == [v > 0 for v in reference]
            assert error(values, reference) <= radius


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=8),
    st.sampled_from([0, 1000, -1000, 2**20]),
    st.sampled_from(DTYPES),
)
def test_ties(values, offset, dtype):
    """Integers meet the threshold often; equal inputs give equal outputs."""
    x = np.array(values, dtype) + dtype(offset)
    p = simplex.sparsemax(x)
    reference = oracle.project(x)
    assert [bool(v) for v in p] == [v > 0 for v in reference]
    assert error(p, reference) <= 1
    for map_ in MAPS:
        for wide in (x, np.concatenate([x, np.full(70, -np.inf, dtype)])):
            p = map_(wide)
            for v in set(values):
                assert len(set(p[: len(values)][np.array(values) == v])) == 1
            assert (np.diff(p[: len(values)][np.argsort(values)]) >= 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("n", [2, 12, 70])
def test_entmax(isa, dtype, alpha, n):
    for scale in (0.1, 2):
        x = rows(dtype, (1, n), scale, n)
        for p, row in zip(simplex.entmax(x, alpha), x, strict=True):
            reference = oracle.entmax(row, alpha)
            assert error(p, reference) <= 4
            assert [bool(v) for v in p] == [v > 0 for v in reference]
            assert abs(math.fsum(p) - 1) <= 4 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.9])
def test_entmax_of_long_rows(isa, dtype, alpha):
    """What lies below the 128 largest entries is zero, and these are a short row of their own."""
    rng = np.random.default_rng(5)
    normal = rng.standard_normal((2, 5003)) * 3
    apart = np.where(np.arange(5003) % 64 == 7, normal[:1] + 9, normal[:1])  # all in one lane
    whole = np.round(rng.standard_normal((1, 5003)) * 20) / 8
    level = np.zeros((1, 5003))
    level[0, [5, 900, 4999]] = 1, 0.75, 0.75
    level[0, ::2] = -np.inf
    x = np.concatenate([normal, apart, whole, level * 60]).astype(dtype)
    p = simplex.entmax(x, alpha)
    for row, value in zip(x, p, strict=True):
        order = np.argsort(-row, kind="stable")
        expected = simplex.entmax(row[order[:128]], alpha)
        assert 0 < np.count_nonzero(expected) < 128
        np.testing.assert_array_equal(value[order[:128]] > 0, expected > 0)
        np.testing.assert_allclose(value[order[:128]], expected, atol=4 * np.finfo(dtype).eps)
        assert (value[order[128:]] == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", [1 - 1e-3, 1 - 1e-9, 1 + 1e-12, 1 + 1e-7])
def test_entmax_near_one(isa, dtype, alpha):
    """The bound of 4 eps holds up to alpha = 1, where the map is softmax."""
    x = rows(dtype, 40, 3)
    assert error(simplex.entmax(x, alpha), oracle.entmax(x, alpha)) <= 4
    assert (simplex.entmax(x, 1.0) == simplex.softmax(x)).all()


def test_entmax_limits_and_rows_of_alpha(isa):
    x = rows(np.float64, (6, 20), 1)
    x[0, 3:5] = x[0].max() + 1
    assert simplex.entmax(x, np.inf)[0].tolist() == [0.0] * 3 + [0.5] * 2 + [0.0] * 15
    alpha = np.array([0.5, 1.0, 1.5, 2.0, 3.0, np.inf])
    together = simplex.entmax(x, alpha)
    for p, row, a in zip(together, x, alpha, strict=True):
        np.testing.assert_allclose(p, simplex.entmax(row, a), rtol=0, atol=1e-15)
    for bad in (0, -1, np.nan):
        with pytest.raises(ValueError, match=r"entmax: 'alpha' must be > 0, got"):
            simplex.entmax(x, bad)
    with pytest.raises(ValueError, match=r"one value per row"):
        simplex.entmax(x, np.ones(5))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", [1.2, 2.0, 5.0])
@pytest.mark.parametrize("n", [7, 100])
def test_normmax(isa, dtype, alpha, n):
    x = rows(dtype, n, 0.3)
    p = simplex.normmax(x, alpha)
    assert error(p, oracle.normmax(x, alpha)) <= 4
    assert abs(math.fsum(p) - 1) <= 4 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [10, 100, 5000])
@pytest.mark.parametrize("map_", MAPS)
def test_special_values(isa, dtype, n, map_):
    x = rows(dtype, (7, n), 1)
    clean = map_(x)
    x[1, 3] = np.nan
    x[2, :] = -np.inf
    x[3, [1, 5]] = np.inf
    x[4, ::2] = -np.inf
    x[5, 2], x[5, 3] = np.nan, np.inf
    p = map_(x)
    assert (p[[0, 6]] == clean[[0, 6]]).all()
    assert np.isnan(p[[1, 5]]).all()
    assert (p[2] == 0).all()
    assert p[3, 1] == p[3, 5] == 0.5 and p[3].sum() == 1
    assert (p[4, ::2] == 0).all() and abs(math.fsum(p[4]) - 1) <= 4 * np.finfo(dtype).eps
    compact = map_(x[4:5, 1::2])
    np.testing.assert_allclose(p[4, 1::2], compact[0], rtol=0, atol=4 * np.finfo(dtype).eps)
    assert np.isnan(map_(x, empty="nan")[2]).all()
    with pytest.raises(ValueError, match=r"'x' must have an entry in every row, got 1 row"):
        map_(x, empty="raise")


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_of_ten_million_entries(dtype):
    """Within 4 eps still; the 10^4 partial sums here have errors of some 10^-16 of themselves."""
    x = np.resize(rows(dtype, 1_000_003, 3.0), 10_000_000)
    for map_ in MAPS[:3]:
        parts = map_(x).reshape(-1, 1000).sum(axis=1, dtype=np.float64)
        assert abs(math.fsum(parts) - 1) <= 4 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [0.0, 1e-3, 3.0])
@pytest.mark.parametrize("map_", MAPS[:4])
def test_one_huge_row(dtype, scale, map_):
    """Sums to 1 within 4 eps, whatever the length and the number of workers."""
    n = 300_001
    x = rows(dtype, n, scale)
    p = map_(x, workers=1)
    assert abs(math.fsum(p) - 1) <= 4 * np.finfo(dtype).eps
    assert p.min() >= 0
    assert (map_(x, workers=2) == p).all()
    in_place = x.copy()
    assert map_(in_place, out=in_place) is in_place
    assert (in_place == p).all()


def test_huge_rows_match_short_ones():
    """The last entries of a long row that is masked elsewhere behave as a short row."""
    x = np.full(400_000, -np.inf)
    x[-50:] = rows(np.float64, 50, 2)
    for map_ in MAPS:
        np.testing.assert_allclose(map_(x)[-50:], map_(x[-50:]), rtol=0, atol=1e-15)


@pytest.mark.parametrize("map_", [simplex.sparsemax, simplex.entmax15])
def test_huge_rows_leave_room_for_outputs(map_):
    """Freed memory is kept up to a bound: beside the output, little else may claim it."""
    x = rows(np.float64, 2_000_000, 1)
    kexue_num.release_memory()
    map_(x, workers=2)
    assert kexue_num.release_memory() < 1.5 * x.nbytes


@pytest.mark.parametrize("n", [10, 100, 3000])
def test_workers_do_not_matter(n):
    x = rows(np.float32, (200_000 // n, n), 2)
    for map_ in MAPS:
        assert (map_(x, workers=1) == map_(x, workers=2)).all()
    with kexue_num.worker_limit(2):
        assert (simplex.softmax(x) == simplex.softmax(x, workers=1)).all()


@pytest.mark.parametrize("n", [9, 200])
def test_log_softmax_and_logsumexp(isa, n):
    x = rows(np.float64, (5, n), 30)
    x[1, 2] = -np.inf
    logs, level = simplex.log_softmax(x), simplex.logsumexp(x)
    finite = np.where(np.isfinite(x), x, -1e6).astype(np.longdouble)
    top = finite.max(1, keepdims=True)
    expected = top[:, 0] + np.log(np.exp(finite - top).sum(1))
    np.testing.assert_allclose(level, expected, rtol=1e-15)
    np.testing.assert_allclose(logs, x - expected[:, None], rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(np.exp(logs), simplex.softmax(x), rtol=1e-13)
    single = simplex.log_softmax(x.astype(np.float32))
    np.testing.assert_allclose(single, logs, rtol=3e-7, atol=1e-5)
    assert simplex.logsumexp([-np.inf, -np.inf]) == -np.inf
    assert simplex.logsumexp([np.inf, 0]) == np.inf
    assert np.isnan(simplex.logsumexp([np.nan, 0]))
    assert simplex.log_softmax([np.inf, np.inf, 0]).tolist() == [-np.log(2), -np.log(2), -np.inf]


def test_temperature_scales():
    x = rows(np.float64, (3, 80), 2)
    for map_ in MAPS:
        np.testing.assert_allclose(map_(x, temperature=4.0), map_(x / 4), rtol=0, atol=4e-16)
    for bad in (0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"softmax: 'temperature' must be > 0, got"):
            simplex.softmax(x, temperature=bad)


# What the posts' code and the peers get wrong.


def test_faults_of_reference_code():
    # strict inequalities on both sides lose the entry at the threshold
    assert simplex.entmax15([2.0, 0.0]).tolist() == [1.0, 0.0]
    # without a shift by the maximum nothing is left
    assert simplex.sparsemax([1e16, 1e16 - 2, 1.0]).tolist() == [1.0, 0.0, 0.0]


def test_faults_of_peers():
    # silently uniform on integers, and for alpha = 1
    assert simplex.entmax([3, 0, 0], 1.5).tolist() == simplex.entmax([3.0, 0.0, 0.0]).tolist()
    assert simplex.entmax([3, 0, 0], 1.5)[0] > 0.9
    assert (simplex.entmax([1.0, 0.0], 1) == simplex.softmax([1.0, 0.0])).all()
    # half precision
    half = simplex.entmax(rows(np.float16, (4, 200), 2), 1.2)
    assert half.dtype == np.float16 and np.isfinite(half).all()
    # float32 softmax of a long row
    x = rows(np.float32, 1_000_000, 3)
    assert abs(math.fsum(simplex.softmax(x)) - 1) <= 4 * np.finfo(np.float32).eps
