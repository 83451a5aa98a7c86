"""`FourierDensity`: the estimator."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kexue_num._validation import (
    Phrase,
    as_array,
    as_generator,
    check_choice,
    check_integer,
    check_positive,
    check_real,
    check_workers,
    describe,
    message,
)
from kexue_num.density import _warp
from kexue_num.density._conversions import LARGEST_ORDER, Conversions
from kexue_num.density._fit import (
    FOLDS,
    Path,
    Samples,
    Settings,
    fit_order,
    held_out,
    path_columns,
    path_orders,
    run_paths,
)
from kexue_num.density._frames import (
    BASES,
    Frame,
    Support,
    bounded_frame,
    candidate_frames,
    check_samples,
    check_support,
)

Array = NDArray[Any]

_CRITERIA = ("aic", "bic", "cv")
# A kernel estimate carries the fine structure: the factor on top of it stays smooth.
_WARP_ORDER = 45
# From this order on "auto" asks whether a warp tells more: the other bases hardly resolve the data.
_STRAINED = 45


class FourierDensity(Conversions):
    """Density of one variable as the square of a Fourier sum, at its certified optimum.

    q(y) = abs(sum_k conj(a_k) e^{i pi k x})^2 / 2 * dx/dy with norm(a) = 1 and x = 2 F(z) - 1,
    z = (y - loc) / scale, for the distribution function F of a base. Every non-negative
    trigonometric polynomial of degree N is of this form, and order 0 is the base itself.

    Parameters
    ----------
    order : {"aic", "bic", "cv"} or int
        The degree N, or how it is chosen: by an information criterion with 2 N parameters or by
        five-fold cross-validation over interleaved samples (random folds if `rng` is given).
    max_order : int
        The largest degree tried, at most 1024.
    support : {"real", "circle", "positive"} or (a, b)
        The circle is in radians with period 2 pi; an interval is one period; a half line is the
        real line of the logarithm.
    base : {"auto", "logistic", "normal", "t3", "cauchy", "warp"}
        F on the real line, or of log y on the half line. "logistic" is x = tanh z, the published
        map; "t3" and "cauchy" have heavy tails; "warp" is a kernel estimate, whose bandwidth is
        chosen with the order by five-fold cross-validation whatever the criterion (later batches:
        the order by AIC); "auto" chooses among the other four with the order, and where that is
        above 44, takes a warp if it tells more of folds left out, unless samples repeat, as rounded
        ones do. Bounded supports need none.
    loc, scale : float or None
        Centre and scale of the base, of log y on the half line; None chooses them from quantiles,
        or from mean and standard deviation for a normal base. On the circle `loc` is the middle of
        the period that `cdf` and `rvs` use.
    smoothness : float
        Weight of the integral of p'(x)^2 subtracted from the mean log-likelihood.
    tol : float
        Largest `gap_` that counts as converged, nats per sample.
    rng : None, int or Generator
        For `rvs` and the folds of cross-validation.
    workers : int or None
        Threads; results do not depend on it.

    Attributes
    ----------
    coef_ : (`order_` + 1,) complex ndarray
        a in canonical form: zeros outside the unit circle, a_0 > 0, norm 1.
    order_, loc_, scale_, base_ : the degree and the base; `base_` is "uniform" on bounded supports.
    loglik_ : float
        Log-likelihood of the samples in total, sum of weight * log q, nats.
    gap_ : float
        No density of this order in this base has a larger mean log-likelihood (less the penalty)
        than this one plus `gap_`, nats per sample of the compressed samples.
    n_iter_, converged_ : Newton steps, and whether `gap_` <= tol.
    path_ : dict of ndarray
        Columns order, loglik, aic, bic, cv of the orders tried (in the chosen base).

    Raises
    ------
    ValueError
        From `fit`: no or one sample, NaN or infinity, constant samples on an open support, samples
        outside the support, weights that are negative, all zero or of another length.

    Notes
    -----
    Samples are compressed in one pass (O(n), 4 moments in each of 32 or more cells per degree);
    Newton's method with the exact Hankel Hessian then takes 8 to 25 steps of O(N^3 + G log N), and
    a Cholesky factor of a Toeplitz matrix proves global optimality. A weight of 2 is a repeated
    sample, of 0 none. Memory beyond the samples: at most 20 MB at max_order 64; cross-validation
    adds 8 bytes for each, and weights and what is not contiguous float64 are copied.

    References
    ----------
    Jianlin Su, 科学空间, post 10007, 2024-03-07. De la Fuente, Singh, Balle, arXiv:2402.15345
    (2024). Fernandez-Duran, Biometrics 60 (2004): the same sums on the circle.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.density import FourierDensity
    >>> x = np.random.default_rng(0).normal(3.0, 2.0, 10_000)
    >>> d = FourierDensity(order=4, base="logistic").fit(x)
    >>> d.gap_ < 1e-12
    True
    >>> bool(abs(d.cdf(3.0) - 0.5) < 0.02)
    True
    >>> float(d.pdf(3.0).round(2))
    0.2
    """

    def __init__(
        self,
        order: str | int = "aic",
        *,
        max_order: int = 64,
        support: str | tuple[float, float] = "real",
        base: str = "auto",
        loc: float | None = None,
        scale: float | None = None,
        smoothness: float = 0.0,
        tol: float = 1e-10,
        rng: int | np.random.Generator | None = None,
        workers: int | None = None,
    ) -> None:
        self.order = order
        self.max_order = max_order
        self.support = support
        self.base = base
        self.loc = loc
        self.scale = scale
        self.smoothness = smoothness
        self.tol = tol
        self.rng = rng
        self.workers = workers

    # Conventions

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """The constructor's arguments, as scikit-learn's `clone` asks for them."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor; takes effect at the next fit."""
        for name, value in params.items():
            if name not in _PARAMETERS:
                expected = f"must be one of {', '.join(_PARAMETERS)}"
                raise ValueError(message("set_params", name, expected, value))
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        if not hasattr(self, "_b"):
            return f"FourierDensity(order={self.order!r}, support={self.support!r})"
        return (
            f"FourierDensity(order={self.order_}, support={self._frame.support!r}, "
            f"base={self.base_!r}, loc={self.loc_:.6g}, scale={self.scale_:.6g}, "
            f"gap={self.gap_:.1e})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_cached"}

    # Fitting

    def fit(self, x: object, sample_weight: object = None) -> Self:
        """Fit to samples x, (n,), with optional weights (n,); returns self."""
        settings, support, base = self._check("fit")
        samples, weights = _samples("fit", support, x, sample_weight)
        if base == "warp" and support in ("real", "positive"):
            labels = self._labels("fit", samples.size, FOLDS)
            path = self._warp_path(settings, support, samples, weights, labels)
            self._accept(path, settings)
            return self
        frames, largest = self._frames("fit", support, base, samples, weights)
        folds = FOLDS if self.order == "cv" else 1
        labels = self._labels("fit", samples.size, folds)

        def laid_out() -> Iterator[Samples]:
            for frame in frames:
                part = Samples(frame, largest, folds)
                part.add(samples, weights, labels, settings.workers)
                yield part

        path = self._best(laid_out(), settings)
        open_ended = base == "auto" and support in ("real", "positive")
        strained = isinstance(self.order, str) and path.best.order >= _STRAINED
        if open_ended and strained and not _warp.repeat(samples):
            path = self._or_warp(path, settings, support, samples, weights)
        self._accept(path, settings)
        return self

    def _or_warp(
        self, path: Path, settings: Settings, support: Support, x: Array, w: Array | None
    ) -> Path:
        """The path, or that of a warp if it tells more of folds left out."""
        labels = self._labels("fit", x.size, FOLDS)
        warped = self._warp_path(settings, support, x, w, labels)
        samples = Samples(path.samples.frame, path.best.order, FOLDS)
        samples.add(x, w, labels, settings.workers)
        return warped if warped.criterion > held_out(samples, path.best.order, settings) else path

    def _warp_path(
        self, settings: Settings, support: Support, x: Array, w: Array | None, labels: Array | None
    ) -> Path:
        """Bandwidth and order together, by the likelihood of folds left out."""
        name, given = "fit", (self.loc, self.scale)
        if isinstance(self.order, str):
            orders = path_orders(min(self.max_order, max(0, (x.size - 1) // 2), _WARP_ORDER))
        else:
            orders = [self.order]
        assert labels is not None
        scores = _warp.held_out(name, support, given, x, w, labels, orders, settings)
        i, j = np.unravel_index(int(np.argmax(scores)), scores.shape)
        samples = Samples(_warp.frames(name, support, *given, x, w)[i], orders[-1], 1)
        samples.add(x, w, None, settings.workers)
        rows = [fit_order(samples.measure(), n, settings, certify=False) for n in orders]
        loglik = samples.weight * np.array([r.mean_log for r in rows]) + samples.log_slope
        columns = path_columns(np.array(orders), loglik, scores[i], samples.weight)
        return Path(samples, columns, rows[j], float(scores[i, j]))

    def partial_fit(self, x: object, sample_weight: object = None) -> Self:
        """Add a batch of samples and fit to all so far; the first batch fixes base, loc and scale.

        The moments of the batches add: the result is that of one fit to all samples with the same
        base, loc and scale.
        """
        if getattr(self, "_samples", None) is None:
            return self.fit(x, sample_weight)
        settings, _, _ = self._check("partial_fit")
        batch, weights = _samples("partial_fit", self._frame.support, x, sample_weight, minimum=1)
        labels = self._labels("partial_fit", batch.size, self._samples.folds)
        self._samples.add(batch, weights, labels, settings.workers)
        self._accept(self._best([self._samples], settings), settings)
        return self

    def merge(self, other: FourierDensity) -> Self:
        """Add the samples of another fit in the same base, loc and scale; returns self."""
        settings, _, _ = self._check("merge")
        mine, theirs = getattr(self, "_samples", None), getattr(other, "_samples", None)
        if mine is None or theirs is None:
            expected = "must be fitted to samples, as this density must"
            raise ValueError(message("merge", "other", expected, other))
        if not mine.frame.same_as(theirs.frame) or (mine.cells, mine.folds) != (
            theirs.cells,
            theirs.folds,
        ):
            expected = "must have the support, base, loc, scale and max_order of this density"
            raise ValueError(message("merge", "other", expected, other))
        mine.merge(theirs)
        self._accept(self._best([mine], settings), settings)
        return self

    def _check(self, function: str) -> tuple[Settings, Any, str]:
        if isinstance(self.order, str):
            check_choice(function, "order", self.order, _CRITERIA)
        else:
            check_integer(function, "order", self.order, minimum=0, maximum=LARGEST_ORDER)
        check_integer(function, "max_order", self.max_order, minimum=0, maximum=LARGEST_ORDER)
        support = check_support(function, self.support)
        base = check_choice(function, "base", self.base, ("auto", *BASES))
        smoothness = check_real(function, "smoothness", self.smoothness, minimum=0)
        tol = check_positive(function, "tol", self.tol)
        if self.rng is not None:
            as_generator(function, self.rng)
        return Settings(smoothness, tol, check_workers(function, self.workers)), support, base

    def _frames(
        self, function: str, support: Any, base: str, x: Array, w: Array | None
    ) -> tuple[list[Frame], int]:
        largest = self.max_order if isinstance(self.order, str) else self.order
        if support not in ("real", "positive"):
            return [bounded_frame(function, support, self.loc, self.scale)], largest
        frames = candidate_frames(function, support, base, self.loc, self.scale, x, w)
        if not isinstance(self.order, str) and base != "auto":
            frames = frames[:1]
        return frames, largest

    def _labels(self, function: str, n: int, folds: int) -> Array | None:
        if folds == 1:
            return None
        labels = np.tile(np.arange(folds), n // folds + 1)[:n]
        return labels if self.rng is None else as_generator(function, self.rng).permutation(labels)

    def _best(self, candidates: Iterable[Samples], settings: Settings) -> Path:
        """The path of the asked order or orders in the best of the frames."""
        if isinstance(self.order, str):
            candidates = iter(candidates)
            first = next(candidates)
            # More coefficients than samples are not worth trying.
            largest = min(self.max_order, max(0, (first.size - 1) // 2))
            return run_paths(chain([first], candidates), self.order, largest, settings)
        return max(
            (self._one_order(samples, self.order, settings) for samples in candidates),
            key=lambda path: path.criterion,
        )

    @staticmethod
    def _one_order(samples: Samples, order: int, settings: Settings) -> Path:
        found = fit_order(samples.measure(), order, settings)
        loglik = samples.weight * found.mean_log + samples.log_slope
        columns = path_columns(
            np.array([order]), np.array([loglik]), np.array([math.nan]), samples.weight
        )
        return Path(samples, columns, found, loglik)

    def _accept(self, path: Path, settings: Settings) -> None:
        samples, best = path.samples, path.best
        if math.isinf(best.gap):  # compared, not certified
            best = fit_order(samples.measure(), best.order, settings, start=best.b)
        given = not isinstance(self.order, str)
        if given and best.order > samples.size - 1 and self.smoothness == 0:
            warnings.warn(
                f"fit: order {best.order} exceeds what {samples.size} samples carry: the density "
                f"spikes at them; lower the order or set smoothness > 0",
                UserWarning,
                stacklevel=3,
            )
        self._samples = samples
        self.path_ = path.rows
        self.loglik_ = samples.weight * best.mean_log + samples.log_slope
        self._set(samples.frame, best)
        self._warn_of_gap("fit")


_PARAMETERS = (
    "order",
    "max_order",
    "support",
    "base",
    "loc",
    "scale",
    "smoothness",
    "tol",
    "rng",
    "workers",
)


def _samples(
    name: str, support: Any, x: object, sample_weight: object, minimum: int = 2
) -> tuple[Array, Array | None]:
    """Samples and weights as contiguous float64; samples of weight 0 are dropped."""
    array = as_array(name, "x", x, check_finite=True)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        got = Phrase(f"shape {array.shape}")
        raise ValueError(message(name, "x", "must have shape (n,) or (n, 1)", got))
    samples = np.ascontiguousarray(array, np.float64)
    weights = None
    if sample_weight is not None:
        w = as_array(name, "sample_weight", sample_weight, ndim=1, check_finite=True)
        if w.shape != samples.shape:
            expected = f"must have one weight for each of the {samples.size} samples"
            raise ValueError(message(name, "sample_weight", expected, Phrase(f"{w.size} weights")))
        if w.size and (w.min() < 0 or not w.any()):
            got = Phrase(describe(w[w < 0][0]) if w.min() < 0 else "only zeros")
            raise ValueError(message(name, "sample_weight", "must be >= 0 and not all 0", got))
        keep = w > 0
        samples, weights = samples[keep], np.ascontiguousarray(w[keep], np.float64)
    if samples.size < minimum:
        count = "1 sample" if samples.size == 1 else "no samples"
        raise ValueError(message(name, "x", f"must have at least {minimum} samples", Phrase(count)))
    check_samples(name, support, samples)
    return samples, weights
