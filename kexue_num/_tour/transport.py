"""The colours of one photograph moved onto another, and a loss that knows what is near."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import transport
from kexue_num._tour import _transport_figures as figures
from kexue_num._tour._report import Chapter, Row, plain
from kexue_num._tour._style import available
from kexue_num._tour._timing import alternate

Matrix = NDArray[np.float64]

# Colours are told apart by so many levels of each channel; the entropy is this part of the costs.
LEVELS = 12
REG = 1e-3
INTRODUCTION = (
    f"The colours of a photograph, told apart by {LEVELS} levels of each channel, are a "
    "distribution in the cube of colours. It is moved onto that of another photograph at the least "
    "squared distance: exactly, and with an entropy of a thousandth of the largest cost. Every "
    "result brackets the exact cost: the bound is the width of the bracket over the value. Errors "
    "are those of the value, relative to it; of entropic plans, those of their sums (L1). The last "
    "task is the EMO loss, which moves a predicted distribution onto the target: the errors are "
    "the largest of a gradient, against extended precision."
)


@dataclass(frozen=True)
class Palette:
    """The colours of a photograph, their shares, and which one each pixel has."""

    picture: NDArray[np.uint8]
    colours: Matrix
    shares: NDArray[np.float64]
    index: NDArray[np.intp]


def chapter(out: Path, quick: bool) -> Chapter:
    """Run the area's tasks, draw its figures and check its results."""
    result = Chapter("Transport: the colours of another picture", INTRODUCTION)
    try:
        source, target = (palette_of(picture) for picture in _load_pictures())
        prototypes = _load_prototypes()
    except ImportError:
        missing = "scikit-learn is not installed"
        result.rows.append(Row("colours, digits", "POT", missing=missing))
        return result
    seconds = 0.3 if quick else 1.0
    cost = np.square(source.colours[:, None] - target.colours).sum(axis=2)
    exact = _exact(result, source, target, cost, seconds)
    smooth = _entropic(result, source, target, cost, exact, seconds)
    gradients = _emo(result, prototypes, seconds)
    if not available():
        result.remarks.append("matplotlib is not installed: no figures")
        return result
    painted = [repaint(source, target, found) for found in (exact, smooth)]
    result.figures.append(
        figures.draw_colours(out / "colours.png", source.picture, target.picture, painted)
    )
    result.figures.append(figures.draw_emo(out / "emo.png", prototypes, *gradients))
    return result


def _load_pictures() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg"), load_sample_image("flower.jpg")


def _load_prototypes() -> Matrix:
    """The mean image of each digit: neighbours in look are neighbours in this space."""
    datasets: Any = importlib.import_module("sklearn.datasets")
    digits = datasets.load_digits()
    means = [digits.data[digits.target == k].mean(axis=0) for k in range(10)]
    prototypes: Matrix = np.asarray(means) - digits.data.mean(axis=0)
    return prototypes


def palette_of(picture: NDArray[np.uint8]) -> Palette:
    """Colours by levels: the mean of the pixels in each occupied cell of the cube."""
    pixels = picture.reshape(-1, 3) / 255.0
    levels = np.minimum((pixels * LEVELS).astype(np.int64), LEVELS - 1)
    cells = (levels[:, 0] * LEVELS + levels[:, 1]) * LEVELS + levels[:, 2]
    _, index, counts = np.unique(cells, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(index, pixels[:, k]) for k in range(3)], axis=1)
    return Palette(picture, sums / counts[:, None], counts / counts.sum(), index)


def repaint(source: Palette, target: Palette, found: transport.TransportResult) -> Matrix:
    """Each colour becomes the mean of those it is moved to; pixels keep their offset from it."""
    moved = found.apply(target.colours) / source.shares[:, None]
    pixels = source.picture.reshape(-1, 3) / 255.0 + (moved - source.colours)[source.index]
    painted: Matrix = np.clip(pixels, 0, 1).reshape(source.picture.shape)
    return painted


def _pot() -> Any | None:
    try:
        return importlib.import_module("ot")
    except ImportError:
        return None


