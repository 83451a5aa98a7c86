"""Two variables: certificate, marginals, conditionals, samples."""

import numpy as np
import pytest

import kexue_num
from kexue_num.density import FourierDensity2D


def banana(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return np.column_stack([x, 0.7 * x**2 + 0.5 * rng.normal(size=n)])


@pytest.fixture(scope="module")
def fitted():
    return FourierDensity2D(3, rank=2, tol=1e-2).fit(banana(600))


def test_rank_closes_the_gap(fitted):
    with pytest.warns(kexue_num.ConvergenceWarning, match="gap_"):
        one = FourierDensity2D(3, rank=1, tol=1e-2).fit(banana(600))
    assert one.gap_ > 10 * fitted.gap_
    # The certificate bounds what more squares gain.
    four = FourierDensity2D(3, rank=4, tol=1e-2).fit(banana(600))
    gained = (four.loglik_ - one.loglik_) / 600
    assert 0 < gained <= one.gap_
    assert (four.loglik_ - fitted.loglik_) / 600 <= fitted.gap_ + 1e-12
    assert fitted.loglik_ == pytest.approx(fitted.logpdf(banana(600)).sum(), rel=1e-12)


def test_marginals_and_conditionals_agree_with_the_density(fitted):
    y = np.linspace(-12, 14, 20_001)
    step = y[1] - y[0]
    for axis, at in ((0, 0.4), (1, 0.8)):
        points = np.empty((len(y), 2))
        points[:, axis], points[:, 1 - axis] = at, y
        integral = fitted.pdf(points).sum() * step
        assert fitted.marginal(axis).pdf(at) == pytest.approx(integral, rel=1e-5)
        line = fitted.conditional(at, 1 - axis)
        expected = fitted.pdf(points) / fitted.marginal(axis).pdf(at)
        np.testing.assert_allclose(line.pdf(y), expected, rtol=1e-5, atol=1e-6)


def test_samples(fitted):
    x = fitted.rvs(20_000, rng=1)
    assert x.shape == (20_000, 2)
    # Kolmogorov and Smirnov in each variable: 2.5 / sqrt(n) fails once in 130 000.
    for axis in (0, 1):
        u = np.sort(fitted.marginal(axis).cdf(x[:, axis]))
        assert np.abs(u - (np.arange(20_000) + 0.5) / 20_000).max() < 2.5 / np.sqrt(20_000)
    some = x[:300]
    u = np.sort([fitted.conditional(first, 1).cdf(second) for first, second in some])
    assert np.abs(u - (np.arange(300) + 0.5) / 300).max() < 2.5 / np.sqrt(300)


def test_supports_and_errors(fitted):
    rng = np.random.default_rng(4)
    angles = rng.vonmises(0, 2, 500)
    y = np.column_stack([angles, np.clip(0.5 + 0.1 * np.sin(angles), 0, 1)])
    d = FourierDensity2D((3, 2), rank=2, support=["circle", (0.0, 1.0)], tol=1.0).fit(y)
    assert d.pdf([0.0, -1.0]) == 0
    assert d.marginal(1).support_ == (0.0, 1.0)
    with pytest.raises(ValueError, match="'rank' must lie in"):
        FourierDensity2D(rank=9).fit(y)
    with pytest.raises(ValueError, match="must have shape"):
        FourierDensity2D().fit(y[:, :1])
    with pytest.raises(ValueError, match="'x' must be finite"):
        FourierDensity2D().fit(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="'given' must lie in the support"):
        d.conditional(2.0, 0)
    with pytest.raises(AttributeError, match="not fitted"):
        FourierDensity2D().pdf([0.0, 0.0])
