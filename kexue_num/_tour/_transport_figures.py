"""Figures of the transport chapter. Each function returns the file and its caption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kexue_num._tour._style import OURS, PEER, PEER_LIGHT, new_figure, style

Matrix = NDArray[np.float64]


def draw_colours(
    path: Path,
    source: NDArray[np.uint8],
    target: NDArray[np.uint8],
    painted: Sequence[Matrix],
) -> tuple[Path, str]:
    """Draw both photographs and the first with the colours of the second, by both plans."""
    titles = ("a photograph", "another", "its colours, moved exactly", "moved with entropy")
    with style():
        figure = new_figure(11, 2.3)
        axes = figure.subplots(1, 4)
        for axis, image, title in zip(axes, (source, target, *painted), titles, strict=True):
            axis.imshow(image)
            axis.set_title(title)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        figure.savefig(path)
    return path, (
        "The colours of the second photograph given to the first at the least total change, by the "
        "exact plan and by the entropic one, which mixes neighbours and is smoother."
    )


def draw_emo(
    path: Path, prototypes: Matrix, entropy: NDArray[np.float64], emo: NDArray[np.float64]
) -> tuple[Path, str]:
    """Draw how two losses move the scores of ten digits when a 3 is right."""
    with style():
        figure = new_figure(11, 3.2)
        left, right = figure.subplots(1, 2, width_ratios=(2, 1))
        place = np.arange(10)
        for offset, gradient, name, colour in (
            (-0.2, entropy, "cross-entropy", PEER_LIGHT),
            (0.2, emo, "EMO", OURS),
        ):
            left.bar(
                place + offset, -gradient / np.abs(gradient).max(), 0.38, color=colour, label=name
            )
        left.axhline(0, color=PEER, lw=0.8)
        left.set_xticks(place)
        left.set_xlabel("digit")
        left.set_ylabel("push on its score, relative")
        left.set_title("all ten digits equally likely so far; a 3 is right")
        left.legend()
        unit = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
        right.barh(place, unit @ unit[3], color=PEER)
        right.set_yticks(place)
        right.invert_yaxis()
        right.set_title("likeness of the mean images to that of 3")
        figure.savefig(path)
    return path, (
        "Cross-entropy pushes all wrong digits down alike. EMO pushes them by how unlike a 3 they "
        "look: the cosines of the mean images are on the right."
    )
