"""The counter-based generator: published vectors, an oracle in Python integers, statistics.

Statistical checks have fixed keys, and each of them would fail for at most one key in 10^9; there
are fewer than 100, so a false alarm has probability below 10^-7.
"""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from kexue_num import _core
from tests.oracles import rng as oracle

FloatArray = NDArray[np.floating[Any]]
Key = tuple[int, int]

KINDS = ["uniform", "normal", "signs"]
DTYPES = [np.float32, np.float64]
KEY = (0x0123456789ABCDEF, 0xFEDCBA9876543210)
TOP = 2**64 - 1
FALSE_ALARM = 1e-9

every_kind = pytest.mark.parametrize("kind", KINDS)
every_isa = pytest.mark.usefixtures("isa")
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def fill(
    kind: str,
    dtype: type[np.floating[Any]],
    size: int,
    *,
    key: Key = KEY,
    first: int = 0,
    workers: int = 1,
) -> FloatArray:
    out = np.full(size, np.nan, dtype)
    getattr(_core.random, f"fill_{kind}")(*key, first, out, workers)
    return out


def bits_of(dtype: type[np.floating[Any]]) -> int:
    return 8 * np.dtype(dtype).itemsize


# Random123's known-answer tests of philox4x32 with 10 rounds: counter, key, result. Their words map
# to (key.lo, key.hi, block) as rng.hpp states.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_known_answers(
    counter: tuple[int, int, int, int], key: tuple[int, int], expected: tuple[int, int, int, int]
) -> None:
    assert oracle.philox(counter, key) == expected
    lo, hi = key[0] | key[1] << 32, counter[2] | counter[3] << 32
    assert _core.random.philox(lo, hi, counter[0] | counter[1] << 32) == expected


def test_scalar_functions_match_the_oracle() -> None:
    rng = np.random.default_rng(7)
    for _ in range(300):
        lo, hi, index, n = (int(v) for v in rng.integers(0, TOP, 4, np.uint64, endpoint=True))
        key, block = (lo, hi), index >> 1
        assert _core.random.philox(lo, hi, block) == oracle.block_words(key, block)
        assert _core.random.subkey(lo, hi, block) == oracle.subkey(key, block)
        assert _core.random.uniform(lo, hi, index) == oracle.uniform(key, index, 64)
        for bound in (n + 1 if n < TOP else n, n >> 40 | 1, 1, 2, TOP):
            got = _core.random.uniform_below(lo, hi, block, bound)
            assert got == oracle.uniform_below(key, block, bound)
            assert 0 <= got < bound


@every_dtype
@pytest.mark.parametrize("first", [0, 5, 2**36 - 40, 2**63 - 100, TOP - 3000])
@every_isa
def test_fills_match_the_oracle(dtype: type[np.floating[Any]], first: int) -> None:
    bits = bits_of(dtype)
    size = 200
    indices = range(first, first + size)
    uniform = [oracle.uniform(KEY, i, bits) for i in indices]
    np.testing.assert_array_equal(fill("uniform", dtype, size, first=first), uniform)
    signs = [oracle.sign(KEY, i, bits) for i in range(first, first + 2500, 7)]
    np.testing.assert_array_equal(fill("signs", dtype, 2500, first=first)[::7], signs)
    # log, the root, sin or cos and the product: at most 0.5 to 1.5 ulp each.
    normal = np.array([float(oracle.normal(KEY, i, bits)) for i in indices])
    got = fill("normal", dtype, size, first=first)
    assert np.max(np.abs(got - normal) / np.abs(normal)) < 8 * np.finfo(dtype).eps


def test_rare_values_are_as_accurate_as_others() -> None:
    """The extremes, and the smallest in magnitude, of batches of 3 * 10^6 values."""
    for dtype in DTYPES:
        for start in range(0, 15_000_000, 3_000_000):
            x = fill("normal", dtype, 3_000_000, first=start)
            assert np.max(np.abs(x)) > 4.5
            for place in (int(np.argmin(x)), int(np.argmax(x)), int(np.argmin(np.abs(x)))):
                exact = oracle.normal(KEY, start + place, bits_of(dtype))
                assert abs(float(x[place]) - exact) <= 8 * np.finfo(dtype).eps * abs(exact)


@every_kind
@every_dtype
@every_isa
def test_any_split_gives_the_same_bits(kind: str, dtype: type[np.floating[Any]]) -> None:
    whole = fill(kind, dtype, 5000, first=77)
    rng = np.random.default_rng(3)
    cuts = np.sort(rng.integers(0, 5001, 60)).tolist()
    pieces = [
        fill(kind, dtype, stop - start, first=77 + start)
        for start, stop in zip([0, *cuts], [*cuts, 5000], strict=True)
    ]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@every_kind
@every_dtype
@every_isa
def test_same_bits_on_every_isa_and_number_of_workers(
    kind: str, dtype: type[np.floating[Any]]
) -> None:
    got = [fill(kind, dtype, 300_001, first=12_345, workers=workers) for workers in (1, 2)]
    _core.set_active_isa("baseline")
    expected = fill(kind, dtype, 300_001, first=12_345)
    for values in got:
        assert values.tobytes() == expected.tobytes()


