"""Gradients of the maps, from their values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kexue_num import _core
from kexue_num.simplex._maps import check_alpha, check_temperature
from kexue_num.simplex._rows import Array, Axis, as_rows


@dataclass(frozen=True, repr=False, eq=False)
class EntmaxGradient:
    """Gradients of <g, entmax(x, alpha)>.

    Attributes
    ----------
    x : ndarray of the shape of p
    alpha : ndarray of the shape of p without `axis`
    """

    x: Array
    alpha: Array

    def __repr__(self) -> str:
        return f"EntmaxGradient(x=shape {self.x.shape}, alpha=shape {self.alpha.shape})"


def softmax_vjp(
    p: object,
    g: object,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Gradient of <g, softmax(x / temperature)> with respect to x, from p = softmax(x).

    Parameters
    ----------
    p : array_like
        What `softmax` returned.
    g : array_like of the shape of `p`
        The gradient with respect to p. Not read as a number where p is zero.
    axis, temperature, out, workers
        As in `softmax`; `out` may be `p`.

    Returns
    -------
    ndarray
        p (g - <p, g>) / temperature; exactly zero where p is zero.

    Notes
    -----
    The Jacobian is symmetric: the same call is the Jacobian-vector product, with g a direction.

    Examples
    --------
    >>> from kexue_num import simplex
    >>> simplex.softmax_vjp([0.5, 0.5], [1.0, 0.0])
    array([ 0.25, -0.25])
    """
    return _vjp("softmax_vjp", p, g, 1.0, axis, temperature, out, workers)


def sparsemax_vjp(
    p: object,
    g: object,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Gradient of <g, sparsemax(x / temperature)> with respect to x, from p = sparsemax(x).

    Parameters are those of `softmax_vjp`. The Jacobian is symmetric: the same call is the
    Jacobian-vector product.

    Returns
    -------
    ndarray
        (g - mean of g over the support) / temperature on the support, zero elsewhere.

    Examples
    --------
    >>> from kexue_num import simplex
    >>> simplex.sparsemax_vjp([0.25, 0.75, 0.0], [1.0, 0.0, 5.0])
    array([ 0.5, -0.5,  0. ])
    """
    return _vjp("sparsemax_vjp", p, g, 2.0, axis, temperature, out, workers)


def entmax_vjp(
    p: object,
    g: object,
    alpha: object = 1.5,
    *,
    alpha_grad: bool = False,
    axis: Axis = -1,
    temperature: float = 1.0,
    out: Array | None = None,
    workers: int | None = None,
) -> Array | EntmaxGradient:
    """Gradient of <g, entmax(x / temperature, alpha)>, from p = entmax(x / temperature, alpha).

    Parameters
    ----------
    p, g, axis, temperature, out, workers
        As in `softmax_vjp`.
    alpha : float or array_like
        As in `entmax`. For infinity the map is constant but for its jumps: the gradient is zero.
    alpha_grad : bool, default False
        Return an `EntmaxGradient` that holds the derivative with respect to alpha too.

    Returns
    -------
    ndarray or EntmaxGradient
        w (g - <w, g> / sum w) / temperature with w_i = p_i^(2-alpha) on the support; infinite where
        that exceeds the range of the dtype, never NaN for numbers.

    Notes
    -----
    The Jacobian in x is symmetric: the same call is the Jacobian-vector product. The derivative in
    alpha is arranged without cancellation, and goes through alpha = 1 where it is a limit.

    References
    ----------
    G. Correia, V. Niculae and A. Martins, Adaptively sparse transformers, EMNLP 2019.

    Examples
    --------
    >>> from kexue_num import simplex
    >>> simplex.entmax_vjp([0.64, 0.36, 0.0], [1.0, 0.0, 5.0], 1.5).round(4)
    array([ 0.3429, -0.3429,  0.    ])
    """
    gradient = _vjp("entmax_vjp", p, g, alpha, axis, temperature, out, workers)
    if not alpha_grad:
        return gradient
    rows = as_rows("entmax_vjp", p, axis, workers=workers, argument="p", fill=False)
    derivative = np.empty(len(rows.x))
    _core.simplex.entmax_alpha_vjp(
        rows.x, rows.like("g", g), check_alpha(rows, alpha), derivative, rows.workers
    )
    return EntmaxGradient(gradient, rows.of_rows(derivative))


def _vjp(
    function: str,
    p: object,
    g: object,
    alpha: object,
    axis: Axis,
    temperature: object,
    out: Array | None,
    workers: int | None,
) -> Array:
    temperature = check_temperature(function, temperature)
    rows = as_rows(function, p, axis, out=out, workers=workers, argument="p")
    each = check_alpha(rows, alpha)
    direction = rows.like("g", g)
    if not np.may_share_memory(rows.out, rows.x) and np.may_share_memory(rows.out, direction):
        direction = direction.copy()
    _core.simplex.entmax_vjp(rows.x, direction, each, rows.out, temperature, rows.workers)
    return rows.result()
