"""The hues of a photograph on the circle; measurements on the line, with the optimum proved."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num._tour import _density_figures as figures
from kexue_num._tour._report import Chapter, Row
from kexue_num._tour._style import available
from kexue_num._tour._timing import alternate
from kexue_num.density import FourierDensity

Vector = NDArray[np.float64]

SEED = 0
FOLDS = 10
INTRODUCTION = (
    "A density is fitted as the square of a short Fourier sum, and the fit is the best that any "
    "such density can do: the gap says by how much, in nats, a better one could exceed its "
    "log-likelihood. The errors are held-out nats per sample, -mean log p(x) (lower is better; "
    "only differences matter); the bound is the gap. The hues are those of the flower photograph; "
    "petal lengths and tumour areas come with scikit-learn, and the claw, whose density is known, "
    f"is Marron and Wand's. Held out are every second pixel, each of {FOLDS} folds of the "
    "measurements, and fresh samples of the claw."
)


@dataclass(frozen=True)
class Measured:
    """Measurements on the line."""

    name: str
    unit: str
    values: Vector
    support: str


def nats(value: float | None) -> str:
    """Return a log-likelihood with four decimals, a gap in scientific form."""
    if value is None:
        return ""
    return f"{value:.1e}" if 0 < abs(value) < 1e-4 else f"{value:.4f}"


def chapter(out: Path, quick: bool) -> Chapter:
    """Run the area's tasks, draw its figures and check its results."""
    result = Chapter("Density: the certified optimum", INTRODUCTION)
    try:
        picture, hues = _load_hues()
        measured = _load_measurements()
    except ImportError:
        missing = "scikit-learn is not installed"
        result.rows.append(Row("hues, petals, tumours", "SciPy", missing=missing))
        return result
    seconds = 0.3 if quick else 1.0
    ring = _circle(result, hues, seconds)
    curves = [_line(result, data, seconds) for data in measured]
    clawed = _claw(result, seconds)
    _draws(result, curves[0], measured[0], seconds)
    if not available():
        result.remarks.append("matplotlib is not installed: no figures")
        return result
    result.figures.append(figures.draw_ring(out / "hues.png", picture, ring, hues))
    result.figures.append(figures.draw_lines(out / "measurements.png", measured, curves))
    result.figures.append(figures.draw_claw(out / "claw.png", *clawed, claw_density))
    return result


def _load_hues() -> tuple[NDArray[np.uint8], Vector]:
    """The flower, and the hues in radians of its pixels that have a colour to speak of."""
    from sklearn.datasets import load_sample_image

    picture: NDArray[np.uint8] = load_sample_image("flower.jpg")
    return picture, hues_of(picture)


def hues_of(picture: NDArray[np.uint8]) -> Vector:
    """The hue angle of every pixel whose channels differ by more than a tenth of the range."""
    red, green, blue = (picture[..., k].reshape(-1) / 255.0 for k in range(3))
    # The usual hexagon's angle, made round: the argument of the chromaticity.
    real, imaginary = red - 0.5 * (green + blue), np.sqrt(0.75) * (green - blue)
    coloured = np.hypot(real, imaginary) > 0.1
    angles: Vector = np.arctan2(imaginary, real)[coloured]
    return angles


def _load_measurements() -> list[Measured]:
    datasets: Any = importlib.import_module("sklearn.datasets")
    petals = np.asarray(datasets.load_iris().data[:, 2], dtype=np.float64)
    areas = np.asarray(datasets.load_breast_cancer().data[:, 3], dtype=np.float64)
    return [
        Measured("petal lengths", "cm", petals, "real"),
        Measured("tumour areas", "pixels", areas, "positive"),
    ]


def _kernel_estimate(x: Vector) -> Any:
    return importlib.import_module("scipy.stats").gaussian_kde(x)


def _check_density(result: Chapter, task: str, found: FourierDensity, grid: Vector) -> None:
    result.check(f"{task}: the optimum is certified, gap {found.gap_:.1e} nats", found.gap_ <= 1e-9)
    result.check(f"{task}: the density is nowhere negative", bool((found.pdf(grid) >= 0).all()))
    cumulated = found.cdf(np.sort(grid))
    result.check(f"{task}: the distribution function rises", bool((np.diff(cumulated) >= 0).all()))


def _circle(result: Chapter, hues: Vector, seconds: float) -> FourierDensity:
    shown, held = hues[::2], np.random.default_rng(SEED).choice(hues[1::2], 200)

    def ours() -> tuple[FourierDensity, float]:
        found = FourierDensity(24, support="circle").fit(shown)
        return found, -float(found.logpdf(held).mean())

    our_seconds, (found, error), peer_seconds, peer_error = alternate(
        ours, lambda: -float(_kernel_estimate(shown).logpdf(held).mean()), seconds=seconds
    )
    task = f"{shown.size} hues on the circle, order 24"
    result.rows.append(
        Row(
            task,
            "SciPy gaussian_kde",
            our_seconds,
            peer_seconds,
            error,
            found.gap_,
            peer_error,
            number=nats,
        )
    )
    _check_density(result, task, found, np.linspace(-np.pi, np.pi, 2001))
    ends = found.pdf(np.array([-np.pi, np.pi]))
    result.check(f"{task}: there is no seam", bool(abs(ends[0] - ends[1]) <= 1e-12 * ends.max()))
    return found