def _exact(
    result: Chapter, source: Palette, target: Palette, cost: Matrix, seconds: float
) -> transport.TransportResult:
    a, b, peer = source.shares, target.shares, _pot()
    task = f"{a.size} colours onto {b.size}, exact"

    def ours() -> transport.TransportResult:
        return transport.emd(a, b, cost)

    if peer is None:
        found = ours()
        result.rows.append(Row(task, "POT emd", missing="POT is not installed"))
    else:
        our_seconds, found, peer_seconds, value = alternate(
            ours, lambda: float(peer.emd2(a, b, cost)), seconds=seconds
        )
        best = min(found.value, value)
        errors = ((found.value - best) / best, (value - best) / best)
        bound = (found.bracket.upper - found.bracket.lower) / found.value
        result.rows.append(
            Row(
                task,
                "POT emd",
                our_seconds,
                peer_seconds,
                errors[0],
                bound,
                errors[1],
                number=plain,
            )
        )
        result.check(f"{task}: no worse than the peer's plan", errors[0] <= 1e-9)
    low, high = found.bracket
    result.check(
        f"{task}: the bracket [{low:.9f}, {high:.9f}] is closed", high - low <= 1e-9 * high
    )
    sums = np.abs(found.plan.sum(axis=1) - a).sum() + np.abs(found.plan.sum(axis=0) - b).sum()
    result.check(f"{task}: the plan moves the masses (to {sums:.0e})", bool(sums <= 1e-12))
    return found


def _entropic(
    result: Chapter,
    source: Palette,
    target: Palette,
    cost: Matrix,
    exact: transport.TransportResult,
    seconds: float,
) -> transport.TransportResult:
    a, b, peer = source.shares, target.shares, _pot()
    reg = REG * float(cost.max())
    task = f"the same, entropy {REG:g} of the costs"

    def ours() -> transport.TransportResult:
        return transport.sinkhorn(a, b, cost, reg)

    if peer is None:
        found = ours()
        result.rows.append(Row(task, "POT sinkhorn", missing="POT is not installed"))
    else:
        our_seconds, found, peer_seconds, plan = alternate(
            ours, lambda: _pot_sinkhorn(peer, a, b, cost, reg), seconds=seconds
        )
        best = exact.value
        bound = (found.bracket.upper - found.bracket.lower) / found.value
        result.rows.append(
            Row(
                task,
                "POT sinkhorn",
                our_seconds,
                peer_seconds,
                found.marginal_error,
                bound,
                float(np.abs(plan.sum(axis=1) - a).sum() + np.abs(plan.sum(axis=0) - b).sum()),
                number=plain,
            )
        )
        result.check(
            f"{task}: it costs no less than the optimum", found.value >= best - 1e-9 * best
        )
    low, high = found.bracket
    result.check(
        f"{task}: its bracket [{low:.6f}, {high:.6f}] holds the exact cost {exact.value:.6f}",
        low <= exact.value * (1 + 1e-12) and exact.value <= high * (1 + 1e-12),
    )
    result.check(f"{task}: it is converged", found.converged)
    return found


def _pot_sinkhorn(peer: Any, a: Matrix, b: Matrix, cost: Matrix, reg: float) -> Matrix:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan: Matrix = peer.sinkhorn(a, b, cost, reg, numItermax=10_000)
    return plan


def _emo(
    result: Chapter, prototypes: Matrix, seconds: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The gradients of cross-entropy and of EMO where nothing is known yet and a 3 is right."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(2000, 10)), rng.integers(0, 10, 2000)

    def ours() -> Any:
        return transport.emo_loss(logits, labels, prototypes, return_grad=True).grad

    our_seconds, found, peer_seconds, other = alternate(
        ours, lambda: _emo_gradient(logits, labels, prototypes), seconds=seconds
    )
    exact = _emo_gradient(logits.astype(np.longdouble), labels, prototypes.astype(np.longdouble))
    largest = np.abs(exact).max()
    error, peer_error = (float(np.abs(g - exact).max() / largest) for g in (found, other))
    task = "EMO gradient, 2000 predictions of 10 digits"
    result.rows.append(
        Row(task, "NumPy", our_seconds, peer_seconds, error, None, peer_error, number=plain)
    )
    result.check(f"{task}: it is that of the formula", error <= 1e-14)
    flat = np.zeros((1, 10))
    emo = transport.emo_loss(flat, [3], prototypes, return_grad=True).grad[0]
    entropy = np.full(10, 0.1) - (np.arange(10) == 3)
    return entropy, np.asarray(emo)


def _emo_gradient(logits: Any, labels: NDArray[np.int64], embeddings: Any) -> Any:
    """d/dz sum_i p_i (1 - cos(e_i, e_label)) = p_i (mean cosine - cosine_i), over the mean."""
    e = embeddings / np.sqrt((embeddings**2).sum(axis=1, keepdims=True))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    cosine = e[labels] @ e.T
    mean = (p * cosine).sum(axis=1, keepdims=True)
    return p * (mean - cosine) / len(labels)
