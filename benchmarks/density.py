"""Fourier densities against kernel estimates, mixtures and stochastic gradients.

The samples are those of the claw density, a normal mixture with five narrow peaks. The error of a
fit or an evaluation is the mean log-likelihood of fresh samples below that of the true density, in
nats; that of a sampler is the Kolmogorov-Smirnov distance of its samples to the true density. The
least work counted for the limit is one pass over the samples or points.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import gaussian_kde

from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from kexue_num.density import FourierDensity

Array = NDArray[Any]

_WEIGHTS = np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
_MEANS = np.array([0.0, -1.0, -0.5, 0.0, 0.5, 1.0])
_DEVIATIONS = np.array([1.0, 0.1, 0.1, 0.1, 0.1, 0.1])
_GRID = 2**14
_LEAST = 1e-9  # where a kernel estimate has no samples near

ADAM_STEPS = 30_000


def cases(quick: bool) -> Iterator[Case]:
    """Yield the cases; `quick` divides the numbers of samples and points and promises nothing."""
    scale = 100 if quick else 1

    def promise(floor: Floor) -> Floor | None:
        return None if quick else floor

    for n, floor in (
        (100_000, Floor("KDEpy ISJ", 3, 1.0)),
        (10_000_000, Floor("KDEpy ISJ", 15, 1.0, 30)),
    ):
        yield Case(
            name=f"fit/n{n // scale}/order32",
            title=f"fit of order 32 to {n // scale} samples, the map included",
            prepare=functools.partial(_fit, n // scale, {"order": 32, "base": "logistic"}),
            floor=promise(floor),
        )
    yield Case(
        name="path/n1000",
        title="order by AIC up to 64, 1000 samples",
        prepare=functools.partial(_fit, 1000, {"base": "logistic", "loc": 0.0, "scale": 2.5}),
        floor=promise(Floor("KDEpy ISJ", 1, 1.0, 3)),
    )
    yield Case(
        name="auto/n1000",
        title="base and order by AIC, 1000 samples",
        prepare=functools.partial(_fit, 1000, {}),
        floor=promise(Floor("KDEpy ISJ", 1, 1.0, 3)),
    )
    yield Case(
        name=f"pdf/m{1_000_000 // scale}/order32",
        title=f"density at {1_000_000 // scale} points, order 32",
        prepare=functools.partial(_pdf, 1_000_000 // scale),
        floor=promise(Floor("KDEpy grid", 10, 1.0, 18)),
    )
    yield Case(
        name="pdf/m1000/kernels",
        title="density at 1000 points against kernel sums over 10000 samples",
        prepare=functools.partial(_kernel_sums, 10_000, 1000),
    )
    for base in ("logistic", "normal", "t3", "cauchy", "warp"):
        yield Case(
            name=f"rvs/m{1_000_000 // scale}/{base}",
            title=f"{1_000_000 // scale} samples of a density of order 32, {base} base",
            prepare=functools.partial(_rvs, 1_000_000 // scale, base),
            floor=promise(Floor("gaussian_kde", 11, 1.5, 22)),
        )
    if not quick and importlib.util.find_spec("torch") is not None:
        yield Case(
            name="fit/n100000/adam",
            title=f"order 16, 100000 samples, against {ADAM_STEPS} steps of Adam",
            prepare=functools.partial(_adam, 100_000),
            floor=Floor("torch Adam", 5000, 1.0, 25_000),
        )


def _samples(n: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    which = rng.choice(len(_WEIGHTS), size=n, p=_WEIGHTS)
    samples: Array = _MEANS[which] + _DEVIATIONS[which] * rng.standard_normal(n)
    return samples


def _log_truth(y: Array) -> Array:
    total = np.zeros_like(y)
    for w, m, s in zip(_WEIGHTS, _MEANS, _DEVIATIONS, strict=True):
        total += w / (s * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((y - m) / s) ** 2)
    return np.log(total)


def _excess(fresh: Array, p: Array) -> Outcome:
    return Outcome(error=float(np.mean(_log_truth(fresh) - np.log(np.maximum(p, _LEAST)))))


def _distance(samples: Array) -> Outcome:
    ordered = np.sort(samples.reshape(-1))
    truth = sum(
        w * ndtr((ordered - m) / s) for w, m, s in zip(_WEIGHTS, _MEANS, _DEVIATIONS, strict=True)
    )
    steps = (np.arange(ordered.size) + 0.5) / ordered.size
    return Outcome(error=float(np.abs(truth - steps).max()))


def _isj(y: Array) -> Any:
    from KDEpy import FFTKDE

    return FFTKDE(bw="ISJ").fit(y).evaluate(_GRID)


def _fit(n: int, options: dict[str, Any]) -> Problem:
    y, fresh = _samples(n, 0), _samples(100_000, 1)

    def judge(d: FourierDensity) -> Outcome:
        outcome = _excess(fresh, d.pdf(fresh))
        return Outcome(error=outcome.error, bound=d.gap_, rank=d.order_)

    return Problem(
        (
            Contender("kexue_num", lambda: FourierDensity(**options).fit(y), judge),
            Contender(
                "KDEpy ISJ",
                lambda: _isj(y),
                lambda table: _excess(fresh, np.interp(fresh, *table)),
                requires="KDEpy",
            ),
        ),
        "nats below truth",
        y.nbytes,
        20.0 * n,
    )


def _pdf(m: int) -> Problem:
    y, fresh = _samples(100_000, 0), _samples(m, 1)
    d = FourierDensity(32, base="logistic").fit(y)
    table: list[Any] = []

    def interpolate() -> Array:
        if not table:
            table.extend(_isj(y))
        return np.interp(fresh, table[0], table[1])

    return Problem(
        (
            Contender("kexue_num", lambda: d.pdf(fresh), lambda p: _excess(fresh, p)),
            Contender("KDEpy grid", interpolate, lambda p: _excess(fresh, p), requires="KDEpy"),
        ),
        "nats below truth",
        2 * fresh.nbytes,
        (8.0 * 32 + 60) * m,
    )


def _kernel_sums(n: int, m: int) -> Problem:
    y, fresh = _samples(n, 0), _samples(m, 1)
    d = FourierDensity(32, base="logistic").fit(y)
    kernel = gaussian_kde(y)

    def sklearn_density() -> Array:
        from sklearn.neighbors import KernelDensity

        width = 1.06 * y.std() * n**-0.2
        fitted = KernelDensity(bandwidth=width, rtol=1e-4).fit(y[:, None])
        return np.exp(fitted.score_samples(fresh[:, None]))

    return Problem(
        (
            Contender("kexue_num", lambda: d.pdf(fresh), lambda p: _excess(fresh, p)),
            Contender("gaussian_kde", lambda: kernel(fresh), lambda p: _excess(fresh, p)),
            Contender(
                "sklearn KDE",
                sklearn_density,
                lambda p: _excess(fresh, p),
                requires="scikit-learn",
            ),
        ),
        "nats below truth",
        2 * fresh.nbytes,
        (8.0 * 32 + 60) * m,
    )


def _rvs(m: int, base: str) -> Problem:
    y = _samples(100_000, 0)
    d = FourierDensity(32, base=base).fit(y)
    kernel = gaussian_kde(y)
    return Problem(
        (
            Contender("kexue_num", lambda: d.rvs(m, rng=0), _distance),
            Contender("gaussian_kde", lambda: kernel.resample(m, seed=0), _distance),
        ),
        "KS distance",
        8.0 * m,
        100.0 * m,
    )


def _adam(n: int) -> Problem:
    y = _samples(n, 0)
    x = np.tanh(y / 2.5)

    def train() -> Array:
        import torch

        torch.manual_seed(0)
        waves = torch.arange(17, dtype=torch.float32)
        data = torch.from_numpy(x.astype(np.float32))
        a = (1e-3 * torch.randn(2, 17)).requires_grad_()
        optimizer = torch.optim.Adam([a], lr=1e-3)
        for _ in range(ADAM_STEPS):
            batch = data[torch.randint(0, n, (32,))]
            angle = torch.pi * batch[:, None] * waves
            c, s = torch.cos(angle), torch.sin(angle)
            re, im = c @ a[0] - s @ a[1], s @ a[0] + c @ a[1]
            loss = torch.log((a * a).sum()) - torch.log(re * re + im * im).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return a.detach().numpy().astype(float)

    def judge_adam(a: Array) -> Outcome:
        d = FourierDensity.from_coefficients(
            a[0] + 1j * a[1],
            support="real",
            base="logistic",
            loc=0.0,
            scale=2.5,
            convention="codex",
        )
        return _excess(y, d.pdf(y))

    options = {"base": "logistic", "loc": 0.0, "scale": 2.5}
    return Problem(
        (
            Contender(
                "kexue_num",
                lambda: FourierDensity(16, **options).fit(y),
                lambda d: _excess(y, d.pdf(y)),
            ),
            Contender("torch Adam", train, judge_adam, requires="torch"),
        ),
        "nats below truth",
        y.nbytes,
        20.0 * n,
    )