@every_kind
@every_dtype
@every_isa
def test_empty_fill_and_no_write_beyond(kind: str, dtype: type[np.floating[Any]]) -> None:
    assert fill(kind, dtype, 0).size == 0
    buffer = np.full(100, 9, dtype)
    getattr(_core.random, f"fill_{kind}")(*KEY, 3, buffer[10:47], 1)
    np.testing.assert_array_equal(buffer[10:47], fill(kind, dtype, 37, first=3))
    assert np.all(buffer[:10] == 9)
    assert np.all(buffer[47:] == 9)


def test_uniform_lies_in_the_half_open_interval() -> None:
    for dtype, steps in ((np.float64, 2.0**53), (np.float32, 2.0**24)):
        u = fill("uniform", dtype, 1_000_000).astype(np.float64)
        assert u.min() >= 0
        assert u.max() < 1
        np.testing.assert_array_equal(u * steps, np.floor(u * steps))


def within_chance(p: float) -> None:
    assert p > FALSE_ALARM, f"p-value {p:.3g}"


def z_score(statistic: float, deviation: float) -> float:
    """The two-sided p-value of a sum of very many terms."""
    return float(2 * stats.norm.sf(abs(statistic) / deviation))


@every_dtype
def test_uniform_distribution(dtype: type[np.floating[Any]]) -> None:
    n = 1_000_000
    u = fill("uniform", dtype, n, key=(1, 2)).astype(np.float64)
    within_chance(stats.kstest(u[:200_000], "uniform").pvalue)
    steps = 2 ** (53 if dtype is np.float64 else 24)
    low_byte = np.bincount((u * steps).astype(np.int64) & 255, minlength=256)
    within_chance(stats.chisquare(low_byte).pvalue)
    for k in (1, 2, 3, 4):
        variance = 1 / (2 * k + 1) - 1 / (k + 1) ** 2
        within_chance(z_score(np.mean(u**k) - 1 / (k + 1), np.sqrt(variance / n)))


@every_dtype
def test_normal_distribution(dtype: type[np.floating[Any]]) -> None:
    n = 2_000_000
    x = fill("normal", dtype, n, key=(3, 4)).astype(np.float64)
    within_chance(stats.kstest(x[:200_000], "norm").pvalue)
    # E x^(2k) = (2k - 1)!!, and the variance of x^k is E x^(2k) - (E x^k)^2.
    double_factorial = [1, 0, 1, 0, 3, 0, 15, 0, 105, 0, 945, 0, 10395]
    for k in range(1, 7):
        variance = double_factorial[2 * k] - double_factorial[k] ** 2
        within_chance(z_score(np.mean(x**k) - double_factorial[k], np.sqrt(variance / n)))
    edges = stats.norm.ppf(np.arange(1, 1000) / 1000)
    within_chance(stats.chisquare(np.bincount(np.searchsorted(edges, x), minlength=1000)).pvalue)
    for bound in (3.0, 4.0):
        count = int(np.sum(np.abs(x) > bound))
        within_chance(stats.binomtest(count, n, 2 * stats.norm.sf(bound)).pvalue)


@every_dtype
def test_sign_distribution(dtype: type[np.floating[Any]]) -> None:
    n = 4_000_000
    s = fill("signs", dtype, n, key=(5, 6)).astype(np.float64)
    assert set(np.unique(s)) == {-1.0, 1.0}
    within_chance(z_score(float(s.sum()), np.sqrt(n)))
    for lag in (1, 2, 8, 16, 32, 512, 2048):
        within_chance(z_score(float(s[lag:] @ s[:-lag]), np.sqrt(n - lag)))
    words = (s.reshape(-1, 8) > 0) @ (1 << np.arange(8))
    within_chance(stats.chisquare(np.bincount(words, minlength=256)).pvalue)


def independent(u: FloatArray, v: FloatArray) -> float:
    """The p-value of the cells of a 16 by 16 table of two uniform samples."""
    cells = (u * 16).astype(np.int64) * 16 + (v * 16).astype(np.int64)
    return float(stats.chisquare(np.bincount(cells, minlength=256)).pvalue)


@every_dtype
def test_neighbours_are_independent(dtype: type[np.floating[Any]]) -> None:
    for kind in ("uniform", "normal"):
        x = fill(kind, dtype, 500_000, key=(7, 8)).astype(np.float64)
        u = x if kind == "uniform" else stats.norm.cdf(x)
        for lag in (1, 2, 16, 32, 64):
            within_chance(independent(u[lag:], u[:-lag]))


def test_keys_are_independent() -> None:
    base = fill("uniform", np.float64, 200_000, key=(9, 10))
    lo, hi = _core.random.subkey(9, 10, 0)
    others = [(10, 10), (9, 11), (9 | 1 << 63, 10), (10, 9), (9, 10 | 1 << 63), (lo, hi)]
    for key in others:
        within_chance(independent(base, fill("uniform", np.float64, 200_000, key=key)))
    # The first value of each of very many keys is itself a uniform sample.
    across = np.array([_core.random.uniform(k, 0, 0) for k in range(50_000)])
    within_chance(stats.kstest(across, "uniform").pvalue)
    within_chance(independent(across[1:], across[:-1]))


def test_bounded_integers_are_uniform() -> None:
    n = 10
    draws = [_core.random.uniform_below(11, 12, i, n) for i in range(50_000)]
    within_chance(stats.chisquare(np.bincount(draws, minlength=n)).pvalue)
