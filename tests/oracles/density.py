"""Slow references for Fourier densities: direct sums over points, mpmath for masses.

Coefficients a follow the code's convention, A(x) = sum_k a_k e^{i pi k x}, x in [-1, 1].
"""

import mpmath
import numpy as np


def amplitude(a, x):
    """sum_k a_k e^{i pi k x} by direct summation."""
    k = np.arange(len(a))
    return np.exp(1j * np.pi * np.multiply.outer(np.asarray(x, float), k)) @ np.asarray(a)


def density(a, x):
    """|A|^2 / (2 ||a||^2)."""
    return np.abs(amplitude(a, x)) ** 2 / (2 * np.linalg.norm(a) ** 2)


def correlation(a):
    """c_n = sum_k a_{k+n} conj(a_k)."""
    return np.array([np.vdot(a[: len(a) - n], a[n:]) for n in range(len(a))])


def _exact_correlation(a):
    a = [mpmath.mpc(complex(z)) for z in a]
    return [
        mpmath.fsum(a[k + n] * mpmath.conj(a[k]) for k in range(len(a) - n)) for n in range(len(a))
    ]


def exact_mass(a, lo, hi, digits=60):
    """The mass between lo and hi (numbers or mpf), closed form in many digits."""
    with mpmath.workdps(digits):
        c = _exact_correlation(a)
        lo, hi = mpmath.mpf(lo), mpmath.mpf(hi)
        total = c[0].real * (hi - lo) / 2
        for n in range(1, len(c)):
            wave = mpmath.expjpi(n * hi) - mpmath.expjpi(n * lo)
            total += (c[n] * wave / (1j * mpmath.pi * n)).real
        return total / c[0].real


def exact_logistic_end(y, loc, scale, digits=60):
    """x = tanh((y - loc) / scale) in many digits."""
    with mpmath.workdps(digits):
        return mpmath.tanh((mpmath.mpf(float(y)) - mpmath.mpf(loc)) / mpmath.mpf(scale))


def log_likelihood(a, x, w=None):
    """Mean log density of points."""
    return float(np.average(np.log(density(a, x)), weights=w))


def certificate(a, x, w=None):
    """log lambda_max of the Toeplitz matrix of 1/|A|^2 over the points: a bound on the gap."""
    a = np.asarray(a) / np.linalg.norm(a)
    w = np.full(len(x), 1 / len(x)) if w is None else np.asarray(w) / np.sum(w)
    k = np.arange(len(a))
    t = np.exp(-1j * np.pi * np.multiply.outer(k, x)) @ (w / np.abs(amplitude(a, x)) ** 2)
    lag = np.subtract.outer(k, k)
    matrix = np.where(lag >= 0, t[np.abs(lag)], np.conj(t[np.abs(lag)]))
    return float(np.log(np.linalg.eigvalsh(matrix)[-1]))


def fixed_point(x, order, rng, iterations=3000, w=None):
    """A fit by a <- normalise(mean of e(x) / conj(A)), damped: slow, from a random start."""
    w = np.full(len(x), 1 / len(x)) if w is None else np.asarray(w) / np.sum(w)
    k = np.arange(order + 1)
    e = np.exp(-1j * np.pi * np.multiply.outer(k, x))
    a = rng.normal(size=order + 1) + 1j * rng.normal(size=order + 1)
    a /= np.linalg.norm(a)
    for _ in range(iterations):
        g = e @ (w / np.conj(np.conj(e.T) @ a))
        a = 0.5 * a + 0.5 * g / np.linalg.norm(g)
        a /= np.linalg.norm(a)
    return a


def roughness(a, nodes=4096):
    """The integral of p'^2 by the trapezoid rule on the spectral derivative."""
    x = -1 + 2 * np.arange(nodes) / nodes
    wave = np.fft.fft(density(a, x))
    k = np.fft.fftfreq(nodes, 2 / nodes) * 2 * np.pi
    return float(np.sum(np.fft.ifft(1j * k * wave).real ** 2) * 2 / nodes)


def mixture_pdf(components, y):
    """Density of a normal mixture of (weight, mean, deviation)."""
    y = np.asarray(y, float)
    return sum(
        w / (s * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((y - m) / s) ** 2) for w, m, s in components
    )


def mixture_samples(components, n, rng):
    """Samples of a normal mixture."""
    w, m, s = np.array(components).T
    which = rng.choice(len(w), size=n, p=w / w.sum())
    return m[which] + s[which] * rng.standard_normal(n)


def population_weights(components, scale=2.5, nodes=8192):
    """The grid x_j = -1 + 2 j / nodes and the density of x = tanh(y / scale) on it, sum 1."""
    x = -1 + 2 * np.arange(nodes) / nodes
    u = np.clip(x, -1 + 1e-12, 1 - 1e-12)
    h = mixture_pdf(components, scale * np.arctanh(u)) * scale / (1 - u * u)
    h[0] = 0
    return x, h / h.sum()
