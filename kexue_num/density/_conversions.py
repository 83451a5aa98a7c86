"""Densities made without samples: from coefficients, from a function, from bytes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from kexue_num._errors import ConvergenceWarning
from kexue_num._validation import as_array, check_choice, check_integer, message
from kexue_num.density import _bytes, _canonical, _gradient
from kexue_num.density._distribution import Distribution
from kexue_num.density._fit import Measure, Optimum, Settings, fit_order
from kexue_num.density._frames import BASES, Frame, bounded_frame, check_support, open_frame

Array = NDArray[Any]

LARGEST_ORDER = 1024
# A function given everywhere is taken at so many nodes, or 128 to a degree.
_NODES = 8192


class Conversions(Distribution):
    """What a density is made from and turned into, apart from samples."""

    loglik_: float
    tol: float

    if TYPE_CHECKING:

        def __init__(self, order: str | int = "aic", **options: Any) -> None: ...
        def _check(self, function: str) -> tuple[Settings, Any, str]: ...

    def _set(self, frame: Frame, best: Optimum) -> None:
        self._frame = frame
        self._b = np.asarray(best.b, np.complex128) / np.linalg.norm(best.b)
        self._cached = None
        self._coef: Array | None = None
        self.order_ = len(self._b) - 1
        self.base_ = frame.base
        self.scale_ = frame.scale
        self.loc_ = frame.loc + math.pi if frame.support == "circle" else frame.loc
        self.gap_ = best.gap
        self.n_iter_ = best.n_iter
        self.converged_ = best.converged

    def _warn_of_gap(self, function: str) -> None:
        if not self.converged_:
            warnings.warn(
                f"{function}: gap_ is {self.gap_:.3g} nats, more than tol={self.tol:g}; "
                f"lower the order or raise tol",
                ConvergenceWarning,
                stacklevel=4,
            )

    @property
    def coef_(self) -> Array:
        """Canonical coefficients in the paper's convention, computed when first asked for."""
        self._require_fitted()
        if self._coef is None:
            self._coef = _canonical.from_core(_canonical.canonical(self._b), "paper")
        return self._coef

    def parameter_gradient(self, x: object) -> Array:
        """Derivative of log q(x) with respect to conj(coef_), shape x.shape + (order_ + 1,).

        A change d of the coefficients, followed by normalisation, changes log q by
        2 Re(sum_k conj(d_k) gradient_k) to first order. NaN where the density is 0.
        """
        return _gradient.parameter_gradient(self._model, self.coef_, x)

    # Other ways to make one

    @classmethod
    def from_coefficients(
        cls,
        a: object,
        *,
        support: str | tuple[float, float] = "circle",
        base: str = "logistic",
        loc: float | None = None,
        scale: float | None = None,
        convention: str = "paper",
    ) -> Self:
        """A density from its coefficients a_0..a_N, normalised here.

        "paper": p(x) proportional to abs(sum_k conj(a_k) e^{i pi k x})^2; "codex", the code
        published with it: the same without the conjugation, which mirrors x.
        """
        name = "from_coefficients"
        choice = check_choice(name, "convention", convention, ("paper", "codex"))
        array = as_array(name, "a", a, ndim=1, dtypes="inexact", check_finite=True)
        if array.size == 0 or not array.any():
            raise ValueError(message(name, "a", "must have a nonzero entry", array))
        kind = check_support(name, support)
        if kind in ("real", "positive"):
            check_choice(name, "base", base, BASES[:-1])
            frame = open_frame(name, kind, base, loc, 1.0 if scale is None else scale)
        else:
            frame = bounded_frame(name, kind, loc, scale)
        out = cls(array.size - 1, support=support, base=base, loc=loc, scale=scale)
        b = _canonical.from_core(array.astype(np.complex128), choice)
        out._set(frame, Optimum(b / np.abs(b).max(), math.nan, 0.0, 0, True))
        return out

    @classmethod
    def from_pdf(
        cls,
        f: Callable[[Array], Array],
        order: int,
        *,
        support: str | tuple[float, float] = "circle",
        base: str = "logistic",
        loc: float | None = None,
        scale: float | None = None,
        smoothness: float = 0.0,
        tol: float = 1e-10,
    ) -> Self:
        """The density of an order nearest to f >= 0 in Kullback-Leibler divergence, certified.

        f is called once with an array of the nodes, at least 8192 equispaced ones in x; it need not
        be normalised. `loglik_` is the mean of log q under f.
        """
        name = "from_pdf"
        if not callable(f):
            raise TypeError(message(name, "f", "must be callable", f))
        out = cls(order, support=support, base=base, loc=loc, scale=scale, smoothness=smoothness,
                  tol=tol)  # fmt: skip
        settings, kind, _ = out._check(name)
        check_integer(name, "order", order, minimum=0, maximum=LARGEST_ORDER)
        if kind in ("real", "positive"):
            check_choice(name, "base", base, BASES[:-1])
            frame = open_frame(name, kind, base, loc, 1.0 if scale is None else scale)
        else:
            frame = bounded_frame(name, kind, loc, scale)
        nodes = max(_NODES, 128 * (order + 1))
        t = 2 * np.arange(nodes) / nodes
        t[t >= 1] -= 2
        flat = cls._from_frame(frame)._model
        y = flat.locate(t)
        _, slope = flat.positions(y)
        live = (slope > 0) & np.isfinite(y)
        values = np.zeros(nodes)
        returned = f(y[live])
        try:
            values[live] = np.asarray(returned, np.float64) / slope[live]
        except (TypeError, ValueError, OverflowError) as error:
            expected = f"must return real numbers of shape {y[live].shape}"
            raise TypeError(message(name, "f", expected, returned)) from error
        if not np.isfinite(values).all() or values.min() < 0 or not values.any():
            raise ValueError(message(name, "f", "must return finite values >= 0, not all 0", f))
        weights = values / values.sum()
        used = weights > 0
        found = fit_order(Measure(t[used], weights[used], np.empty(0)), order, settings)
        out._set(frame, found)
        out._warn_of_gap(name)
        with np.errstate(divide="ignore"):
            out.loglik_ = found.mean_log + float(
                weights[live] @ np.log(slope[live])
            )  # fmt: skip
        return out

    @classmethod
    def _from_frame(cls, frame: Frame) -> Self:
        out = cls(0)
        out._set(frame, Optimum(np.ones(1), 0.0, 0.0, 0, True))
        return out

    def to_bytes(self) -> bytes:
        """The density without its samples, in a portable form; every later version reads it."""
        self._require_fitted()
        facts: Mapping[str, Any] = {
            "gap": self.gap_,
            "loglik": getattr(self, "loglik_", math.nan),
            "n_iter": self.n_iter_,
            "converged": self.converged_,
        }
        return _bytes.pack(self._frame, self._b, facts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The density that `to_bytes` wrote, bit for bit; it has no samples to add to."""
        frame, b, facts = _bytes.unpack(data)
        bounded = frame.is_bounded
        out = cls(
            len(b) - 1,
            support=frame.support,
            base="auto" if bounded else frame.base,
            loc=None if bounded else frame.loc,
            scale=None if bounded else frame.scale,
        )
        out._set(frame, Optimum(b, math.nan, facts["gap"], facts["n_iter"], facts["converged"]))
        out._b = b
        out.loglik_ = facts["loglik"]
        return out
