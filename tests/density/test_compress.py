"""Moments and log slopes of samples against direct sums."""

import numpy as np
import pytest

from kexue_num import _core

CELLS = 64
RNG = np.random.default_rng(5)


def compress(base, y, w=None):
    moments = np.zeros(4 * CELLS)
    chart = _core.density.Chart(base, 0.0, 2.0, False)
    return moments, _core.density.compress(chart, y, w, moments, 1)


def moments_of(t, w):
    place = np.mod(t, 2.0) * (CELLS / 2)
    cell = np.floor(place).astype(int)
    sums = np.zeros((CELLS, 4))
    for k in range(4):
        np.add.at(sums[:, k], cell % CELLS, w * (place - cell) ** k)
    return sums.reshape(-1)


# Around the lengths of vectors, of pieces and of blocks.
@pytest.mark.parametrize("n", [1, 3, 8, 31, 127, 129, 511, 513, 1000, 66_001])
@pytest.mark.parametrize("weighted", [False, True])
def test_moments_and_log_slopes(n, weighted, isa):
    y = RNG.normal(0, 2, n)
    w = RNG.integers(0, 3, n) * 0.7 if weighted else None
    weights = np.ones(n) if w is None else w
    got, log_slope = compress("logistic", y, w)
    # tanh(z) + 1 near the lower end, whose digits cells of this width do not need.
    np.testing.assert_allclose(got, moments_of(np.tanh(y / 2) + 1, weights), atol=1e-11 * n**0.5)
    exact = -weights @ (np.log(2) + 2 * np.log(np.cosh(y / 2)))
    assert log_slope == pytest.approx(exact, rel=1e-12)


def test_ordered_samples_share_cells(isa):
    y = np.sort(RNG.normal(0, 2, 10_000))
    got, _ = compress("logistic", y)
    np.testing.assert_allclose(got, moments_of(np.tanh(y / 2) + 1, np.ones(y.size)), rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("place", [0, 300, 512, 1023])
def test_one_slope_underflows(place, weighted, isa):
    y = RNG.normal(0, 2, 1024)
    usual = y.copy()
    y[place], usual[place] = 1500.0, 0.0
    w = np.ones(y.size) if weighted else None
    # log sech^2(0) / 2 goes, log 1e-300 comes: no slope counts for less.
    change = np.log(1e-300) - np.log(0.5)
    _, far = compress("logistic", y, w)
    _, near = compress("logistic", usual, w)
    assert far - near == pytest.approx(change, rel=1e-11)


def test_steep_and_flat_slopes(isa):
    for base, scale in [("interval", 1e-250), ("interval", 1e250), ("circle", 3.0)]:
        chart = _core.density.Chart(base, 0.0, scale, False)
        y = RNG.random(1024) * scale
        total = _core.density.compress(chart, y, None, np.zeros(4 * CELLS), 1)
        assert total == pytest.approx(y.size * np.log(2 / scale), rel=1e-13)
