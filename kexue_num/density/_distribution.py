"""The frozen-distribution face of a density, in the vocabulary of `scipy.stats`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._errors import NumericalError
from kexue_num._validation import (
    Phrase,
    as_array,
    as_generator,
    check_fraction,
    check_integer,
    check_memory,
    check_workers,
    draw_key,
    message,
    result_dtype,
    round_result,
)
from kexue_num.density import _functionals
from kexue_num.density._frames import Frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]


class Distribution:
    """Evaluation of q(y) = p(x) dx/dy given `_frame` and the core's coefficients `_b`."""

    _frame: Frame
    _b: Array
    rng: object
    workers: object
    _cached: _core.density.Model | None = None

    @property
    def _model(self) -> _core.density.Model:
        if self._cached is None:
            self._require_fitted()
            self._cached = _core.density.model(self._frame.chart(), self._b)
        return self._cached

    def _require_fitted(self) -> None:
        if not hasattr(self, "_b"):
            name = type(self).__name__
            raise AttributeError(f"{name}: not fitted yet; call fit, partial_fit or from_pdf first")

    def _map(self, name: str, argument: str, x: object, f: Callable[[Array, int], Array]) -> Any:
        """f(flat float64 array, workers) over an array of any shape, in the dtype of x."""
        model_workers = check_workers(name, self.workers)
        array = as_array(name, argument, x)
        flat = np.ascontiguousarray(array, np.float64).reshape(-1)
        result = f(flat, model_workers).reshape(array.shape)
        return round_result(result, result_dtype(x))[()]

    # Densities and masses

    def pdf(self, x: object) -> Any:
        """Density at x, any shape: a sum of two squares, never negative; 0 outside the support.

        NaN stays NaN. On the circle the density has period 2 pi, and an infinite angle, which is no
        point of it, gives NaN. About 10 ns a point at order 32.
        """
        return self._map("pdf", "x", x, lambda y, w: self._model.pdf(y, False, w))

    def logpdf(self, x: object) -> Any:
        """Natural logarithm of `pdf`; finite as far out as the base reaches."""
        return self._map("logpdf", "x", x, lambda y, w: self._model.pdf(y, True, w))

    def cdf(self, x: object) -> Any:
        """Mass below x, a sum of positive terms: small masses keep their digits.

        On the circle it counts from loc - pi, and angles are taken modulo 2 pi; infinite ones, no
        points of it, give NaN.
        """
        return self._map("cdf", "x", x, lambda y, w: self._model.mass(y, False, False, w))

    def sf(self, x: object) -> Any:
        """Mass above x, with all its digits in the upper tail."""
        return self._map("sf", "x", x, lambda y, w: self._model.mass(y, True, False, w))

    def logcdf(self, x: object) -> Any:
        """Logarithm of `cdf`, also where it underflows."""
        return self._map("logcdf", "x", x, lambda y, w: self._model.mass(y, False, True, w))

    def logsf(self, x: object) -> Any:
        """Logarithm of `sf`, also where it underflows."""
        return self._map("logsf", "x", x, lambda y, w: self._model.mass(y, True, True, w))

    def ppf(self, q: object) -> Any:
        """The x with mass q below it; NaN for q outside [0, 1].

        cdf(ppf(q)) is q to a few roundings, also for q = 1e-300.
        """
        return self._map("ppf", "q", q, lambda v, w: self._quantile(v, False, w))

    def isf(self, q: object) -> Any:
        """The x with mass q above it; NaN for q outside [0, 1]."""
        return self._map("isf", "q", q, lambda v, w: self._quantile(v, True, w))

    def _quantile(self, q: Array, upper: bool, workers: int) -> Array:
        result: Array = self._model.quantile(q, upper, workers)
        low, high = self.support_
        result[q == 0] = high if upper else low
        result[q == 1] = low if upper else high
        return result

    def rvs(self, size: int | tuple[int, ...] | None = None, rng: object = None) -> Any:
        """Independent samples, about 10 ns each.

        Parameters
        ----------
        size : int, tuple of int or None
            Shape; None gives one float.
        rng : None, int or Generator
            None uses the estimator's own `rng`.
        """
        generator = as_generator("rvs", self.rng if rng is None else rng)
        workers = check_workers("rvs", self.workers)
        shape = () if size is None else size if isinstance(size, tuple) else (size,)
        shape = tuple(check_integer("rvs", "size", n, minimum=0) for n in shape)
        check_memory("rvs", "size", size, 8.0 * math.prod(shape))
        samples = self._model.sample(draw_key(generator), math.prod(shape), workers)
        return samples.reshape(shape)[()]

    def bin_prob(self, lo: object, hi: object) -> Any:
        """Mass between lo and hi by quadrature of positive terms: right to about 1e-14 of itself.

        Parameters
        ----------
        lo, hi : array_like, lo <= hi
            Ends of the bins, broadcast against each other. On the circle an arc of at most 2 pi,
            wherever it starts.
        """
        workers = check_workers("bin_prob", self.workers)
        low, high = as_array("bin_prob", "lo", lo), as_array("bin_prob", "hi", hi)
        try:
            low, high = np.broadcast_arrays(low, high)
        except ValueError as error:
            expected = f"must have a shape that goes with {low.shape}, that of 'lo'"
            shape = Phrase(f"shape {high.shape}")
            raise ValueError(message("bin_prob", "hi", expected, shape)) from error
        dtype = np.result_type(result_dtype(lo), result_dtype(hi))
        if (low > high).any():
            first = np.flatnonzero((low > high).reshape(-1))[0]
            got = float(low.reshape(-1)[first])
            raise ValueError(message("bin_prob", "lo", "must be <= 'hi'", got))
        a = np.ascontiguousarray(low, np.float64).reshape(-1)
        b = np.ascontiguousarray(high, np.float64).reshape(-1)
        if self._frame.support == "circle":
            result = self._arcs(a, b, workers)
        else:
            result = self._model.bins(a, b, workers)
        return round_result(result.reshape(low.shape), dtype)[()]

    def _arcs(self, a: Array, b: Array, workers: int) -> Array:
        length = b - a
        if (length > 2 * math.pi * (1 + 1e-15)).any():
            worst = float(np.nanmax(length))
            expected = "must be at most 2 pi above 'lo' on the circle"
            raise ValueError(message("bin_prob", "hi", expected, worst))
        start, end = self.support_
        first = start + np.mod(a - start, 2 * math.pi)
        last = first + length
        over = last > end
        inside = self._model.bins(first, np.where(over, end, last), workers)
        rest = np.where(over, last - 2 * math.pi, start)
        result: Array = inside + self._model.bins(np.full_like(rest, start), rest, workers)
        return np.minimum(result, 1.0)

    @property
    def support_(self) -> tuple[float, float]:
        """The ends of the support; one period on the circle."""
        self._require_fitted()
        return self._frame.ends

    # Functionals

    def expect(self, f: Callable[[Array], Array] | None = None) -> float:
        """Expectation of f, called once with an array of nodes; None means the mean.

        Gauss-Legendre panels on the period, halved towards open ends down to masses of 1e-300:
        smooth f of moderate growth come out to about 1e-13.
        """
        if f is None:
            return self.mean()
        return _functionals.expectation(self._model, self._frame, f)

    def moment(self, k: int) -> float:
        """Expectation of x^k; inf or NaN where the tails are too heavy."""
        order = check_integer("moment", "k", k, minimum=0)
        with np.errstate(over="ignore", invalid="ignore"):
            value = _functionals.moment(self._model, self._frame, order)
        if math.isnan(value) and self._frame.has_moment(order):
            raise NumericalError(f"moment: powers of order 'k' = {order} overflow")
        return value

    def mean(self) -> float:
        """Expectation of x."""
        return self.moment(1)

    def var(self) -> float:
        """Variance."""
        if not self._frame.has_moment(2):
            self._require_fitted()
            return math.inf
        mean = self.mean()
        return self.expect(lambda x: (x - mean) ** 2)

    def std(self) -> float:
        """Standard deviation."""
        return math.sqrt(self.var())

    def entropy(self) -> float:
        """Differential entropy, in nats."""
        return -self.expect(self.logpdf)

    def kl(self, other: Any) -> float:
        """Kullback-Leibler divergence to `other`, anything with a `logpdf`, in nats."""
        return max(self.expect(lambda x: self.logpdf(x) - other.logpdf(x)), 0.0)

    def trig_moment(self, n: int) -> complex:
        """Expectation of e^{i n x} on the circle, in closed form."""
        order = check_integer("trig_moment", "n", n)
        if self._frame.support != "circle":
            expected = "must belong to a density with support='circle'"
            raise ValueError(message("trig_moment", "n", expected, self._frame.support))
        return _functionals.trig_moment(self._b, self._frame.loc, order)

    def modes(self) -> Array:
        """Local maxima of the density in the support, ascending."""
        return _functionals.modes(self._model, self._frame)

    def interval(self, level: float) -> Array:
        """The smallest region of mass `level`, (k, 2): disjoint intervals, ascending."""
        share = check_fraction("interval", "level", level)
        return _functionals.highest_density(self._model, self._frame, share)

    def pdf_derivative(self, x: object, k: int = 1) -> Any:
        """The k-th derivative of the density at x, k = 0..8; 0 outside the support."""
        order = check_integer("pdf_derivative", "k", k, minimum=0, maximum=8)
        return self._map(
            "pdf_derivative",
            "x",
            x,
            lambda y, _: self._series(y, order)[order] * math.factorial(order),
        )

    def score(self, x: object) -> Any:
        """Derivative of log q at x, the score of diffusion models; NaN where the density is 0."""

        def ratio(y: Array, _: int) -> Array:
            value, slope = self._series(y, 1)
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.where(value > 0, slope / value, np.nan)

        return self._map("score", "x", x, ratio)

    def _series(self, y: Array, order: int) -> list[Array]:
        from kexue_num.density import _derivatives

        return _derivatives.density_series(self._model, self._frame, self._b, y, order)

    def to_scipy(self) -> Any:
        """The density as a distribution of `scipy.stats`, made by `make_distribution`.

        Its methods (``cdf``, ``icdf``, ``sample``, ``moment``, shifts and scales, truncation) call
        this density. Needs SciPy 1.16 or later.

        Examples
        --------
        >>> from kexue_num.density import FourierDensity
        >>> d = FourierDensity.from_coefficients([1.0], support="real", base="normal")
        >>> x = d.to_scipy()
        >>> float((2 * x + 1).mean().round(12))
        1.0
        """
        from kexue_num.density import _scipy

        self._require_fitted()
        return _scipy.frozen(self)

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the density between its quantiles 0.001 and 0.999; options go to ``Axes.plot``."""
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.gca()
        low, high = self.ppf(np.array([1e-3, 1 - 1e-3]))
        if self._frame.is_bounded:
            low, high = self.support_
        x = np.linspace(low, high, 1001)
        ax.plot(x, self.pdf(x), **options)
        ax.set_xlabel("x")
        ax.set_ylabel("density")
        return ax
