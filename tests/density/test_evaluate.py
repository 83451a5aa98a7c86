"""Densities, masses, quantiles and samples of given coefficients."""

import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue_num.density import FourierDensity
from tests.oracles import density as oracle


def coefficients(order, seed=0, decay=0.9):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=order + 1) + 1j * rng.normal(size=order + 1)
    return a * decay ** np.arange(order + 1)


def density(order=12, seed=0, **frame):
    frame = {"support": (-1.0, 1.0)} | frame
    return FourierDensity.from_coefficients(coefficients(order, seed), convention="codex", **frame)


FRAMES = [
    {"support": (-3.0, 5.0)},
    {"support": "circle", "loc": 1.0},
    {"support": "real", "base": "logistic", "loc": 1.0, "scale": 2.0},
    {"support": "real", "base": "normal", "loc": -1.0, "scale": 0.5},
    {"support": "real", "base": "t3", "loc": 0.5, "scale": 1.5},
    {"support": "real", "base": "cauchy", "loc": 0.0, "scale": 3.0},
    {"support": "positive", "base": "normal", "loc": 0.2, "scale": 0.4},
    {"support": "positive", "base": "logistic", "loc": 0.0, "scale": 0.2},
]
IDS = [f"{f['support']}-{f.get('base', '')}" for f in FRAMES]


@pytest.mark.parametrize("order", [0, 1, 5, 64])
def test_density_is_the_square(order, isa):
    d = density(order)
    x = np.linspace(-1, 1, 999)
    expected = oracle.density(coefficients(order), x)
    np.testing.assert_allclose(d.pdf(x), expected, rtol=0, atol=1e-13 * expected.max())


def test_conventions_mirror_each_other():
    a = coefficients(6)
    paper = FourierDensity.from_coefficients(a, support=(-1, 1))
    codex = FourierDensity.from_coefficients(a, support=(-1, 1), convention="codex")
    x = np.linspace(-1, 1, 101)
    # The post's coefficients c_n = sum a_k conj(a_{k+n}) with e^{i pi n x}.
    c = np.conj(oracle.correlation(a))
    wave = np.exp(1j * np.pi * np.outer(x, np.arange(1, 7)))
    post = 0.5 + (wave @ (c[1:] / c[0].real)).real
    np.testing.assert_allclose(paper.pdf(x), post, atol=1e-13)
    np.testing.assert_allclose(codex.pdf(x), paper.pdf(-x), atol=1e-13)
    again = FourierDensity.from_coefficients(paper.coef_, support=(-1, 1))
    np.testing.assert_allclose(again.coef_, paper.coef_, atol=1e-12)


@pytest.mark.parametrize("order", [1, 4, 20, 64])
def test_canonical_form(order):
    a = coefficients(order, decay=1.0)
    d = FourierDensity.from_coefficients(a, support=(-1, 1))
    c = d.coef_
    assert abs(c[0].imag) < 1e-15
    assert c[0].real > 0
    assert np.linalg.norm(c) == pytest.approx(1, abs=1e-14)
    assert np.abs(np.roots(c[::-1])).min() > 1 - 1e-9
    x = np.linspace(-1, 1, 301)
    same = FourierDensity.from_coefficients(c, support=(-1, 1))
    np.testing.assert_allclose(same.pdf(x), d.pdf(x), atol=1e-11)


@pytest.mark.parametrize("frame", FRAMES, ids=IDS)
def test_attributes_make_the_same_density(frame):
    d = density(4, **frame)
    again = FourierDensity.from_coefficients(
        d.coef_, support=frame["support"], base=d.base_, loc=d.loc_, scale=d.scale_
    )
    x = d.ppf(np.linspace(0.01, 0.99, 50))
    np.testing.assert_allclose(again.pdf(x), d.pdf(x), rtol=1e-9)
    assert again.loc_ == pytest.approx(d.loc_, abs=1e-15)


def test_corrected_distribution_function_of_the_post():
    d = density(8)
    c = oracle.correlation(coefficients(8))
    c = c / c[0].real
    x = np.linspace(-1, 1, 201)
    n = np.arange(1, 9)
    wave = (np.exp(1j * np.pi * np.outer(x, n)) - (-1.0) ** n) / (1j * np.pi * n)
    np.testing.assert_allclose(d.cdf(x), (x + 1) / 2 + (wave @ c[1:]).real, atol=2e-15)
    assert d.cdf(-1.0) == 0
    assert d.cdf(1.0) == 1
    assert d.sf(1.0) == 0
    assert d.sf(-1.0) == 1


