"""`FourierDensity2D`: sums of squares in two variables, with a certificate."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kexue_num._errors import ConvergenceWarning, NumericalError
from kexue_num._validation import (
    Phrase,
    as_array,
    as_generator,
    check_choice,
    check_integer,
    check_memory,
    check_positive,
    check_real,
    check_workers,
    message,
    result_dtype,
    round_result,
)
from kexue_num.density._density import FourierDensity
from kexue_num.density._frames import (
    BASES,
    Frame,
    bounded_frame,
    candidate_frames,
    check_samples,
    check_support,
)

Array = NDArray[Any]

_CHUNK = 4096


class FourierDensity2D:
    """Density of two variables, a sum of `rank` squares of Fourier sums.

    q(y) = sum_s abs(A_s(x_1, x_2))^2 / 4 * dx_1/dy_1 * dx_2/dy_2 with
    A_s = sum_{j,k <= N} a_{s,j,k} e^{i pi (j x_1 + k x_2)} and norm(a) = 1. In two variables a
    non-negative polynomial is in general no single square; rank 2 to 4 comes close to the best of
    any rank, and `gap_` bounds by how much it falls short.

    Parameters
    ----------
    order : int or (int, int)
        Degree in both or in each variable.
    rank : int
        Number of squares, 1 to 4.
    support : a support of `FourierDensity`, or a pair of them given as a list
    base : {"logistic", "normal", "t3", "cauchy"}
        Base of unbounded variables.
    tol : float
        Largest `gap_` that counts as converged, nats per sample.
    max_iter : int
        Steps of the quasi-Newton method.
    rng : None, int or Generator
        For `rvs`.
    workers : int or None
        Accepted for uniformity; linear algebra follows the threads of BLAS.

    Attributes
    ----------
    coef_ : (rank, N1 + 1, N2 + 1) complex ndarray of norm 1
    loglik_ : float
        Total log-likelihood of the samples, nats.
    gap_ : float
        No density of these degrees and any rank has a mean log-likelihood larger by more than this.
    n_iter_, converged_

    Notes
    -----
    L-BFGS on the mean log-likelihood; log lambda_max of the block Toeplitz matrix of
    e(x) e(x)^H / p(x) is the certificate (concave likelihood in the Gram matrix). Memory
    O(n (N1 + N2)), time O(n N1 N2 rank) a step.

    References
    ----------
    Burer and Monteiro, Mathematical Programming 95 (2003). Jianlin Su, 科学空间, post 10007.

    Examples
    --------
    >>> import numpy as np
    >>> from kexue_num.density import FourierDensity2D
    >>> x = np.random.default_rng(0).normal(size=(2000, 2))
    >>> d = FourierDensity2D(2, rank=2, tol=1e-2).fit(x)
    >>> d.pdf([[0.0, 0.0]]).shape
    (1,)
    >>> bool(abs(d.marginal(0).cdf(0.0) - 0.5) < 0.05)
    True
    """

    def __init__(
        self,
        order: int | tuple[int, int] = 6,
        *,
        rank: int = 2,
        support: Any = "real",
        base: str = "logistic",
        tol: float = 1e-3,
        max_iter: int = 1000,
        rng: int | np.random.Generator | None = None,
        workers: int | None = None,
    ) -> None:
        self.order = order
        self.rank = rank
        self.support = support
        self.base = base
        self.tol = tol
        self.max_iter = max_iter
        self.rng = rng
        self.workers = workers

    def __repr__(self) -> str:
        if not hasattr(self, "coef_"):
            return f"FourierDensity2D(order={self.order!r}, rank={self.rank})"
        rank, m, n = self.coef_.shape
        return f"FourierDensity2D(order=({m - 1}, {n - 1}), rank={rank}, gap={self.gap_:.1e})"

    # Fitting

    def fit(self, x: object, sample_weight: object = None) -> Self:
        """Fit to samples x, (n, 2), with optional weights (n,); returns self."""
        name = "fit"
        degrees = self._check(name)
        array = as_array(name, "x", x, ndim=2, check_finite=True)
        if array.shape[1] != 2 or array.shape[0] < 2:
            expected = "must have shape (n, 2) with n >= 2"
            raise ValueError(message(name, "x", expected, Phrase(f"shape {array.shape}")))
        samples = array.astype(np.float64)
        w = np.full(len(samples), 1 / len(samples))
        total = float(len(samples))
        if sample_weight is not None:
            weights = as_array(name, "sample_weight", sample_weight, ndim=1, check_finite=True)
            if len(weights) != len(samples) or weights.min() < 0 or not weights.any():
                expected = f"must be {len(samples)} weights >= 0, not all 0"
                raise ValueError(message(name, "sample_weight", expected, weights))
            total = float(weights.sum())
            w = weights.astype(np.float64) / total
        self._axes = [self._axis(name, samples[:, axis], w, axis) for axis in (0, 1)]
        e, log_slope = self._waves(samples)
        a, self.n_iter_ = _maximise(e, w, degrees, self.rank, self.max_iter)
        self.coef_ = a
        p = _density(e, a)
        self.loglik_ = total * float(w @ (np.log(p) + log_slope))
        self.gap_ = _certificate(e, w, p)
        self.converged_ = self.gap_ <= self.tol
        if not self.converged_:
            warnings.warn(
                f"fit: gap_ is {self.gap_:.3g} nats, more than tol={self.tol:g}; raise rank, "
                f"max_iter or tol",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _check(self, name: str) -> tuple[int, int]:
        pair = self.order if isinstance(self.order, (tuple, list)) else (self.order, self.order)
        if len(pair) != 2:
            raise ValueError(message(name, "order", "must be an integer or a pair", self.order))
        first, second = (check_integer(name, "order", n, minimum=0, maximum=64) for n in pair)
        check_integer(name, "rank", self.rank, minimum=1, maximum=4)
        check_integer(name, "max_iter", self.max_iter, minimum=1, maximum=2**31 - 1)
        check_positive(name, "tol", self.tol)
        check_choice(name, "base", self.base, BASES[:-1])
        check_workers(name, self.workers)
        as_generator(name, self.rng)
        return first, second

    def _axis(self, name: str, y: Array, w: Array, axis: int) -> FourierDensity:
        """The chart of one variable, as a density of order 0."""
        given = self.support[axis] if isinstance(self.support, list) else self.support
        support = check_support(name, given)
        check_samples(name, support, y)
        frame: Frame
        if support in ("real", "positive"):
            live = w > 0
            frame = candidate_frames(name, support, self.base, None, None, y[live], w[live])[0]
        else:
            frame = bounded_frame(name, support, None, None)
        return FourierDensity._from_frame(frame)

    def _waves(self, y: Array) -> tuple[list[Array], Array]:
        """e^{i pi k t} for every sample in both variables, and the log of dx/dy."""
        waves, log_slope = [], np.zeros(len(y))
        for axis, chart in enumerate(self._axes):
            t, slope = chart._model.positions(np.ascontiguousarray(y[:, axis]))
            degree = self._check("fit")[axis]
            waves.append(np.exp(1j * np.pi * np.outer(t, np.arange(degree + 1))))
            with np.errstate(divide="ignore"):
                log_slope += np.log(slope)
        return waves, log_slope

    def _require_fitted(self) -> None:
        if not hasattr(self, "coef_"):
            raise AttributeError("FourierDensity2D: not fitted yet; call fit first")

    # Evaluation

    def pdf(self, x: object) -> Array:
        """Density at points x, (..., 2): a sum of squares, never negative."""
        return self._evaluate("pdf", x, np.exp)

    def logpdf(self, x: object) -> Array:
        """Natural logarithm of `pdf`, (..., 2) to (...)."""
        return self._evaluate("logpdf", x, np.positive)

    def _evaluate(self, name: str, x: object, f: Callable[[Array], Array]) -> Array:
        """A function of the log density, rounded once."""
        self._require_fitted()
        array = as_array(name, "x", x, min_ndim=1)
        if array.shape[-1] != 2:
            got = Phrase(f"shape {array.shape}")
            raise ValueError(message(name, "x", "must have shape (..., 2)", got))
        flat = array.astype(np.float64).reshape(-1, 2)
        out = np.empty(len(flat))
        for start in range(0, len(flat), _CHUNK):
            part = slice(start, start + _CHUNK)
            e, log_slope = self._waves(flat[part])
            with np.errstate(divide="ignore"):
                out[part] = np.log(_density(e, self.coef_)) + log_slope
        result: Array = round_result(f(out).reshape(array.shape[:-1]), result_dtype(x))[()]
        return result

    def marginal(self, axis: int) -> FourierDensity:
        """The density of variable 0 or 1, in closed form."""
        self._require_fitted()
        check_integer("marginal", "axis", axis, minimum=0, maximum=1)
        a = self.coef_ if axis == 0 else self.coef_.transpose(0, 2, 1)
        # Over a whole period the waves of the other variable are orthogonal.
        return self._square(np.einsum("sjm,skm->jk", a, np.conj(a)), axis)

    def conditional(self, given: float, axis: int) -> FourierDensity:
        """The density of variable `axis` where the other one is `given`, in closed form."""
        self._require_fitted()
        check_integer("conditional", "axis", axis, minimum=0, maximum=1)
        value = check_real("conditional", "given", given)
        other = 1 - axis
        t, slope = self._axes[other]._model.positions(np.array([value]))
        if not slope[0] > 0:
            expected = "must lie in the support of the other variable"
            raise ValueError(message("conditional", "given", expected, value))
        a = self.coef_ if axis == 0 else self.coef_.transpose(0, 2, 1)
        rows = a @ np.exp(1j * np.pi * t[0] * np.arange(a.shape[2]))
        return self._square(np.einsum("sj,sk->jk", rows, np.conj(rows)), axis)

    def _square(self, gram: Array, axis: int) -> FourierDensity:
        """The density with Gram matrix `gram`: one square, by fitting it to its own values."""
        from kexue_num.density._fit import Measure, Settings, fit_order

        size = len(gram)
        c = np.array([np.trace(gram, -n) for n in range(size)])
        if not c[0].real > 0:
            raise NumericalError("FourierDensity2D: the density is zero there")
        c = c / c[0].real
        nodes = max(512, 64 * size)
        t = 2 * np.arange(nodes) / nodes
        t[t > 1] -= 2
        weights = np.maximum(
            1 + 2 * (np.exp(1j * np.pi * np.outer(t, np.arange(1, size))) @ c[1:]).real, 0
        )
        settings = Settings(0.0, 1e-6, 0)
        found = fit_order(Measure(t, weights, np.empty(0)), size - 1, settings)
        out = FourierDensity(size - 1, support=self._axes[axis]._frame.support)
        out._set(self._axes[axis]._frame, found)
        return out

    def rvs(self, size: int | None = None, rng: object = None) -> Array:
        """Independent samples, (size, 2) or (2,): variable 0, then variable 1 given it."""
        self._require_fitted()
        count = 1 if size is None else check_integer("rvs", "size", size, minimum=0)
        check_memory("rvs", "size", size, 40.0 * count)
        generator = as_generator("rvs", self.rng if rng is None else rng)
        first = self.marginal(0).rvs(count, rng=generator)
        u = generator.random(count)
        t, _ = self._axes[0]._model.positions(first)
        second = np.empty(count)
        for start in range(0, count, _CHUNK):
            part = slice(start, start + _CHUNK)
            wave = np.exp(1j * np.pi * np.outer(t[part], np.arange(self.coef_.shape[1])))
            second[part] = _inverse(np.einsum("nj,sjk->nsk", wave, self.coef_), u[part])
        y = self._axes[1]._model.locate(second)
        out: Array = np.column_stack([first, y])
        return out[0] if size is None else out


def _density(e: list[Array], a: Array) -> Array:
    """P of the period [-1, 1]^2: sum of squares over 4."""
    total = np.zeros(len(e[0]))
    for one in a:
        amplitude = np.einsum("nk,nk->n", e[0] @ one, e[1])
        total += amplitude.real**2 + amplitude.imag**2
    return 0.25 * total


def _maximise(
    e: list[Array], w: Array, degrees: tuple[int, int], rank: int, max_iter: int
) -> tuple[Array, int]:
    """Coefficients of norm 1 at a maximum of the mean log density."""
    from scipy.optimize import minimize

    shape = (rank, degrees[0] + 1, degrees[1] + 1)

    def loss(parameters: Array) -> tuple[float, Array]:
        a = (parameters[: parameters.size // 2] + 1j * parameters[parameters.size // 2 :]).reshape(
            shape
        )
        norm = float(np.sum(np.abs(a) ** 2))
        amplitudes = [np.einsum("nk,nk->n", e[0] @ one, e[1]) for one in a]
        power = np.sum([np.abs(v) ** 2 for v in amplitudes], axis=0)
        gradient = np.empty(shape, np.complex128)
        for s, amplitude in enumerate(amplitudes):
            weighted = (w * amplitude / power)[:, None] * np.conj(e[1])
            gradient[s] = np.conj(e[0]).T @ weighted - a[s] / norm
        value = float(w @ np.log(power)) - math.log(norm)
        flat = -2 * gradient.reshape(-1)
        return -value, np.concatenate([flat.real, flat.imag])

    # A start without symmetry, fixed: the constant with small waves on every square.
    noise = np.random.default_rng(0)
    start = 0.1 * (noise.normal(size=shape) + 1j * noise.normal(size=shape))
    start[:, 0, 0] += 1
    flat = start.reshape(-1)
    found = minimize(
        loss,
        np.concatenate([flat.real, flat.imag]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iter, "maxcor": 30, "ftol": 1e-15, "gtol": 1e-9},
    )
    half = found.x.size // 2
    a = (found.x[:half] + 1j * found.x[half:]).reshape(shape)
    return a / np.linalg.norm(a), int(found.nit)


def _certificate(e: list[Array], w: Array, p: Array) -> float:
    """Log lambda_max of the mean of e e^H / (4 p): a bound on what is left to gain."""
    m, n = e[0].shape[1], e[1].shape[1]
    weights = w / (4 * p)
    # Moments over differences of frequencies; negative ones by conjugation of the first wave.
    table = np.empty((2 * m - 1, n), np.complex128)
    for lag in range(-(m - 1), m):
        wave = e[0][:, abs(lag)] if lag < 0 else np.conj(e[0][:, lag])
        table[lag + m - 1] = (weights * wave) @ np.conj(e[1])
    rows = np.subtract.outer(np.arange(m), np.arange(m))
    cols = np.subtract.outer(np.arange(n), np.arange(n))
    first = rows[:, None, :, None] + m - 1
    second = np.broadcast_to(cols[None, :, None, :], (m, n, m, n))
    direct = table[np.broadcast_to(first, (m, n, m, n)), np.abs(second)]
    mirrored = np.conj(table[2 * (m - 1) - np.broadcast_to(first, (m, n, m, n)), np.abs(second)])
    matrix = np.where(second >= 0, direct, mirrored).reshape(m * n, m * n)
    largest = float(np.linalg.eigvalsh(matrix)[-1])
    return float(math.log(max(largest, 1.0)) + 4e-16 * m * n)


def _inverse(rows: Array, u: Array) -> Array:
    """T with mass u before it, under sum_s |sum_k rows_{n,s,k} e^{i pi k t}|^2, for every n."""
    size = rows.shape[2]
    c = np.stack(
        [
            np.einsum("nsk,nsk->n", rows[:, :, n:], np.conj(rows[:, :, : size - n]))
            for n in range(size)
        ]
    )
    c = c / c[0].real
    n = np.arange(1, size)[:, None]

    def mass(t: Array) -> Array:
        wave = (np.exp(1j * np.pi * n * t) - 1) / (1j * np.pi * n)
        total: Array = 0.5 * t + (c[1:] * wave).real.sum(axis=0)
        return total

    low, high = np.zeros(len(u)), np.full(len(u), 2.0)
    for _ in range(52):
        middle = 0.5 * (low + high)
        below = mass(middle) < u
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    t = 0.5 * (low + high)
    wrapped: Array = np.where(t > 1, t - 2, t)
    return wrapped
