"""Moments, entropy, modes, regions, derivatives and gradients."""

import math

import numpy as np
import pytest
import scipy.stats

from kexue_num.density import FourierDensity
from tests.density.test_evaluate import FRAMES, IDS, coefficients, density
from tests.oracles import density as oracle


def flat(**frame):
    """The base itself."""
    return FourierDensity.from_coefficients([1.0], **frame)


def test_moments_of_the_bases():
    normal = flat(support="real", base="normal", loc=2.0, scale=3.0)
    assert normal.mean() == pytest.approx(2, abs=1e-12)
    assert normal.var() == pytest.approx(9, rel=1e-12)
    assert normal.moment(4) == pytest.approx(16 + 6 * 4 * 9 + 3 * 81, rel=1e-12)
    assert normal.entropy() == pytest.approx(0.5 * math.log(2 * math.pi * math.e * 9), rel=1e-13)
    logistic = flat(support="real", base="logistic", loc=-1.0, scale=2.0)
    assert logistic.var() == pytest.approx(math.pi**2 / 12 * 4, rel=1e-12)
    t3 = flat(support="real", base="t3", loc=1.0, scale=2.0)
    assert t3.mean() == pytest.approx(1, abs=1e-10)
    assert t3.var() == pytest.approx(12, rel=1e-6)
    assert math.isnan(t3.moment(3))
    cauchy = flat(support="real", base="cauchy")
    assert math.isnan(cauchy.mean())
    assert cauchy.var() == math.inf
    assert cauchy.entropy() == pytest.approx(math.log(4 * math.pi), rel=1e-12)
    lognormal = flat(support="positive", base="normal", loc=0.5, scale=0.4)
    assert lognormal.mean() == pytest.approx(math.exp(0.58), rel=1e-12)
    heavy = flat(support="positive", base="logistic", loc=0.0, scale=1.5)
    assert heavy.moment(2) == math.inf
    assert flat(support=(2.0, 4.0)).std() == pytest.approx(1 / math.sqrt(3), rel=1e-13)


def test_circle():
    d = density(5, support="circle", loc=0.7)
    grid = np.linspace(*d.support_, 4097)[:-1]
    weight = d.pdf(grid) * (grid[1] - grid[0])
    for n in (-2, 0, 1, 5, 6):
        assert d.trig_moment(n) == pytest.approx(np.sum(weight * np.exp(1j * n * grid)), abs=1e-12)


def test_divergence():
    one, two = density(4, 1), density(6, 2)
    assert one.kl(one) == pytest.approx(0, abs=1e-13)
    grid = np.linspace(-1, 1, 100_001)[:-1]
    p, q = one.pdf(grid), two.pdf(grid)
    assert one.kl(two) == pytest.approx(np.mean(p * np.log(p / q)) * 2, abs=1e-4)


@pytest.mark.parametrize("frame", FRAMES, ids=IDS)
def test_modes_and_regions(frame):
    d = density(4, **frame)
    grid = d.ppf(np.linspace(1e-4, 1 - 1e-4, 20_001))
    p = d.pdf(grid)
    peaks = grid[1:-1][(p[1:-1] > p[:-2]) & (p[1:-1] > p[2:])]
    modes = d.modes()
    for peak in peaks:
        assert np.abs(modes - peak).min() < 2 * np.diff(grid).max()
    for level in (0.5, 0.9):
        region = d.interval(level)
        assert region.shape[1] == 2
        assert (np.diff(region.reshape(-1)) > 0).all()
        assert d.bin_prob(region[:, 0], region[:, 1]).sum() == pytest.approx(level, abs=1e-9)
        inner = region[(region > d.support_[0]) & (region < d.support_[1])]
        if frame["support"] != "circle":
            np.testing.assert_allclose(d.pdf(inner), d.pdf(inner)[0], rtol=1e-8)


@pytest.mark.parametrize("frame", FRAMES, ids=IDS)
def test_derivatives(frame):
    d = density(6, **frame)
    x = d.ppf(np.linspace(0.05, 0.95, 9))
    h = 1e-4 * d.pdf(x).max() ** -1 * 0.01
    for k in range(1, 4):
        low, high = d.pdf_derivative(x - h, k - 1), d.pdf_derivative(x + h, k - 1)
        expected = (high - low) / (2 * h)
        scale = np.abs(d.pdf_derivative(x, k)).max()
        np.testing.assert_allclose(d.pdf_derivative(x, k), expected, atol=1e-5 * scale)
    np.testing.assert_allclose(d.score(x), d.pdf_derivative(x) / d.pdf(x), rtol=1e-10)
    np.testing.assert_allclose(d.pdf_derivative(x, 0), d.pdf(x), rtol=1e-12)