@pytest.mark.parametrize("frame", FRAMES, ids=IDS)
def test_distribution(frame, isa):
    d = density(10, **frame)
    q = np.linspace(0, 1, 2001)
    x = d.ppf(q)
    assert (np.diff(x[1:-1]) > 0).all()
    assert (x[0], x[-1]) == d.support_
    np.testing.assert_allclose(d.cdf(x), q, rtol=0, atol=4e-15)
    np.testing.assert_allclose(d.sf(d.isf(q)), q, rtol=0, atol=4e-15)
    np.testing.assert_allclose(d.cdf(x) + d.sf(x), 1, atol=4e-15)
    fine = np.linspace(x[40], x[-40], 20_001)
    p, mass = d.pdf(fine), d.cdf(fine)
    assert (p >= 0).all()
    assert np.diff(mass).min() > -2.3e-16
    inner = slice(1, -1)
    slope = (mass[2:] - mass[:-2]) / (fine[2:] - fine[:-2])
    np.testing.assert_allclose(slope, p[inner], atol=2e-3 * p.max())
    np.testing.assert_allclose(np.exp(d.logpdf(fine)), p, rtol=1e-12)
    assert np.isnan(d.pdf(np.nan))
    assert np.isnan(d.cdf(np.nan))
    assert np.isnan(d.ppf([np.nan, -0.1, 1.1])).all()


@pytest.mark.parametrize("frame", FRAMES[2:], ids=IDS[2:])
def test_tails_keep_their_digits(frame):
    d = density(6, **frame)
    q = 10.0 ** np.array([-300.0, -200, -100, -50, -20, -10])
    low, high = d.ppf(q), d.isf(q)
    live = np.isfinite(low) & (low > (0 if frame["support"] == "positive" else -np.inf))
    assert live.sum() >= 4
    # A quantile is rounded: the mass changes by pdf * spacing.
    room = d.pdf(low) * np.spacing(np.abs(low)) / q
    np.testing.assert_array_less(np.abs(d.cdf(low) / q - 1)[live], (1e-12 + room)[live])
    live = np.isfinite(high)
    room = d.pdf(high) * np.spacing(np.abs(high)) / q
    np.testing.assert_array_less(np.abs(d.sf(high) / q - 1)[live], (1e-12 + room)[live])
    np.testing.assert_allclose(d.logcdf(d.ppf(1e-250)), np.log(d.cdf(d.ppf(1e-250))), rtol=1e-12)


@pytest.mark.parametrize("base", ["logistic", "normal", "t3", "cauchy"])
def test_beyond_the_range_of_doubles(base):
    d = density(3, support="real", base=base, loc=0.0, scale=1.0)
    far = {"logistic": 800.0, "normal": 60.0, "t3": 1e110, "cauchy": 1e200}[base]
    for sign in (-1, 1):
        value = d.logpdf(sign * far)
        assert np.isfinite(value)
        assert value < -640 or base == "cauchy"
        near = d.logpdf(sign * far * np.array([0.999, 1.0, 1.001]))
        assert (np.diff(near) < 0).all()
    assert np.isfinite(d.logsf(far))
    assert np.isfinite(d.logcdf(-far))
    assert d.logpdf([-np.inf, np.inf]).tolist() == [-np.inf, -np.inf]
    assert d.cdf([-np.inf, np.inf]).tolist() == [0, 1]


def test_bins_against_exact_integrals():
    a = coefficients(16)
    d = FourierDensity.from_coefficients(
        a, support="real", base="logistic", loc=0.0, scale=1.0, convention="codex"
    )
    edges = np.arange(-6, 6.001, 0.25)
    found = d.bin_prob(edges[:-1], edges[1:])
    with mpmath.workdps(60):
        ends = [oracle.exact_logistic_end(y, 0, 1) for y in edges]
        exact = [oracle.exact_mass(a, lo, hi) for lo, hi in itertools.pairwise(ends)]
        error = [
            abs(float((mpmath.mpf(float(f)) - e) / e)) for f, e in zip(found, exact, strict=True)
        ]
    # Positions are rounded: a bin of relative width r has them to eps / r.
    assert max(error) < 1e-13
    # The difference of distribution functions, as published, loses most digits of small bins.
    tiny = d.bin_prob(-300.25, -300.0)
    with mpmath.workdps(400):
        p0 = oracle.density(a, [-1.0])[0]
        width = 2 * (mpmath.exp(-600) - mpmath.exp(mpmath.mpf(-600.5)))
        assert float(abs(mpmath.mpf(float(tiny)) / (width * mpmath.mpf(float(p0))) - 1)) < 2e-13
    total = d.bin_prob([-np.inf, *edges], [*edges, np.inf]).sum()
    assert abs(total - 1) < 1e-14


