"""Maps of rows onto the probability simplex: one root per row, found in the core."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from kexue_num import _core
from kexue_num._validation import (
    Phrase,
    check_choice,
    check_out,
    check_real,
    message,
    round_result,
)
from kexue_num.simplex._rows import Array, Axis, Rows, as_rows

Empty = Literal["zero", "nan", "raise"]


def check_temperature(function: str, temperature: object) -> float:
    number = check_real(function, "temperature", temperature, above=0)
    if math.isinf(1 / number):
        raise ValueError(message(function, "temperature", "must have a finite inverse", number))
    return number


def check_empty(function: str, empty: object) -> bool:
    """Whether rows without any entry become NaN."""
    return check_choice(function, "empty", empty, ("zero", "nan", "raise")) == "nan"


def refuse_empty(function: str, empty: str, n_empty: int) -> None:
    if empty == "raise" and n_empty:
        rows = "1 row" if n_empty == 1 else f"{n_empty} rows"
        got = Phrase(f"{rows} of -inf or masked entries only")
        raise ValueError(message(function, "x", "must have an entry in every row", got))


def check_alpha(rows: Rows, alpha: object, *, above: float = 0) -> Array:
    """One alpha, or one per row, as the core takes it; infinity is allowed, NaN is not."""
    if isinstance(alpha, float) and alpha > above:
        return np.array([alpha])
    values = rows.per_row("alpha", alpha)
    bad = ~(values > above)
    if bad.any():
        got = values[np.argmax(bad)]
        raise ValueError(message(rows.function, "alpha", f"must be > {above:g}", got))
    if np.ndim(alpha) == 0:  # type: ignore[arg-type]
        return values[:1] if values.size else np.ones(1)
    return values


def softmax(
    x: object,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    where: object = None,
    empty: Empty = "zero",
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Softmax: p_i = exp(x_i / temperature) / sum_j exp(x_j / temperature).

    Parameters
    ----------
    x : array_like of real numbers
        Any shape and strides. -inf masks an entry: its probability is exactly zero.
    axis : int, tuple of int or None, default -1
        The axes along which the entries of one distribution lie; None for all.
    temperature : float, default 1
        Above zero.
    where : array_like of bool, optional
        Broadcast to the shape of `x`; False masks an entry as -inf does.
    empty : {"zero", "nan", "raise"}, default "zero"
        What a row without unmasked entries gives: zeros, NaN or a ValueError.
    out : ndarray, optional
        Written and returned: of the shape of `x` and the dtype of the result. `x` itself may be
        given, any other overlap is refused.
    workers : int, optional
        Threads; default the library's setting. Results do not depend on it.

    Returns
    -------
    ndarray
        Of the shape of `x`; float32 and float64 are kept, float16 is computed in float32 and
        rounded once, integers become float64.

    Raises
    ------
    ValueError
        `x` is empty along `axis`, `temperature` is not above zero, `out` has another shape or
        overlaps `x`, a row is empty under ``empty="raise"``.
    TypeError
        `x` is not real or on another device, `where` is not boolean, `out` has another dtype.

    Notes
    -----
    A row with NaN is NaN, other rows are not touched by it. +inf entries share the mass.

    Entries are accurate to 4 units in the last place for abs(x) <= 2000 and ``temperature=1``,
    and sum to 1 within 4 eps whatever the length. Cost: a row that fits the cache is read and
    written once in memory; a longer one is read twice. Memory: one row per thread.

    References
    ----------
    Jianlin Su, 科学空间 (https://kexue.fm), post 10145 (2024-06-14) on smooth maps to the
    probability simplex. M. Dukhan and A. Ablavatski, The two-pass softmax algorithm, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num import simplex
    >>> simplex.softmax([0, np.log(3), -np.inf])
    array([0.25, 0.75, 0.  ])
    """
    temperature = check_temperature("softmax", temperature)
    nan = check_empty("softmax", empty)
    rows = as_rows("softmax", x, axis, out=out, where=where, workers=workers)
    n_empty = _core.simplex.softmax(rows.x, rows.out, temperature, nan, None, rows.workers)
    refuse_empty("softmax", empty, n_empty)
    return rows.result()


