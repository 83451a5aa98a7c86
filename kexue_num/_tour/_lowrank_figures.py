"""Figures of the low-rank chapter. Each function returns the file and its caption."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num._tour._style import GRID, INK, OPTIMUM, OURS, PEER, new_figure, style


@dataclass(frozen=True)
class Promise:
    """A requested relative error and what both sides made of it."""

    task: str
    tol: float
    error: float
    rank: int
    peer_error: float
    peer_rank: int


def draw_photograph(
    path: Path,
    name: str,
    image: NDArray[np.uint8],
    columns: NDArray[np.int64],
    rebuilt: list[NDArray[np.uint8]],
    titles: tuple[str, str],
) -> tuple[Path, str]:
    """Draw original, kept columns, and both rebuilt pictures."""
    height, width = image.shape[:2]
    kept = np.full_like(image, 30)
    kept[:, columns] = image[:, columns]
    panels: list[tuple[str, NDArray[np.uint8]]] = [
        (f"{name}, {width} columns", image),
        (f"The {columns.size} columns kexue_num keeps", kept),
        *zip(titles, rebuilt, strict=True),
    ]
    with style():
        figure = new_figure(10.4, 10.4 * 1.05 * height / width + 0.7)
        axes = figure.subplots(2, 2)
        for axis, (title, panel) in zip(axes.flat, panels, strict=True):
            axis.imshow(panel, interpolation="nearest")
            axis.set_title(title, color=OURS if title.startswith("kexue") else INK)
            axis.set_axis_off()
            axis.set_ylim(height, -0.05 * height)
        _mark_columns(axes[0, 0], columns, height)
        figure.savefig(path)
    caption = (
        f"{name} from {columns.size} of its {width} columns; the marks above the original show "
        "which, and every other column is a combination of them."
    )
    return path, caption


def _mark_columns(axis: Any, columns: NDArray[np.int64], height: int) -> None:
    """Put a tick above every chosen column."""
    axis.vlines(columns, -0.045 * height, -0.015 * height, color=OURS, lw=0.8)


def draw_error_curve(
    path: Path, name: str, ranks: list[int], curves: dict[str, NDArray[np.float64]]
) -> tuple[Path, str]:
    """Draw the error by the number of columns, between the best possible and the bound."""
    with style():
        figure = new_figure(7.2, 4.6)
        axes = figure.subplots()
        axes.fill_between(ranks, curves["error"], curves["bound"], color=OURS, alpha=0.10, lw=0)
        lines = [
            ("bound", OURS, "-", 1.0, "certified bound"),
            ("error", OURS, "-", 2.4, "kexue_num"),
            ("estimate", OURS, ":", 1.4, "its own estimate"),
            ("peer", PEER, "-", 1.6, "SciPy"),
            ("best", OPTIMUM, "-", 1.6, "best of any rank, σₖ₊₁"),
        ]
        for key, color, dashes, width, label in lines:
            axes.plot(ranks, curves[key], dashes, color=color, lw=width, label=label)
        axes.set(xscale="log", yscale="log", xlabel="columns kept, k")
        axes.set_xticks(ranks, [str(rank) for rank in ranks], minor=False)
        axes.set_xticks([], minor=True)
        axes.set_title(f"{name}: error of k columns in the spectral norm, relative to ‖A‖")
        axes.grid(axis="y")
        axes.yaxis.set_major_formatter(_as_percent)
        axes.yaxis.set_minor_formatter("")
        axes.legend(loc="lower left")
        figure.savefig(path)
    return path, f"{name}: error, certificate and optimum by the number of columns kept."


def _as_percent(value: float, _: int) -> str:
    return f"{100 * value:g} %"


def draw_promises(path: Path, promises: list[Promise]) -> tuple[Path, str]:
    """Draw the achieved error over the requested one: left of the line, the promise is kept."""
    with style():
        figure = new_figure(7.8, 1.3 + 0.46 * len(promises))
        axes = figure.subplots()
        rows = np.arange(len(promises))
        sides = (
            ("SciPy", PEER, [(p.peer_error / p.tol, p.peer_rank) for p in promises]),
            ("kexue_num", OURS, [(p.error / p.tol, p.rank) for p in promises]),
        )
        for name, color, points in sides:
            ratios = [ratio for ratio, _ in points]
            axes.plot(ratios, rows, "o", ms=8, color=color, mec="white", label=name)
        axes.axvline(1, color=INK, lw=1)
        axes.set(xscale="log", ylim=(len(promises) - 0.4, -0.7))
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, 0.1), max(high, 10.0))
        axes.axvspan(1, axes.get_xlim()[1], color=GRID, alpha=0.5, lw=0, zorder=0)
        axes.set_yticks(rows, [p.task for p in promises])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("error achieved / error asked for")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        for ratios, ranks, color in (
            ([p.peer_error / p.tol for p in promises], [p.peer_rank for p in promises], PEER),
            ([p.error / p.tol for p in promises], [p.rank for p in promises], OURS),
        ):
            for row, (ratio, rank) in enumerate(zip(ratios, ranks, strict=True)):
                axes.annotate(
                    f"{rank} columns" if rank > 1 else "1 column",
                    (ratio, row),
                    (0, -14),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                    color=color,
                )
        axes.annotate("kept", (1, -0.45), (-6, 0), textcoords="offset points", ha="right")
        axes.annotate("broken", (1, -0.45), (6, 0), textcoords="offset points")
        figure.legend(loc="outside upper center", ncols=2)
        figure.savefig(path)
    return path, "Fixed precision: the error achieved over the error asked for."
