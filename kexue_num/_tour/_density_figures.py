"""Figures of the density chapter. Each function returns the file and its caption."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kexue_num._tour._style import GRID, INK, OURS, PEER_LIGHT, new_figure, style

if TYPE_CHECKING:
    from kexue_num._tour.density import Measured
    from kexue_num.density import FourierDensity

Vector = NDArray[np.float64]


def draw_ring(
    path: Path, picture: NDArray[np.uint8], found: FourierDensity, hues: Vector
) -> tuple[Path, str]:
    """Draw the photograph and its hues around the circle, in their own colours."""
    from matplotlib.colors import hsv_to_rgb

    with style():
        figure = new_figure(10.4, 4.4)
        left = figure.add_subplot(1, 2, 1)
        left.imshow(picture)
        left.set_axis_off()
        left.set_title("flower.jpg")
        right: Any = figure.add_subplot(1, 2, 2, projection="polar")
        angles = np.linspace(-np.pi, np.pi, 721)
        height = np.sqrt(found.pdf(angles))
        middle = 0.5 * (angles[1:] + angles[:-1])
        colors = hsv_to_rgb(
            np.column_stack([np.mod(middle, 2 * np.pi) / (2 * np.pi), np.full((720, 2), 0.9)])
        )
        right.bar(
            middle, np.sqrt(found.pdf(middle)), width=2 * np.pi / 720, bottom=0.5, color=colors
        )
        counts, edges = np.histogram(hues, bins=90, range=(-np.pi, np.pi), density=True)
        centres = 0.5 * (edges[1:] + edges[:-1])
        right.plot(centres, 0.5 + np.sqrt(counts), ".", color=INK, ms=2.5, label="histogram")
        right.plot(angles, 0.5 + height, color=INK, lw=1.2, label="Fourier density")
        right.set_ylim(0, 0.53 + height.max())
        right.set_title(f"{hues.size} hues, order {found.order_}", y=0.9)
        right.set_yticks([])
        right.set_xticks([])
        right.spines["polar"].set_visible(False)
        right.legend(loc="lower right", bbox_to_anchor=(1.1, 0.02))
        figure.savefig(path)
    return path, (
        "The hues of the photograph as a density on the circle (the distance from the ring is its "
        "square root): no seam, and nowhere negative."
    )


def draw_lines(
    path: Path, measured: list[Measured], found: list[FourierDensity]
) -> tuple[Path, str]:
    """Draw histograms, our densities and kernel estimates."""
    from scipy.stats import gaussian_kde

    with style():
        figure = new_figure(10.4, 3.8)
        for axis, data, density in zip(
            figure.subplots(1, len(measured)), measured, found, strict=True
        ):
            low, high = data.values.min(), data.values.max()
            x = np.linspace(low - 0.08 * (high - low), high + 0.08 * (high - low), 1201)
            axis.hist(data.values, bins=40, density=True, color=GRID)
            kernel = gaussian_kde(data.values)
            axis.plot(x, kernel(x), color=PEER_LIGHT, lw=1.5, label="SciPy gaussian_kde")
            axis.plot(x, density.pdf(x), color=OURS, lw=1.8, label="Fourier density, AIC")
            axis.plot(data.values, np.zeros(data.values.size), "|", color=INK, ms=5, alpha=0.3)
            axis.set_title(f"{data.name}: order {density.order_}, base {density.base_}")
            axis.set_xlabel(data.unit)
            axis.set_yticks([])
            axis.legend(loc="upper right")
        figure.savefig(path)
    return path, "Measurements (ticks), histograms, kernel estimates and certified densities."


def draw_claw(
    path: Path,
    samples: Vector,
    found: FourierDensity,
    truth: Callable[[Vector], Vector],
) -> tuple[Path, str]:
    """Draw a density that is known, its kernel estimate and ours."""
    from scipy.stats import gaussian_kde

    with style():
        figure = new_figure(10.4, 3.8)
        axis = figure.subplots()
        x = np.linspace(-3, 3, 1601)
        axis.fill_between(x, truth(x), color=GRID, label="the truth")
        axis.plot(x, gaussian_kde(samples)(x), color=PEER_LIGHT, lw=1.5, label="SciPy gaussian_kde")
        label = f"Fourier density, order {found.order_}, gap {found.gap_:.0e} nats"
        axis.plot(x, found.pdf(x), color=OURS, lw=1.8, label=label)
        axis.set_title(f"the claw, {samples.size} samples")
        axis.set_yticks([])
        axis.set_xlim(-3, 3)
        axis.set_ylim(0, None)
        axis.legend(loc="upper right")
        figure.savefig(path)
    return path, (
        "The claw of Marron and Wand: a bandwidth that suits its wide bell smooths its fingers "
        "away; a Fourier density holds both, and no other of its order fits the samples better."
    )