def _held_out(values: Vector, fit: Callable[[Vector], Any]) -> float:
    """Cross-validated -mean log p."""
    order = np.random.default_rng(SEED).permutation(values.size)
    total = 0.0
    for fold in np.array_split(order, FOLDS):
        rest = np.setdiff1d(order, fold)
        total -= float(fit(values[rest]).logpdf(values[fold]).sum())
    return total / values.size


def _line(result: Chapter, data: Measured, seconds: float) -> FourierDensity:
    def fit(x: Vector) -> FourierDensity:
        return FourierDensity("aic", support=data.support).fit(x)

    found = fit(data.values)
    our_seconds, error, peer_seconds, peer_error = alternate(
        lambda: _held_out(data.values, fit),
        lambda: _held_out(data.values, _kernel_estimate),
        seconds=seconds,
    )
    task = f"{data.values.size} {data.name}, order by AIC, {FOLDS} folds"
    result.rows.append(
        Row(
            task,
            "SciPy gaussian_kde",
            our_seconds,
            peer_seconds,
            error,
            found.gap_,
            peer_error,
            number=nats,
        )
    )
    low, high = data.values.min(), data.values.max()
    _check_density(result, task, found, np.linspace(low, high, 2001))
    # The optimum among the family cannot lose to its own member of order zero.
    plain = FourierDensity(
        0, support=data.support, base=found.base_, loc=found.loc_, scale=found.scale_
    ).fit(data.values)
    result.check(
        f"{task}: no worse on its own samples than its base alone",
        found.loglik_ >= plain.loglik_ - 1e-9,
    )
    return found


_CLAW = ((0.5, 0.0, 1.0), *((0.1, k / 2 - 1, 0.1) for k in range(5)))  # weight, mean, deviation
CLAW_SAMPLES = 4000


def claw_density(x: Vector) -> Vector:
    """Marron and Wand's tenth density."""
    total = np.zeros_like(x)
    for w, m, s in _CLAW:
        total += w / (s * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((x - m) / s) ** 2)
    return total


def _draw_from_the_claw(size: int, rng: np.random.Generator) -> Vector:
    weights, means, deviations = np.array(_CLAW).T
    which = rng.choice(weights.size, size, p=weights)
    samples: Vector = means[which] + deviations[which] * rng.standard_normal(size)
    return samples


def _claw(result: Chapter, seconds: float) -> tuple[Vector, FourierDensity]:
    rng = np.random.default_rng(SEED)
    shown, held = _draw_from_the_claw(CLAW_SAMPLES, rng), _draw_from_the_claw(2000, rng)

    def ours() -> tuple[FourierDensity, float]:
        found = FourierDensity("aic").fit(shown)
        return found, -float(found.logpdf(held).mean())

    our_seconds, (found, error), peer_seconds, peer_error = alternate(
        ours, lambda: -float(_kernel_estimate(shown).logpdf(held).mean()), seconds=seconds
    )
    task = f"{CLAW_SAMPLES} samples of the claw, order by AIC"
    peer = "SciPy gaussian_kde"
    row = Row(task, peer, our_seconds, peer_seconds, error, found.gap_, peer_error, number=nats)
    result.rows.append(row)
    _check_density(result, task, found, np.linspace(-3.5, 3.5, 2001))
    best = -float(np.log(claw_density(held)).mean())
    result.remarks.append(
        f"The claw itself has {best:.4f} held-out nats: ours is {error - best:.4f} above it, the "
        f"kernel estimate {peer_error - best:.4f}."
    )
    result.check(f"{task}: closer to the truth than the kernel estimate", error < peer_error)
    return shown, found


def _draws(result: Chapter, found: FourierDensity, data: Measured, seconds: float) -> None:
    size = 200_000
    kernel = _kernel_estimate(data.values)
    our_seconds, ours, peer_seconds, _ = alternate(
        lambda: found.rvs(size, rng=SEED), lambda: kernel.resample(size, seed=SEED), seconds=seconds
    )
    task = f"{size} draws from the petal lengths' density"
    result.rows.append(Row(task, "SciPy gaussian_kde", our_seconds, peer_seconds))
    # Kolmogorov: sup |F_n - F| exceeds 1.95 / sqrt(n) once in a thousand seeds; this one is fixed.
    levels = found.cdf(np.sort(ours))
    places = np.arange(1, size + 1) / size
    distance = float(np.maximum(np.abs(levels - places), np.abs(levels - places + 1 / size)).max())
    result.check(
        f"{task}: they follow it (Kolmogorov distance {distance:.1e})",
        distance <= 1.95 / np.sqrt(size),
    )
