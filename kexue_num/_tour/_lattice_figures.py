"""Figures of the lattice chapter. Each function returns the file and its caption."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kexue_num._tour._style import GRID, INK, OURS, PEER_LIGHT, new_figure, style

if TYPE_CHECKING:
    from kexue_num._tour.lattice import Spelling
    from kexue_num.lattice import UnigramTokenizer

_LEAST_SHOWN = 0.004


def draw_lattice(
    path: Path, tokenizer: UnigramTokenizer, word: str, alphas: tuple[float, ...]
) -> tuple[Path, str]:
    """Draw the pieces of a word as arcs whose width is the probability of their use."""
    letters = [letter if letter != " " else "_" for letter in word]
    with style():
        figure = new_figure(10.4, 3.3 * len(alphas))
        axes: Any = figure.subplots(len(alphas), 1, squeeze=False)[:, 0]
        for axis, alpha in zip(axes, alphas, strict=True):
            found = tokenizer.marginals(word, alpha)
            for begin, end, probability in zip(
                found.starts, found.ends, found.probabilities, strict=True
            ):
                if probability >= _LEAST_SHOWN:
                    _draw_arc(axis, word, int(begin), int(end), float(probability))
            for i, letter in enumerate(letters):
                axis.text(i + 0.5, 0, letter, ha="center", va="center", fontsize=12, color=INK)
            for i in range(len(letters) + 1):
                axis.plot([i, i], [-0.28, 0.28], color=GRID, lw=1.0, zorder=0)
            axis.set_xlim(-0.3, len(letters) + 0.3)
            axis.set_ylim(-0.5, 3.9)
            axis.set_axis_off()
            entropy = tokenizer.entropy(word, alpha)
            axis.set_title(f"alpha = {alpha:g}: entropy {entropy:.2f} nats")
        figure.savefig(path)
    n_paths = tokenizer.lattice(word).count_paths()
    return path, (
        f"The {n_paths} segmentations of \u201c{word.strip()}\u201d: an arc is a piece, its "
        "strength the exact probability that a sample uses it (below 0.4 % it is left out)."
    )


def _draw_arc(axis: Any, word: str, begin: int, end: int, probability: float) -> None:
    middle, half = 0.5 * (begin + end), 0.5 * (end - begin)
    angles = np.linspace(0, np.pi, 60)
    height = 0.45 + 0.42 * half
    strong = probability >= 0.5
    color = OURS if strong else PEER_LIGHT
    axis.plot(
        middle + 0.96 * half * np.cos(angles),
        0.3 + height * np.sin(angles),
        color=color,
        lw=0.6 + 5 * probability,
        alpha=0.35 + 0.65 * probability,
        solid_capstyle="round",
        zorder=2 + probability,
    )
    if probability >= 0.05 and end - begin > 1:
        axis.text(
            middle,
            0.34 + height,
            f"{word[begin:end].replace(' ', '_')} {100 * probability:.0f} %",
            ha="center",
            va="bottom",
            fontsize=7.5,
            color=color if strong else INK,
            zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
        )


def draw_frequencies(path: Path, word: str, spellings: list[Spelling]) -> tuple[Path, str]:
    """Draw exact probabilities of segmentations and the frequencies of samples."""
    with style():
        figure = new_figure(10.4, 4.2)
        left, right = figure.subplots(1, 2, width_ratios=(1.05, 1))
        colors = [PEER_LIGHT, "#7c9a5e", "#d9a441", OURS]
        for spelling, color in zip(spellings, colors, strict=True):
            seen = spelling.drawn > 0
            left.loglog(
                spelling.exact[seen],
                spelling.drawn[seen],
                "o",
                ms=3,
                mew=0,
                alpha=0.5,
                color=color,
                label=f"alpha = {spelling.alpha:g}",
            )
        low = min(float(s.drawn[s.drawn > 0].min()) for s in spellings)
        left.plot([low, 1], [low, 1], color=INK, lw=0.8)
        left.set_xlim(low / 3, 1.2)
        left.set_ylim(low / 1.5, 1.2)
        left.set_xlabel("exact probability of a segmentation")
        left.set_ylabel("frequency among the samples")
        left.legend(loc="upper left", markerscale=2)
        left.set_title("all segmentations")
        best = spellings[1]
        top = np.argsort(-best.exact, kind="stable")[:8][::-1]
        rows = np.arange(len(top))
        right.barh(rows + 0.18, best.exact[top], height=0.34, color=OURS, label="exact")
        right.barh(rows - 0.18, best.drawn[top], height=0.34, color=PEER_LIGHT, label="samples")
        right.set_yticks(rows, [best.pieces[i] for i in top], fontsize=8)
        right.set_xlabel("probability")
        right.legend(loc="lower right")
        right.set_title(f"the likeliest at alpha = {best.alpha:g}")
        figure.savefig(path)
    return path, (
        f"Samples of the segmentations of \u201c{word.strip()}\u201d against their exact "
        "probabilities; the scatter on the left is that of counting."
    )
