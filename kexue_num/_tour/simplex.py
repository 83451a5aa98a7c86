"""Handwritten digits that attend to each other, and one mixed from the others."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kexue_num import simplex
from kexue_num._tour import _simplex_figures as figures
from kexue_num._tour._report import Chapter, Row, plain
from kexue_num._tour._style import available
from kexue_num._tour._timing import alternate

Matrix = NDArray[np.float64]

# Distances are divided by this part of their median: softmax then spreads over a few dozen digits.
TEMPERATURE = 0.05
INTRODUCTION = (
    "Each of the 1797 handwritten digits of scikit-learn asks all others how alike they are: the "
    "scores are -|x - y|^2 / (0.05 m), m the median squared distance. Softmax gives every digit "
    "some attention; sparsemax and entmax give exactly none to most. The last task mixes one "
    "digit from the others by least squares over the simplex. Errors are the largest of a "
    "probability, against extended precision (for least squares: of the objective, relative); the "
    "bound of the least squares is the Frank-Wolfe gap, which no better mixture can beat."
)


@dataclass(frozen=True)
class Map:
    """A map onto the simplex: ours, the peer's, and the same in extended precision."""

    name: Literal["softmax", "entmax15", "sparsemax"]
    ours: Callable[[Matrix], Matrix]
    peer_name: str
    peer: Callable[[Matrix], Matrix]
    exact: Callable[[Any], Any]


def chapter(out: Path, quick: bool) -> Chapter:
    """Run the area's tasks, draw its figures and check its results."""
    result = Chapter("Simplex: who attends to whom", INTRODUCTION)
    try:
        images, labels = _load_digits()
    except ImportError:
        missing = "scikit-learn is not installed"
        result.rows.append(Row("digits", "SciPy", missing=missing))
        return result
    scores = _scores(images)
    seconds = 0.3 if quick else 1.0
    attention: dict[str, Matrix] = {
        item.name: _compare(result, item, scores, seconds) for item in _maps()
    }
    _entmax_package(result, scores, seconds)
    votes = {name: _accuracy(p, labels) for name, p in attention.items()}
    result.remarks.append(
        "the digits' own labels, weighted by attention, name the asking digit: "
        + ", ".join(f"{name} {100 * vote:.2f} %" for name, vote in votes.items())
    )
    _mixture(result, images, seconds)
    if not available():
        result.remarks.append("matplotlib is not installed: no figures")
        return result
    asking = _most_divided(attention["entmax15"], labels)
    result.figures.append(figures.draw_attention(out / "attention.png", images, asking, attention))
    result.figures.append(figures.draw_supports(out / "supports.png", attention))
    return result