def log_softmax(
    x: object,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    where: object = None,
    empty: Empty = "zero",
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Logarithm of `softmax`, accurate where probabilities underflow.

    Parameters, errors and special values are those of `softmax`. Masked entries are -inf, and so
    are all entries of an empty row under ``empty="zero"``.

    Returns
    -------
    ndarray
        x / temperature - logsumexp(x / temperature), of the shape of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num import simplex
    >>> simplex.log_softmax([1000.0, 990.0]).round(6)
    array([-4.5000000e-05, -1.0000045e+01])
    """
    temperature = check_temperature("log_softmax", temperature)
    nan = check_empty("log_softmax", empty)
    rows = as_rows("log_softmax", x, axis, out=out, where=where, workers=workers)
    n_empty = _core.simplex.log_softmax(rows.x, rows.out, temperature, nan, rows.workers)
    refuse_empty("log_softmax", empty, n_empty)
    return rows.result()


def logsumexp(
    x: object,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    where: object = None,
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Smooth maximum: log(sum_i exp(x_i / temperature)).

    Parameters are those of `softmax`; `out` has the shape of `x` without `axis`.

    Returns
    -------
    ndarray
        The shape of `x` without `axis`; -inf for rows without unmasked entries, +inf for rows with
        a +inf entry.

    Examples
    --------
    >>> from kexue_num import simplex
    >>> simplex.logsumexp([[0.0, 0.0], [-1e4, -1e4]])
    array([ 6.93147181e-01, -9.99930685e+03])
    """
    temperature = check_temperature("logsumexp", temperature)
    rows = as_rows("logsumexp", x, axis, where=where, workers=workers, fill=False)
    target = None if out is None else check_out("logsumexp", out, rows.batch, rows.dtype)
    level = np.empty(len(rows.x))
    _core.simplex.logsumexp(rows.x, level, temperature, rows.workers)
    result = round_result(level.reshape(rows.batch), rows.dtype)
    if target is None:
        return result
    target[...] = result
    return target


def sparsemax(
    x: object,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    where: object = None,
    empty: Empty = "zero",
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Sparsemax: the nearest point of the simplex, p_i = max(x_i / temperature - tau, 0).

    Parameters, errors and special values are those of `softmax`.

    Returns
    -------
    ndarray
        Of the shape of `x`; exact zeros outside the support.

    Notes
    -----
    The support is that of exact arithmetic, and p is right to one unit in the last place, but for
    entries that exceed tau by less than its last place: tau is kept in twice the precision of `x`,
    and where that tells another support than rounded sums did, it is solved again.
    Expected cost O(n): one sweep keeps the entries within `temperature` of the maximum, Michelot's
    iteration runs on those, one sweep writes.

    References
    ----------
    A. Martins and R. Astudillo, From softmax to sparsemax, ICML 2016. C. Michelot, A finite
    algorithm for finding the projection of a point onto the canonical simplex of R^n, 1986.
    Jianlin Su, 科学空间 (https://kexue.fm), post 10145 (2024-06-14).

    Examples
    --------
    >>> from kexue_num import simplex
    >>> simplex.sparsemax([0.5, 1.0, -3.0])
    array([0.25, 0.75, 0.  ])
    """
    return _entmax("sparsemax", x, 2.0, axis, temperature, where, empty, out, workers)


def entmax15(
    x: object,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    where: object = None,
    empty: Empty = "zero",
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Entmax with alpha 1.5: p_i = max(x_i / 2 - tau, 0)^2; between softmax and sparsemax.

    Parameters, errors and special values are those of `softmax`; see `entmax`.

    Examples
    --------
    >>> from kexue_num import simplex
    >>> simplex.entmax15([2.0, 0.0])
    array([1., 0.])
    """
    return _entmax("entmax15", x, 1.5, axis, temperature, where, empty, out, workers)


def entmax(
    x: object,
    alpha: object = 1.5,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    where: object = None,
    empty: Empty = "zero",
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Entmax: p_i = max((alpha-1) x_i / temperature - tau, 0)^(1/(alpha-1)).

    Parameters
    ----------
    x : array_like of real numbers
        As in `softmax`, as are all parameters not listed here.
    alpha : float or array_like, default 1.5
        Above zero: a number, or an array of the shape of `x` without `axis`. 1 is softmax, 2 is
        sparsemax, infinity is uniform over the largest entries; below 1 the tails are heavier
        than those of softmax and nothing is zero.

    Returns
    -------
    ndarray
        Of the shape of `x`; for alpha > 1 with exact zeros outside the support.

    Notes
    -----
    With S(t) = sum_i u_i^P, u_i = 1 + (alpha-1)(x_i - max x) - t and P = 1/(alpha-1), tau follows
    from S(t) = 1. Newton's iteration on the P-norm of u rises monotonically to the root for
    alpha <= 2; beyond, the root is bracketed and found in twice double precision. u^P is computed
    as exp(P log1p(u - 1)), which stays well conditioned as alpha comes near 1: at most 4 eps of
    absolute error for 1.0001 <= alpha <= 8, and likewise up to alpha = 1 itself.

    References
    ----------
    B. Peters, V. Niculae and A. Martins, Sparse sequence-to-sequence models, ACL 2019.
    Jianlin Su, 科学空间 (https://kexue.fm), post 10145 (2024-06-14).

    Examples
    --------
    >>> from kexue_num import simplex
    >>> simplex.entmax([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]], alpha=[1.5, 4.0])
    array([[0.48123765, 0.48123765, 0.0375247 ],
           [0.5       , 0.5       , 0.        ]])
    """
    return _entmax("entmax", x, alpha, axis, temperature, where, empty, out, workers)


def normmax(
    x: object,
    alpha: float = 2.0,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    where: object = None,
    empty: Empty = "zero",
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Normmax: the p of the simplex with the largest <p, x/temperature> - norm_alpha(p).

    Parameters
    ----------
    x : array_like of real numbers
        As in `softmax`, as are all parameters not listed here.
    alpha : float, default 2
        Order of the norm, above 1; infinity gives uniform weights on a support.

    Returns
    -------
    ndarray
        p_i proportional to max(x_i - tau, 0)^(1/(alpha-1)), where the norm of order
        alpha/(alpha-1) of max(x - tau, 0) is one.

    References
    ----------
    M. Blondel, A. Martins and V. Niculae, Learning with Fenchel-Young losses, JMLR 2020.

    Examples
    --------
    >>> from kexue_num import simplex
    >>> simplex.normmax([1.0, 1.0, -1.0])
    array([0.5, 0.5, 0. ])
    """
    alpha = float(check_norm_order(alpha))
    temperature = check_temperature("normmax", temperature)
    nan = check_empty("normmax", empty)
    rows = as_rows("normmax", x, axis, out=out, where=where, workers=workers)
    n_empty = _core.simplex.normmax(rows.x, alpha, rows.out, temperature, nan, rows.workers)
    refuse_empty("normmax", empty, n_empty)
    return rows.result()


def check_norm_order(alpha: object) -> float:
    if isinstance(alpha, float) and math.isinf(alpha) and alpha > 0:
        return alpha
    return check_real("normmax", "alpha", alpha, above=1)


def _entmax(
    function: str,
    x: object,
    alpha: object,
    axis: Axis,
    temperature: object,
    where: object,
    empty: Empty,
    out: Array | None,
    workers: int | None,
) -> Array:
    temperature = check_temperature(function, temperature)
    nan = check_empty(function, empty)
    rows = as_rows(function, x, axis, out=out, where=where, workers=workers)
    each = check_alpha(rows, alpha)
    n_empty = _core.simplex.entmax(rows.x, each, rows.out, temperature, nan, None, rows.workers)
    refuse_empty(function, empty, n_empty)
    return rows.result()
