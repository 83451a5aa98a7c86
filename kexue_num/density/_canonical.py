"""Coefficients: the two published conventions and the one representative of their class.

The core's coordinate t = x + 1 counts from the lower end, with B(t) = sum_k b_k e^{i pi k t}. The
paper writes p(x) = |sum_k conj(a_k) e^{i pi k x}|^2 / 2, its code |sum_k a_k e^{i pi k x}|^2 / 2:
b_k is (-1)^k conj(a_k) for the one and (-1)^k a_k for the other.

|B|^2 does not change if b is multiplied by a phase, nor if a zero z of sum_k b_k z^k moves to
1 / conj(z). The canonical form has all zeros outside the unit circle (minimum phase) and b_0 > 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core

Array = NDArray[Any]

_EPSILON = float(np.finfo(float).eps)


def from_core(b: Array, convention: str) -> Array:
    """Coefficients of the core in a published convention; its own inverse."""
    signs = 1.0 - 2.0 * (np.arange(len(b)) % 2)
    out: Array = np.conj(b) * signs if convention == "paper" else b * signs
    return out


def autocorrelation(b: Array) -> Array:
    """c_n = sum_k b_{k+n} conj(b_k), n = 0..N."""
    return np.correlate(b, b, "full")[len(b) - 1 :].copy()


def canonical(b: Array) -> Array:
    """The minimum-phase representative with b_0 > 0 and norm 1."""
    if len(b) > 1 and not _core.density.is_minimum_phase(b):
        b = _refine(_flip(b), autocorrelation(b))
    b = b / np.linalg.norm(b)
    size = abs(b[0])
    return b if size == 0 else b * (np.conj(b[0]) / size)


def _flip(b: Array) -> Array:
    """The zeros inside the unit circle moved outside; coefficients from values on a circle."""
    highest = np.flatnonzero(np.abs(b) > 1e-300)[-1]
    roots = np.roots(b[highest::-1])
    inside = np.abs(roots) < 1
    flipped = np.where(inside, 1 / np.conj(np.where(roots == 0, 1e-300, roots)), roots)
    # Factors 1 - z/root are of moderate size; their product over the circle never overflows.
    m = 1 << int(np.ceil(np.log2(len(b) + 1)))
    z = np.exp(2j * np.pi * np.arange(m) / m)
    factors = 1 - z[:, None] / flipped
    sizes = np.abs(factors)
    # A zero on the circle can meet a sample of it.
    with np.errstate(divide="ignore"):
        logs = np.log(sizes).sum(axis=1)
    phases = np.prod(factors / np.where(sizes > 0, sizes, 1), axis=1)
    values = np.exp(logs - logs.max()) * phases
    out: Array = np.fft.fft(values)[: len(b)] / m
    out /= np.linalg.norm(out)
    return out


def _refine(b: Array, c: Array) -> Array:
    """Wilson's (1969) Newton steps towards autocorrelation c, while they help."""
    n = len(b)
    k = np.arange(n)
    up, down = k[:, None] + k[None, :], k[None, :] - k[:, None]
    best, error = b, np.linalg.norm(autocorrelation(b) - c)
    for _ in range(4):
        if error < 4 * _EPSILON:
            break
        # d -> (b_{k+n} conj(d_k) + d_{k+n} conj(b_k)) summed over k, as a real map
        first = np.where(up < n, best[np.minimum(up, n - 1)], 0)
        second = np.where(down >= 0, np.conj(best[np.maximum(down, 0)]), 0)
        matrix = np.block(
            [
                [(first + second).real, (first - second).imag],
                [(first + second).imag, (second - first).real],
            ]
        )
        target = c - autocorrelation(best)
        step = np.linalg.lstsq(matrix, np.concatenate([target.real, target.imag]), rcond=1e-13)[0]
        trial = best + step[:n] + 1j * step[n:]
        trial_error = np.linalg.norm(autocorrelation(trial) - c)
        if not trial_error < error:
            break
        best, error = trial, trial_error
    return best