def test_arcs_of_the_circle():
    d = density(5, support="circle", loc=0.5)
    start, end = d.support_
    assert d.bin_prob(start, end) == pytest.approx(1, abs=1e-14)
    assert d.bin_prob(2.0, 2.0 + 2 * np.pi) == pytest.approx(1, abs=1e-14)
    over = d.bin_prob(end - 0.5, end + 0.25)
    parts = d.bin_prob(end - 0.5, end) + d.bin_prob(start, start + 0.25)
    assert over == pytest.approx(parts, abs=1e-14)
    assert d.bin_prob(1.0 + 20 * np.pi, 1.5 + 20 * np.pi) == pytest.approx(
        d.bin_prob(1.0, 1.5), rel=1e-12
    )


@settings(max_examples=30, deadline=None)
@given(order=st.integers(0, 40), seed=st.integers(0, 10**6))
def test_never_negative_and_of_mass_one(order, seed):
    d = density(order, seed)
    x = np.linspace(-1, 1, 4 * order + 64, endpoint=False)
    p = d.pdf(x)
    assert p.min() >= 0
    # The trapezoid rule is exact for trigonometric polynomials.
    assert p.sum() * 2 / len(x) == pytest.approx(1, abs=1e-13)
    assert d.bin_prob(-1.0, 1.0) == pytest.approx(1, abs=1e-14)


def test_double_zero_stays_at_zero():
    # A(x) = 1 + e^{i pi x} vanishes at the ends; the float32 sum of cosines goes negative there.
    d = FourierDensity.from_coefficients([1, 1], support=(-1, 1))
    x = -1 + np.logspace(-18, -1, 200)
    p = d.pdf(x)
    assert (p >= 0).all()
    t = 1 + x
    np.testing.assert_allclose(p, np.sin(np.pi * t / 2) ** 2, rtol=1e-10, atol=1e-32)
    np.testing.assert_allclose(d.cdf(-1 + t), t / 2 - np.sin(np.pi * t) / (2 * np.pi), atol=1e-16)


@pytest.mark.parametrize("frame", FRAMES, ids=IDS)
def test_samples_follow_the_density(frame, isa):
    d = density(9, **frame)
    x = d.rvs(20_000, rng=7)
    u = np.sort(d.cdf(x))
    # Kolmogorov and Smirnov: a right sampler exceeds 2.5 / sqrt(n) once in 130 000 cases.
    gap = np.abs(u - (np.arange(20_000) + 0.5) / 20_000).max()
    assert gap < 2.5 / np.sqrt(20_000)
    assert (x >= d.support_[0]).all()
    assert (x <= d.support_[1]).all()


def test_rvs_shapes_and_seeds():
    d = density()
    assert d.rvs().shape == ()
    assert d.rvs((2, 3), rng=1).shape == (2, 3)
    assert (d.rvs(5, rng=1) == d.rvs(5, rng=1)).all()
    assert (d.rvs(5, rng=1) != d.rvs(5, rng=2)).any()
    assert d.rvs(0).shape == (0,)


def test_arrays_of_any_kind():
    d = density(support="real", base="logistic")
    x = np.linspace(-2, 2, 24)
    expected = d.pdf(x)
    assert d.pdf(x.reshape(2, 3, 4)).shape == (2, 3, 4)
    np.testing.assert_array_equal(d.pdf(x[::-2]), expected[::-2])
    np.testing.assert_array_equal(d.pdf(x.astype(">f8")), expected)
    half = d.pdf(x.astype(np.float32))
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, d.pdf(x.astype(np.float32).astype(float)), rtol=6e-8)
    assert d.pdf([0, 1]).dtype == np.float64
    assert d.pdf([]).shape == (0,)
    assert isinstance(d.pdf(0.5), np.float64)


def test_outside_the_support():
    d = density(support=(0.0, 2.0))
    assert d.pdf([-0.1, 2.1]).tolist() == [0, 0]
    assert d.logpdf([-0.1, 2.1]).tolist() == [-np.inf, -np.inf]
    assert d.cdf([-0.1, 2.1]).tolist() == [0, 1]
    assert d.sf([-0.1, 2.1]).tolist() == [1, 0]
    positive = density(support="positive", base="normal")
    assert positive.pdf([-1.0, 0.0]).tolist() == [0, 0]
    assert positive.cdf([-1.0, 0.0]).tolist() == [0, 0]
    assert positive.sf([-1.0, 0.0]).tolist() == [1, 1]
