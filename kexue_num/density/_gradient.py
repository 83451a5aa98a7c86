"""Derivatives of the log density with respect to its coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._validation import as_array
from kexue_num.density._canonical import from_core

Array = NDArray[Any]


def parameter_gradient(model: _core.density.Model, coef: Array, x: object) -> Array:
    """e_k(x) / A(x) - a_k with A = sum_k conj(a_k) e_k, e_k = e^{i pi k x}; (..., N + 1)."""
    array = as_array("parameter_gradient", "x", x)
    t, slope = model.positions(np.ascontiguousarray(array, np.float64).reshape(-1))
    # e_k(x) = (-1)^k e^{i pi k t}
    waves = np.exp(1j * np.pi * np.outer(t, np.arange(len(coef))))
    b = from_core(coef, "paper")
    with np.errstate(divide="ignore", invalid="ignore"):
        amplitude = np.where(slope > 0, waves @ b, np.nan)
        turned = from_core(np.ones(len(coef)), "codex") * waves
        gradient: Array = turned / amplitude[:, None] - coef
    return gradient.reshape(*array.shape, len(coef))