def _load_digits() -> tuple[Matrix, NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    return digits.data, digits.target


def _scores(images: Matrix) -> Matrix:
    squares = np.sum(images**2, axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * images @ images.T, 0)
    scores: Matrix = -distances / (TEMPERATURE * np.median(distances))
    np.fill_diagonal(scores, -np.inf)  # nobody asks itself: a mask
    return scores


def _maps() -> list[Map]:
    scipy_softmax = importlib.import_module("scipy.special").softmax
    return [
        Map("softmax", simplex.softmax, "SciPy", lambda x: scipy_softmax(x, axis=1), _softmax),
        Map("entmax15", simplex.entmax15, "NumPy, sorting", _entmax15, _entmax15),
        Map("sparsemax", simplex.sparsemax, "NumPy, sorting", _sparsemax, _sparsemax),
    ]


def _softmax(x: Any) -> Any:
    p = np.exp(x - x.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def _sparsemax(x: Any) -> Any:
    """The threshold of every prefix of the sorted row; the right one is the largest."""
    z = x - x.max(axis=1, keepdims=True)
    ordered = -np.sort(-np.maximum(z, -2), axis=1)
    counts = np.arange(1, x.shape[1] + 1)
    tau = ((np.cumsum(ordered, axis=1) - 1) / counts).max(axis=1, keepdims=True)
    return np.maximum(z - tau, 0)


def _entmax15(x: Any) -> Any:
    """The roots of the quadratics of every prefix; the support is where they stay below."""
    z = np.maximum((x - x.max(axis=1, keepdims=True)) / 2, -2)
    ordered = -np.sort(-z, axis=1)
    counts = np.arange(1, x.shape[1] + 1)
    mean = np.cumsum(ordered, axis=1) / counts
    variance = np.cumsum(ordered**2, axis=1) / counts - mean**2
    tau = mean - np.sqrt(np.maximum(1 / counts - variance, 0))
    size = (tau <= ordered).sum(axis=1, keepdims=True)
    return np.maximum(z - np.take_along_axis(tau, size - 1, axis=1), 0) ** 2


def _compare(result: Chapter, item: Map, scores: Matrix, seconds: float) -> Matrix:
    our_seconds, ours, peer_seconds, theirs = alternate(
        lambda: item.ours(scores), lambda: item.peer(scores), seconds=seconds
    )
    exact = item.exact(scores.astype(np.longdouble))
    error = float(np.abs(ours - exact).max())
    peer_error = float(np.abs(theirs - exact).max())
    task = f"digits attention, {item.name}"
    result.rows.append(
        Row(task, item.peer_name, our_seconds, peer_seconds, error, None, peer_error, number=plain)
    )
    eps = np.finfo(np.float64).eps
    total = float(np.abs(ours.astype(np.longdouble).sum(axis=1) - 1).max())
    result.check(
        f"{task}: every row sums to 1 within 4 eps ({total / eps:.1f})", total <= 4 * float(eps)
    )
    result.check(
        f"{task}: no probability is negative, and a mask gets exactly none",
        bool((ours >= 0).all()) and bool((np.diagonal(ours) == 0).all()),
    )
    result.check(f"{task}: the error {error:.1e} is at most 4 eps", error <= 4 * float(eps))
    if item.name != "softmax":
        sizes = simplex.threshold(scores, map=item.name).support_size
        result.check(
            f"{task}: the support is that of the exact map",
            np.array_equal(ours > 0, exact > 0) and np.array_equal(sizes, (ours > 0).sum(axis=1)),
        )
    return ours


def _entmax_package(result: Chapter, scores: Matrix, seconds: float) -> None:
    """The package most people use, where it is installed."""
    task = "digits attention, entmax15"
    try:
        torch: Any = importlib.import_module("torch")
        entmax: Any = importlib.import_module("entmax")
    except ImportError:
        result.rows.append(Row(task, "entmax", missing="entmax is not installed"))
        return
    # A finite mask: the package's result for -inf is right, its gradient is not.
    tensor = torch.from_numpy(np.maximum(scores, -1e9))
    our_seconds, ours, peer_seconds, theirs = alternate(
        lambda: simplex.entmax15(scores), lambda: entmax.entmax15(tensor, dim=1), seconds=seconds
    )
    exact = _entmax15(scores.astype(np.longdouble))
    errors = (float(np.abs(p - exact).max()) for p in (ours, theirs.numpy()))
    ours_error, peer_error = errors
    result.rows.append(
        Row(
            task,
            "entmax (torch)",
            our_seconds,
            peer_seconds,
            ours_error,
            None,
            peer_error,
            number=plain,
        )
    )


def _accuracy(p: Matrix, labels: NDArray[np.int64]) -> float:
    return float(((p @ np.eye(10)[labels]).argmax(axis=1) == labels).mean())


def _most_divided(p: Matrix, labels: NDArray[np.int64]) -> int:
    """The digit whose attention is split most evenly between right and wrong labels."""
    votes = p @ np.eye(10)[labels]
    right = votes[np.arange(len(labels)), labels]
    return int(np.argmin(np.abs(right - 0.6)))


def _mixture(result: Chapter, images: Matrix, seconds: float) -> None:
    """Least squares over the simplex: a digit as a mixture of the others."""
    nnls = importlib.import_module("scipy.optimize").nnls
    columns, target = np.delete(images, 0, axis=0).T.copy(), images[0]
    weight = 1e4  # of the row that asks for a sum of one
    rows, right = np.vstack([columns, np.full(columns.shape[1], weight)]), np.append(target, weight)
    our_seconds, ours, peer_seconds, (weights, _) = alternate(
        lambda: simplex.simplex_least_squares(columns, target),
        lambda: nnls(rows, right),
        seconds=seconds,
    )
    theirs = 0.5 * float(np.sum((columns @ (weights / weights.sum()) - target) ** 2))
    # The peer's mixture, put on the simplex, costs at least the minimum.
    task = "a digit mixed from 1796 others"
    row = Row(
        task,
        "SciPy nnls, penalised",
        our_seconds,
        peer_seconds,
        None,
        ours.gap / ours.fun,
        max(0.0, theirs / (ours.fun - ours.gap) - 1),
        number=plain,
    )
    result.rows.append(row)
    result.check(
        f"{task}: the gap {ours.gap:.1e} certifies the objective {ours.fun:.4f}",
        ours.converged and ours.gap <= 1e-10 * ours.fun,
    )
    result.check(f"{task}: the peer finds nothing better", theirs >= ours.fun - ours.gap)
    result.check(
        f"{task}: the weights are on the simplex",
        bool((ours.p >= 0).all()) and abs(float(ours.p.sum()) - 1) <= 1e-14,
    )
