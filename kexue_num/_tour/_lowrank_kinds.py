"""One photograph by every decomposition: its columns, its rows and columns, terms, the SVD."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kexue_num import lowrank
from kexue_num._tour._report import Chapter, Row, duration, percent
from kexue_num._tour._style import INK, OPTIMUM, OURS, PEER, PEER_LIGHT, new_figure, style

Matrix = NDArray[np.float64]

RANK = 80
_SEED = 0


@dataclass(frozen=True)
class Kind:
    """A decomposition of rank k: what it gives and what it says about its error."""

    name: str
    color: str
    decompose: Callable[[int], tuple[Matrix, float]]


def kinds(matrix: Matrix) -> list[Kind]:
    """Return the decompositions of a matrix, the best possible last.

    CR needs a product: the matrix times the cosine basis, times that basis. Its terms are
    orthogonal, so that the largest are the best, and it says its error exactly.
    """
    basis: Matrix = importlib.import_module("scipy.fft").idct(
        np.eye(matrix.shape[1]), axis=0, norm="ortho"
    )
    spectra = matrix @ basis

    def by_columns(k: int) -> tuple[Matrix, float]:
        found = lowrank.interp_decomp(matrix, k, refine="exact", rng=_SEED)
        return found.reconstruct(), found.error_bound

    def by_rows_and_columns(k: int) -> tuple[Matrix, float]:
        found = lowrank.cur(matrix, k, rng=_SEED)
        return found.reconstruct(), found.error_bound

    def by_terms(k: int) -> tuple[Matrix, float]:
        found = lowrank.cr_matmul(spectra, basis.T, k, rng=_SEED)
        kept = np.zeros(matrix.shape[1], bool)
        kept[found.indices] = True
        # The terms left out are orthogonal: their Frobenius norm bounds the spectral norm.
        return found.toarray(), float(np.linalg.norm(spectra[:, ~kept]))

    def by_singular_vectors(k: int) -> tuple[Matrix, float]:
        found = lowrank.truncated_svd(matrix, k, rng=_SEED)
        return found.reconstruct(), found.error_bound

    return [
        Kind("CR, cosines", PEER_LIGHT, by_terms),
        Kind("CUR", PEER, by_rows_and_columns),
        Kind("ID", OURS, by_columns),
        Kind("SVD", OPTIMUM, by_singular_vectors),
    ]


def compare(
    result: Chapter,
    name: str,
    matrix: Matrix,
    spectral_norm: Callable[[Matrix], float],
    *,
    quick: bool,
) -> tuple[list[int], dict[str, Matrix], list[tuple[str, Matrix]]]:
    """Return ranks, errors and bounds by kind (rows), and the matrices of rank `RANK`."""
    ranks = [5, 20, RANK] if quick else [5, 10, 20, 40, RANK, 160]
    norm = spectral_norm(matrix)
    best = np.linalg.svd(matrix, compute_uv=False) / norm
    curves: dict[str, Matrix] = {}
    pictures: list[tuple[str, Matrix]] = []
    for kind in kinds(matrix):
        values = np.empty((2, len(ranks)))
        for place, rank in enumerate(ranks):
            start = time.perf_counter()
            rebuilt, bound = kind.decompose(rank)
            seconds = time.perf_counter() - start
            error = spectral_norm(matrix - rebuilt) / norm
            values[:, place] = error, bound / norm
            if rank == RANK:
                title = f"{kind.name}: {duration(seconds)}, error {percent(error)}"
                pictures.append((title, rebuilt))
                task = f"{name}, {kind.name} of rank {rank}"
                result.rows.append(
                    Row(task, "least error", seconds, None, error, bound / norm, float(best[rank]))
                )
        result.check(
            f"{name}, {kind.name}: every error is within its bound",
            bool(np.all(values[0] <= values[1] * (1 + 1e-9))),
        )
        curves[kind.name] = values
    return ranks, curves, pictures


def draw_pictures(
    path: Path, name: str, images: list[tuple[str, NDArray[np.uint8]]]
) -> tuple[Path, str]:
    """Draw what every kind makes of the photograph."""
    height, width = images[0][1].shape[:2]
    with style():
        figure = new_figure(10.4, 10.4 * height / width + 0.7)
        axes = figure.subplots(2, 2)
        for axis, (title, image) in zip(axes.flat, images, strict=True):
            axis.imshow(image, interpolation="nearest")
            axis.set_title(title)
            axis.set_axis_off()
        figure.savefig(path)
    caption = (
        f"{name} by decompositions of rank {RANK}: the largest of its cosines (CR), its rows and "
        "columns (CUR), its columns (ID), and the best possible (SVD)."
    )
    return path, caption


def draw_bounds(
    path: Path, name: str, ranks: list[int], curves: dict[str, Matrix], matrix: Matrix
) -> tuple[Path, str]:
    """Draw every error with its bound above it."""
    colors = {kind.name: kind.color for kind in kinds(matrix)}
    with style():
        figure = new_figure(7.2, 4.8)
        axes = figure.subplots()
        for kind, (errors, bounds) in curves.items():
            axes.plot(ranks, errors, "-o", ms=4, color=colors[kind], lw=1.8, label=kind)
            axes.plot(ranks, bounds, "--", color=colors[kind], lw=1.0)
        axes.plot([], [], "--", color=INK, lw=1.0, label="bound")
        axes.set(xscale="log", yscale="log", xlabel="rank")
        axes.set_xticks(ranks, [str(rank) for rank in ranks], minor=False)
        axes.set_xticks([], minor=True)
        axes.set_title(f"{name}: errors and their bounds, spectral norm relative to ‖A‖")
        axes.grid(axis="y")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axes.yaxis.set_minor_formatter("")
        axes.legend(loc="lower left")
        figure.savefig(path)
    return path, f"{name}: error (solid) and certified bound (dashed) of every decomposition."
