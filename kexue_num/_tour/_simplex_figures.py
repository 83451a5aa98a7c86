"""Figures of the simplex chapter. Each function returns the file and its caption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kexue_num._tour._style import INK, OURS, PEER, PEER_LIGHT, new_figure, style

Matrix = NDArray[np.float64]

_SHOWN = 14
_COLORS = {"softmax": PEER, "entmax15": PEER_LIGHT, "sparsemax": OURS}


def draw_attention(
    path: Path, images: Matrix, asking: int, attention: dict[str, Matrix]
) -> tuple[Path, str]:
    """Draw the digits that one digit attends to most, by every map."""
    with style():
        figure = new_figure(11, 3.6)
        axes = figure.subplots(len(attention), _SHOWN + 2)
        for line, (name, p) in zip(axes, attention.items(), strict=True):
            weights = p[asking]
            order = np.argsort(-weights, kind="stable")
            shown = [k for k in order[:_SHOWN] if weights[k] > 0]
            rest = int((weights > 0).sum()) - len(shown)
            line[0].imshow(images[asking].reshape(8, 8), cmap="gray_r")
            line[0].set_ylabel(f"{name}\n{len(shown) + rest} digits", color=_COLORS[name])
            for axis, other in zip(line[1:], shown, strict=False):
                axis.imshow(images[other].reshape(8, 8), cmap="gray_r")
                axis.set_title(f"{100 * weights[other]:.2g} %", fontsize=8, color=INK, loc="center")
            if rest:
                left = 100 * (1 - weights[shown].sum())
                line[-1].text(0, 0.5, f"and {rest}\nmore with\n{left:.0f} %", va="center", size=8)
            for axis in line:
                axis.set_xticks([])
                axis.set_yticks([])
                axis.spines[:].set_visible(axis is line[0])
            for axis in line[len(shown) + 1 : -1]:
                axis.set_visible(False)
        figure.savefig(path)
    return path, (
        "A digit (framed) and those it attends to most, with their shares; where none is shown, "
        "the share is exactly zero."
    )


def draw_supports(path: Path, attention: dict[str, Matrix]) -> tuple[Path, str]:
    """Draw how many digits get attention, and how many it takes to hold 95 % of it."""
    with style():
        figure = new_figure(10.4, 3.6)
        left, right = figure.subplots(1, 2, sharey=True)
        for name, p in attention.items():
            ordered = -np.sort(-p, axis=1)
            needed = (np.cumsum(ordered, axis=1) < 0.95).sum(axis=1) + 1
            for axis, sizes in ((left, (p > 0).sum(axis=1)), (right, needed)):
                values = np.sort(sizes)
                shares = np.arange(1, values.size + 1) / values.size
                axis.step(values, shares, where="post", color=_COLORS[name], label=name, lw=1.8)
        left.set_title("Digits with attention above zero")
        right.set_title("Digits that hold 95 % of it")
        left.set_ylabel("share of the asking digits")
        left.legend(loc="lower right", bbox_to_anchor=(0.97, 0.05))
        for axis in (left, right):
            axis.set_xscale("log")
            axis.set_xlabel("at most so many")
            axis.grid(visible=True)
        figure.savefig(path)
    return path, (
        "Support sizes over all 1797 digits: softmax never gives zero, sparsemax attends to a "
        "handful, entmax15 lies between."
    )
