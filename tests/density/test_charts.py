"""The bases themselves: densities of order 0 against 400 digits, warps against their integrals."""

import mpmath
import numpy as np
import pytest

from kexue_num.density import FourierDensity

EPS = np.finfo(float).eps
# Largest errors of sf, pdf and of the mass of a quantile, in units of eps.
BASES = {"normal": (4, 4, 4), "t3": (10, 10, 8), "cauchy": (4, 4, 4)}


def exact_tail(base, z):
    if z == 0:
        return mpmath.mpf(1) / 2
    if base == "normal":
        return mpmath.erfc(z / mpmath.sqrt(2)) / 2
    if base == "cauchy":
        return mpmath.atan(1 / z) / mpmath.pi
    u = z / mpmath.sqrt(3)
    return (mpmath.atan(1 / u) - u / (1 + u * u)) / mpmath.pi


def exact_density(base, z):
    if base == "normal":
        return mpmath.exp(-z * z / 2) / mpmath.sqrt(2 * mpmath.pi)
    if base == "cauchy":
        return 1 / (mpmath.pi * (1 + z * z))
    return 2 / (mpmath.pi * mpmath.sqrt(3)) / (1 + z * z / 3) ** 2


@pytest.mark.parametrize("base", BASES)
def test_bases_are_right_to_a_few_ulp(base, isa):
    rng = np.random.default_rng(1)
    d = FourierDensity.from_coefficients([1.0], support="real", base=base, loc=0.0, scale=1.0)
    far = 37.0 if base == "normal" else 1e60
    switches = [0.0, 1.0, np.sqrt(3), 1e-300, 5e-324, np.nextafter(1, 2), np.nextafter(1, 0)]
    z = np.concatenate([rng.uniform(0, 4, 60), 10 ** rng.uniform(0, np.log10(far), 40), switches])
    q = np.concatenate([rng.uniform(0, 0.5, 60), 10 ** rng.uniform(-280, -1, 40), [0.5, 4.8e-4]])
    x = np.abs(d.isf(q))
    with mpmath.workdps(400):
        for_tail, for_density, for_quantile = BASES[base]
        for y, mass, density in zip(z, d.sf(z), d.pdf(z), strict=True):
            y = mpmath.mpf(float(y))  # noqa: PLW2901
            assert abs(mass / exact_tail(base, y) - 1) < for_tail * EPS
            assert abs(density / exact_density(base, y) - 1) < for_density * EPS
        for share, y in zip(q, x, strict=True):
            # A rounded quantile moves the mass by density * eps * y.
            tail = exact_tail(base, mpmath.mpf(float(y)))
            room = exact_density(base, mpmath.mpf(float(y))) * y / tail
            assert abs(tail / mpmath.mpf(float(share)) - 1) < (for_quantile + 2 * room) * EPS
    np.testing.assert_array_equal(d.cdf(-z), d.sf(z))
    np.testing.assert_array_equal(d.pdf(-z), d.pdf(z))


def test_special_places(isa):
    for base in (*BASES, "logistic"):
        d = FourierDensity.from_coefficients([1.0], support="real", base=base, loc=1.0, scale=2.0)
        assert d.cdf([-np.inf, 1.0, np.inf]).tolist() == [0.0, 0.5, 1.0]
        assert d.pdf([-np.inf, np.inf]).tolist() == [0.0, 0.0]
        assert d.ppf([0.0, 1.0]).tolist() == [-np.inf, np.inf]
        assert abs(d.ppf(0.5) - 1.0) < 1e-15
        assert np.isnan(d.cdf(np.nan)) and np.isnan(d.pdf(np.nan)) and np.isnan(d.ppf(np.nan))


@pytest.mark.parametrize("n", [30, 3000])
def test_warps(n, isa):
    rng = np.random.default_rng(3)
    samples = np.concatenate([rng.normal(-2, 0.05, n), rng.normal(3, 1, 2 * n)])
    d = FourierDensity(order=3, base="warp").fit(samples)
    assert d.converged_ and d.gap_ < 1e-10
    q = np.concatenate([np.linspace(0, 1, 2001), 10.0 ** -np.arange(4, 300, 15)])
    x = d.ppf(q)
    assert (np.diff(x[:2001]) > 0).all()
    gaps = np.arange(q.size) % 7 == 0
    np.testing.assert_array_equal(d.ppf(np.where(gaps, np.nan, q)), np.where(gaps, np.nan, x))
    np.testing.assert_allclose(d.cdf(x), q, rtol=0, atol=4e-15)
    np.testing.assert_allclose(d.sf(d.isf(q)), q, rtol=0, atol=4e-15)
    tiny = q[2001:]
    room = d.pdf(x[2001:]) * np.spacing(np.abs(x[2001:])) / tiny
    assert (np.abs(d.cdf(x[2001:]) / tiny - 1) < 1e-12 + room).all()
    grid = np.linspace(x[20], x[1980], 40_001)
    middle = 0.5 * (grid[1:] + grid[:-1])
    sums = np.cumsum(d.pdf(middle)) * (grid[1] - grid[0])
    np.testing.assert_allclose(d.cdf(grid[1:]) - d.cdf(grid[0]), sums, atol=2e-5)
    # Kolmogorov-Smirnov: exceeded by chance once in 10^6.
    drawn = np.sort(d.rvs(100_000, rng=0))
    steps = (np.arange(drawn.size) + 0.5) / drawn.size
    assert np.abs(d.cdf(drawn) - steps).max() < 2.7 / np.sqrt(drawn.size)


def test_infinite_angles_are_no_points_of_the_circle():
    d = FourierDensity.from_coefficients([1.0, 0.5], support="circle")
    for value in (np.inf, -np.inf, np.nan):
        assert np.isnan(d.pdf(value)) and np.isnan(d.cdf(value)) and np.isnan(d.logpdf(value))