def test_derivatives_of_warps():
    rng = np.random.default_rng(3)
    sample = np.concatenate([rng.normal(size=1500), rng.normal(3, 0.1, size=500)])
    d = FourierDensity(order=3, base="warp").fit(sample)
    x, h = d.ppf(np.linspace(0.03, 0.97, 40)), 1e-7
    slope = d.pdf_derivative(x)
    expected = (d.pdf(x + h) - d.pdf(x - h)) / (2 * h)
    np.testing.assert_allclose(slope, expected, atol=1e-5 * np.abs(slope).max())
    np.testing.assert_allclose(d.score(x), slope / d.pdf(x), rtol=1e-10)
    np.testing.assert_allclose(d.pdf_derivative(x, 0), d.pdf(x), rtol=1e-12)


def test_parameter_gradient():
    d = density(5, 3, support="real", base="logistic", loc=0.3, scale=1.2)
    x = np.array([[-0.4, 0.2], [1.0, 2.0]])
    gradient = d.parameter_gradient(x)
    assert gradient.shape == (2, 2, 6)
    rng = np.random.default_rng(0)
    step = 1e-6 * (rng.normal(size=6) + 1j * rng.normal(size=6))
    frame = {"support": "real", "base": "logistic", "loc": 0.3, "scale": 1.2}
    up = FourierDensity.from_coefficients(d.coef_ + step, **frame).logpdf(x)
    down = FourierDensity.from_coefficients(d.coef_ - step, **frame).logpdf(x)
    np.testing.assert_allclose(
        2 * (gradient @ np.conj(step)).real, (up - down) / 2, rtol=1e-6, atol=1e-12
    )


def test_expectation():
    a = coefficients(8)
    d = FourierDensity.from_coefficients(a, support=(-1, 1), convention="codex")
    x = np.linspace(-1, 1, 4097)[:-1]
    expected = np.sum(oracle.density(a, x) * np.cos(np.pi * x)) * 2 / 4096
    assert d.expect(lambda y: np.cos(np.pi * y)) == pytest.approx(expected, abs=1e-14)


def test_plot():
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots()
    assert density().plot(ax=ax, color="k") is ax
    assert len(ax.lines) == 1
    plt.close(figure)


SCIPY_FRAMES = [
    {"support": "real", "base": "logistic", "loc": 2.0, "scale": 3.0},
    {"support": (-2.0, 5.0)},
    {"support": "circle", "loc": 1.0},
    {"support": "positive", "base": "normal", "loc": 0.2, "scale": 0.4},
]


@pytest.mark.parametrize("frame", SCIPY_FRAMES, ids=lambda frame: str(frame["support"]))
def test_face_for_scipy(frame):
    if not hasattr(scipy.stats, "make_distribution"):
        pytest.skip("SciPy makes no distributions")
    a = np.array([1.0, 0.4 + 0.2j, -0.1j])
    d = FourierDensity.from_coefficients(a, **frame)
    other = d.to_scipy()
    q = np.linspace(0.05, 0.95, 7)
    x = d.ppf(q)
    assert other.support() == d.support_
    for ours, theirs in (
        (x, other.icdf(q)),
        (d.isf(q), other.iccdf(q)),
        (q, other.cdf(x)),
        (d.sf(x), other.ccdf(x)),
        (d.pdf(x), other.pdf(x)),
        (d.logpdf(x), other.logpdf(x)),
        (d.logcdf(x), other.logcdf(x)),
        (d.logsf(x), other.logccdf(x)),
        (d.mean(), other.mean()),
        (d.var(), other.variance()),
        (d.entropy(), other.entropy()),
        (q[4] - q[1], other.cdf(x[1], x[4])),
        (q[1] - q[4], other.cdf(x[4], x[1])),
        (2 * d.mean() + 1, (2 * other + 1).mean()),
    ):
        np.testing.assert_allclose(theirs, ours, rtol=1e-12, atol=1e-14)
    drawn = other.sample(shape=(3, 2), rng=np.random.default_rng(5))
    np.testing.assert_array_equal(drawn, d.rvs((3, 2), rng=np.random.default_rng(5)))
    assert np.isnan(other.pdf(np.nan))
    if frame["support"] != "real":
        assert other.pdf(-100.0) == 0


def test_regions_with_valleys_between_grid_points_and_of_uniform_densities():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        a = rng.normal(size=9) + 1j * rng.normal(size=9)
        for support in ("circle", (-1e-8, 1e-8), "real"):
            d = FourierDensity.from_coefficients(a, support=support)
            for level in (0.5, 0.99, 0.9999):
                region = d.interval(level)
                assert d.bin_prob(*region.T).sum() == pytest.approx(level, abs=1e-9)
    uniform = FourierDensity.from_coefficients([1.0], support=(2.0, 5.0))
    assert uniform.interval(0.9) == pytest.approx(np.array([[2.15, 4.85]]))
    assert flat(support="circle").interval(0.5) == pytest.approx(np.array([[-1, 1]]) * math.pi / 2)
