"""Softmax over the largest entries, smooth selections of k entries, Taylor and perturbed maxima."""

from __future__ import annotations

import math
from typing import Literal

from kexue_num import _core
from kexue_num._validation import (
    check_choice,
    check_integer,
    check_memory,
    check_real,
    message,
)
from kexue_num.simplex._maps import Empty, check_empty, check_temperature, refuse_empty, softmax
from kexue_num.simplex._rows import Array, Axis, Rows, as_rows

Selection = Literal["sigmoid", "exp", "laplace", "sparse", "gradtopk", "iterative"]
Noise = Literal["gumbel", "normal", "uniform", "exponential"]
_SELECTIONS = ("sigmoid", "exp", "laplace", "sparse", "gradtopk", "iterative")
_NOISES = ("normal", "uniform", "exponential")


def topk_softmax(
    x: object,
    k: int,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    where: object = None,
    empty: Empty = "zero",
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Softmax over the k largest entries, exactly zero elsewhere (sparse softmax).

    Parameters
    ----------
    x : array_like of real numbers
        As in `softmax`, as are all parameters not listed here.
    k : int
        From 1 to the number of entries.

    Returns
    -------
    ndarray
        Of the shape of `x`. Entries equal to the k-th largest are all kept: equal inputs give equal
        outputs.

    References
    ----------
    Jianlin Su, 科学空间 (https://kexue.fm), post 10145 (2024-06-14).

    Examples
    --------
    >>> from kexue_num import simplex
    >>> simplex.topk_softmax([1.0, 3.0, 3.0, 2.0], 2)
    array([0. , 0.5, 0.5, 0. ])
    """
    temperature = check_temperature("topk_softmax", temperature)
    nan = check_empty("topk_softmax", empty)
    rows = as_rows("topk_softmax", x, axis, out=out, where=where, workers=workers)
    k = check_integer("topk_softmax", "k", k, minimum=1, maximum=rows.x.shape[1])
    n_empty = _core.simplex.topk_softmax(rows.x, k, rows.out, temperature, nan, rows.workers)
    refuse_empty("topk_softmax", empty, n_empty)
    return rows.result()


def topp_softmax(
    x: object,
    p: float,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    where: object = None,
    empty: Empty = "zero",
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Softmax over the fewest largest entries whose probabilities add up to p (nucleus).

    Parameters
    ----------
    x : array_like of real numbers
        As in `softmax`, as are all parameters not listed here.
    p : float
        Above 0, at most 1.

    Returns
    -------
    ndarray
        Of the shape of `x`. Entries equal to the last one chosen are chosen too.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num import simplex
    >>> simplex.topp_softmax(np.log([0.5, 0.25, 0.15, 0.1]), 0.7).round(12)
    array([0.66666667, 0.33333333, 0.        , 0.        ])
    """
    temperature = check_temperature("topp_softmax", temperature)
    nan = check_empty("topp_softmax", empty)
    p = check_real("topp_softmax", "p", p, above=0, maximum=1)
    rows = as_rows("topp_softmax", x, axis, out=out, where=where, workers=workers)
    n_empty = _core.simplex.topp_softmax(rows.x, p, rows.out, temperature, nan, rows.workers)
    refuse_empty("topp_softmax", empty, n_empty)
    return rows.result()


def taylor_softmax(
    x: object,
    order: int = 2,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    where: object = None,
    empty: Empty = "zero",
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Taylor softmax: p_i = f(x_i) / sum_j f(x_j), f the Taylor polynomial of exp.

    Parameters
    ----------
    x : array_like of real numbers
        As in `softmax`, as are all parameters not listed here.
    order : int, default 2
        Degree of the polynomial; even, so that it is positive.

    Returns
    -------
    ndarray
        Of the shape of `x`.

    Notes
    -----
    Unlike softmax it is not invariant under x + c, and not monotone far below zero: f of order 2
    has its minimum at -1.

    Examples
    --------
    >>> from kexue_num import simplex
    >>> simplex.taylor_softmax([0.0, 2.0])
    array([0.16666667, 0.83333333])
    """
    temperature = check_temperature("taylor_softmax", temperature)
    nan = check_empty("taylor_softmax", empty)
    order = _check_order("taylor_softmax", order)
    rows = as_rows("taylor_softmax", x, axis, out=out, where=where, workers=workers)
    n_empty = _core.simplex.taylor_softmax(rows.x, order, rows.out, temperature, nan, rows.workers)
    refuse_empty("taylor_softmax", empty, n_empty)
    return rows.result()


def taylor_softmax_vjp(
    x: object,
    g: object,
    order: int = 2,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    workers: int | None = None,
) -> Array:
    """Gradient of <g, taylor_softmax(x, order)> with respect to x.

    Parameters
    ----------
    x, order, axis, temperature, workers
        As in `taylor_softmax`.
    g : array_like of the shape of `x`

    Returns
    -------
    ndarray
        Of the shape of `x`.

    Examples
    --------
    >>> from kexue_num import simplex
    >>> simplex.taylor_softmax_vjp([0.0, 0.0], [1.0, 0.0])
    array([ 0.25, -0.25])
    """
    temperature = check_temperature("taylor_softmax_vjp", temperature)
    order = _check_order("taylor_softmax_vjp", order)
    rows = as_rows("taylor_softmax_vjp", x, axis, workers=workers)
    up = rows.like("g", g)
    _core.simplex.taylor_softmax_vjp(rows.x, up, order, rows.out, temperature, rows.workers)
    return rows.result()


def perturbmax(
    x: object,
    noise: Noise = "gumbel",
    *,
    n_nodes: int = 200,
    axis: Axis = -1,
    temperature: float = 1.0,
    where: object = None,
    empty: Empty = "zero",
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Perturb-max: the chance that x_i / temperature plus independent noise is the largest.

    Parameters
    ----------
    x : array_like of real numbers
        As in `softmax`, as are all parameters not listed here.
    noise : {"gumbel", "normal", "uniform", "exponential"}, default "gumbel"
        Standard Gumbel noise gives `softmax`; standard normal; uniform on [0, 1]; exponential with
        mean 1.
    n_nodes : int, default 200
        Nodes of the quadrature; at least 16.

    Returns
    -------
    ndarray
        Of the shape of `x`.

    Notes
    -----
    Cost O(n n_nodes); for uniform noise O(n^2) and more, n being the entries within 1 of the
    largest. Accuracy with 200 nodes: 1e-12 for normal noise; exact up to rounding for exponential
    noise and n <= 400, for uniform noise whatever n.

    References
    ----------
    Jianlin Su, 科学空间 (https://kexue.fm), post 10145 (2024-06-14).

    Examples
    --------
    >>> from kexue_num import simplex
    >>> simplex.perturbmax([0.0, 1.0], "exponential").round(12)
    array([0.18393972, 0.81606028])
    """
    check_choice("perturbmax", "noise", noise, ("gumbel", *_NOISES))
    n_nodes = check_integer("perturbmax", "n_nodes", n_nodes, minimum=16, maximum=100_000)
    if noise == "gumbel":
        return softmax(
            x, axis=axis, temperature=temperature, where=where, empty=empty, out=out,
            workers=workers,
        )  # fmt: skip
    temperature = check_temperature("perturbmax", temperature)
    nan = check_empty("perturbmax", empty)
    rows = as_rows("perturbmax", x, axis, out=out, where=where, workers=workers)
    n_empty = _core.simplex.perturbmax(
        rows.x, _NOISES.index(noise), n_nodes, rows.out, temperature, nan, rows.workers
    )
    refuse_empty("perturbmax", empty, n_empty)
    return rows.result()


def soft_topk(
    x: object,
    k: float,
    *,
    kind: Selection = "sigmoid",
    axis: Axis = -1,
    temperature: float = 1.0,
    where: object = None,
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Smooth selection of the k largest entries: 0 <= p_i <= 1 and sum p = k.

    Parameters
    ----------
    x : array_like of real numbers
        As in `softmax`, as are `axis`, `temperature`, `where`, `out` and `workers`.
    k : int or float
        From 0 to the number of entries; an integer for "gradtopk" and "iterative".
    kind : str, default "sigmoid"
        - "sigmoid", "exp", "laplace", "sparse": p_i = f(x_i - tau) with f = 1/(1 + e^-u),
          min(1, e^u), the distribution function of Laplace, min(1, max(0, u)). With k = 1 "exp" is
          softmax and "sparse" is sparsemax; "laplace" is softmax only while no probability
          exceeds 1/2.
        - "gradtopk": gradient of log e_k(e^x), e_k the elementary symmetric polynomial; the
          chance of i in a random k-subset drawn with weight prod e^(x_i).
        - "iterative": k rounds of p += softmax((1 - p)(x - min x)). Its entries may exceed 1.

    Returns
    -------
    ndarray
        Of the shape of `x`. Masked (-inf) entries are 0; if fewer than k entries are left, each of
        them is 1. A row with NaN is NaN.

    Raises
    ------
    ValueError
        `k` is out of range, or as in `softmax`.
    MemoryError
        The work would need more memory than the machine has.

    Notes
    -----
    As the temperature goes to 0, all but "iterative" tend to the indicator of the k largest.
    "gradtopk" runs a recursion of positive terms, where differences of symmetric polynomials
    lose all digits; it takes O(n k) time and up to 8 n (k + 1) bytes per thread, 16 sqrt(n) (k + 1)
    from 32 MiB on. "iterative" takes O(n k) time, its gradient 16 n sqrt(k) bytes per thread, and
    tau of the others O(n) a step, some ten steps. Rows far from zero lose nothing: the k-th largest
    entry is subtracted first.

    References
    ----------
    Jianlin Su, 科学空间 (https://kexue.fm), post 10373 (2024-09-19). X. Chen, A. Dempster and
    J. Liu, Weighted finite population sampling to maximize entropy, Biometrika 1994.

    Examples
    --------
    >>> from kexue_num import simplex
    >>> simplex.soft_topk([3.0, 2.5, 0.0], 2, kind="sparse")
    array([1., 1., 0.])
    >>> simplex.soft_topk([0.0, 0.0, 0.0, 0.0], 2, kind="gradtopk")
    array([0.5, 0.5, 0.5, 0.5])
    """
    temperature = check_temperature("soft_topk", temperature)
    rows = as_rows("soft_topk", x, axis, out=out, where=where, workers=workers)
    number = _check_selection(rows, k, kind)
    index = _SELECTIONS.index(kind)
    _core.simplex.soft_topk(rows.x, number, index, rows.out, temperature, rows.workers)
    return rows.result()


def soft_topk_vjp(
    p: object,
    x: object,
    g: object,
    k: float,
    kind: Selection = "sigmoid",
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    workers: int | None = None,
) -> Array:
    """Gradient of <g, soft_topk(x, k, kind=kind)> with respect to x.

    Parameters
    ----------
    p : array_like of the shape of `x`
        What `soft_topk` returned.
    x, k, kind, axis, temperature, workers
        As in `soft_topk`.
    g : array_like of the shape of `x`

    Returns
    -------
    ndarray
        Of the shape of `x`; zero where `x` is masked.

    Examples
    --------
    >>> from kexue_num import simplex
    >>> p = simplex.soft_topk([0.0, 0.0], 1)
    >>> simplex.soft_topk_vjp(p, [0.0, 0.0], [1.0, 0.0], 1)
    array([ 0.125, -0.125])
    """
    temperature = check_temperature("soft_topk_vjp", temperature)
    rows = as_rows("soft_topk_vjp", x, axis, workers=workers)
    number = _check_selection(rows, k, kind)
    values, up = rows.like("p", p), rows.like("g", g)
    index = _SELECTIONS.index(kind)
    _core.simplex.soft_topk_vjp(
        values, rows.x, up, number, index, rows.out, temperature, rows.workers
    )
    return rows.result()


def _check_order(function: str, order: object) -> int:
    number = check_integer(function, "order", order, minimum=2, maximum=100)
    if number % 2:
        raise ValueError(message(function, "order", "must be even", number))
    return number


def _check_selection(rows: Rows, k: object, kind: object) -> float:
    check_choice(rows.function, "kind", kind, _SELECTIONS)
    n = rows.x.shape[1]
    if kind not in ("gradtopk", "iterative"):
        return check_real(rows.function, "k", k, minimum=0, maximum=n)
    number = check_integer(rows.function, "k", k, minimum=0, maximum=n)
    gradient = rows.function == "soft_topk_vjp"
    if kind == "iterative":
        size = n * (2 * math.sqrt(number) + 6 if gradient else 6)
    else:
        size = min(n, max(2 * math.sqrt(n), 2**22 / (number + 1))) * (number + 1)
        size *= 2 if gradient else 1
    threads = min(len(rows.x), rows.workers or _core.get_workers())
    check_memory(rows.function, "k", number, 8 * size * threads)
    return number
