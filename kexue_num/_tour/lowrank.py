"""Photographs rebuilt from their own columns; a kernel matrix of handwritten digits."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num import interpolative, lowrank
from kexue_num._tour import _lowrank_figures as figures
from kexue_num._tour import _lowrank_kinds as all_kinds
from kexue_num._tour._report import Chapter, Row, duration, percent
from kexue_num._tour._style import available
from kexue_num._tour._timing import alternate

Matrix = NDArray[np.float64]

SEED = 0
COLUMNS = 160
INTRODUCTION = (
    "An interpolative decomposition writes every column of a matrix as a combination of a few of "
    "its own columns. A photograph becomes one matrix by stacking its red, green and blue planes, "
    "so that the same columns serve all colours. The kernel matrix holds "
    "exp(-|x - y|^2 / (32 m)) for the 1797 handwritten digits, m the median squared distance. "
    "Errors are spectral norms relative to the norm of the matrix; the bound is certified to hold "
    "in 999 of 1000 cases, without a look at the exact error."
)


@dataclass(frozen=True)
class Data:
    """A matrix and its spectral norm."""

    name: str
    matrix: Matrix
    norm: float


@dataclass(frozen=True)
class Rebuilt:
    """What one side made of a matrix: the columns it chose and the matrix they give."""

    indices: NDArray[np.int64]
    matrix: Matrix
    error: float


def _scipy_interpolative() -> Any:
    """The peer; untyped, because its results change their length with an argument."""
    return importlib.import_module("scipy.linalg.interpolative")


def chapter(out: Path, quick: bool) -> Chapter:
    """Run the area's tasks, draw its figures and check its results."""
    result = Chapter("Low rank: a matrix from its own columns", INTRODUCTION)
    try:
        images = {name: _load_photograph(name) for name in ("china", "flower")}
        kernel = _digits_kernel()
    except ImportError as error:
        result.rows.append(Row("photographs, digits", "SciPy", missing=_not_there(error)))
        return result
    photographs = {name: _photograph_data(name, image) for name, image in images.items()}

    seconds = 0.5 if quick else 1.5
    pairs = {
        name: _fixed_rank(result, data, COLUMNS, seconds) for name, data in photographs.items()
    }
    _fixed_rank(result, photographs["china"], COLUMNS, seconds, refine="exact")
    _deterministic(result, photographs["flower"], COLUMNS, seconds)
    _fixed_rank(result, kernel, COLUMNS, seconds)
    _singular_vectors(result, photographs["china"], COLUMNS, seconds)
    promises = _fixed_precision(result, photographs, kernel, seconds, quick)
    curve = _error_curve(result, photographs["china"], quick)
    flower = photographs["flower"]
    ranks, curves, pictures = all_kinds.compare(
        result, flower.name, flower.matrix, _spectral_norm, quick=quick
    )

    if not available():
        result.remarks.append("matplotlib is not installed: no figures")
        return result
    for name, (row, ours, peer) in pairs.items():
        result.figures.append(_draw_photograph(out, name, images[name], row, ours, peer))
    result.figures.append(figures.draw_error_curve(out / "error-by-rank.png", *curve))
    shape = images["flower"].shape
    drawn = [(title, _as_image(matrix, shape)) for title, matrix in pictures]
    result.figures.append(all_kinds.draw_pictures(out / "kinds.png", flower.name, drawn))
    result.figures.append(
        all_kinds.draw_bounds(out / "bounds.png", flower.name, ranks, curves, flower.matrix)
    )
    result.figures.append(figures.draw_promises(out / "promises.png", promises))
    return result


def _not_there(error: ImportError) -> str:
    name = {"PIL": "Pillow", "sklearn": "scikit-learn"}.get(error.name or "", "scikit-learn")
    return f"{name} is not installed"


def _load_photograph(name: str) -> NDArray[np.uint8]:
    from sklearn.datasets import load_sample_image

    image: NDArray[np.uint8] = load_sample_image(f"{name}.jpg")
    return image


def _photograph_data(name: str, image: NDArray[np.uint8]) -> Data:
    """Stack the colour planes: (height, width, 3) becomes (3 height, width), values in [0, 1]."""
    matrix = np.vstack([image[:, :, channel] for channel in range(3)]) / 255.0
    return Data(f"{name}.jpg", matrix, _spectral_norm(matrix))


def _digits_kernel() -> Data:
    from sklearn.datasets import load_digits

    x = load_digits().data
    squares = np.sum(x**2, axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0)
    kernel = np.exp(-distances / (32 * np.median(distances)))
    return Data("digits kernel", kernel, _spectral_norm(kernel))


def _spectral_norm(matrix: Matrix) -> float:
    """Return the largest singular value, by Lanczos iterations on A'A with a fixed start."""
    eigsh: Any = importlib.import_module("scipy.sparse.linalg").eigsh

    gram = matrix.T @ matrix
    start = np.random.default_rng(SEED).standard_normal(gram.shape[0])
    largest = eigsh(gram, 1, v0=start, tol=1e-6, return_eigenvectors=False)
    return float(np.sqrt(max(largest[0], 0.0)))


def _rebuild(data: Data, idx: NDArray[np.int64], proj: Matrix) -> Rebuilt:
    """Return what (idx, proj) of SciPy's interface give."""
    rank = proj.shape[0]
    rebuilt = np.empty_like(data.matrix)
    rebuilt[:, idx[:rank]] = data.matrix[:, idx[:rank]]
    rebuilt[:, idx[rank:]] = data.matrix[:, idx[:rank]] @ proj
    error = _spectral_norm(data.matrix - rebuilt) / data.norm
    return Rebuilt(idx[:rank], rebuilt, error)


def _check_decomposition(
    result: Chapter, task: str, data: Data, found: lowrank.InterpolativeDecomposition
) -> Rebuilt:
    """Check everything a decomposition promises; return the matrix it gives."""
    rebuilt = found.reconstruct()
    error = _spectral_norm(data.matrix - rebuilt) / data.norm
    bound = found.error_bound / data.norm
    result.check(
        f"{task}: the error {percent(error)} is within its bound {percent(bound)}", error <= bound
    )
    result.check(
        f"{task}: the coefficients are the identity at the chosen columns, bit for bit",
        np.array_equal(found.coefficients[:, found.indices], np.eye(found.rank)),
    )
    result.check(
        f"{task}: the skeleton holds columns of the matrix, bit for bit",
        np.array_equal(found.skeleton, data.matrix[:, found.indices]),
    )
    largest = float(np.abs(found.coefficients).max(initial=0.0))
    result.check(f"{task}: no coefficient exceeds 2 (the largest is {largest:.2f})", largest <= 2)
    return Rebuilt(found.indices, rebuilt, error)


def _fixed_rank(
    result: Chapter, data: Data, rank: int, seconds: float, refine: str = "auto"
) -> tuple[Row, Rebuilt, Rebuilt]:
    """Compare with SciPy at a given number of columns."""
    scipy_interpolative = _scipy_interpolative()

    task = f"{data.name}, {rank} columns" + (", exact" if refine == "exact" else "")
    our_seconds, found, peer_seconds, (idx, proj) = alternate(
        lambda: lowrank.interp_decomp(data.matrix, rank, refine=refine, rng=SEED),
        lambda: scipy_interpolative.interp_decomp(data.matrix, rank, rng=SEED),
        seconds=seconds,
    )
    ours = _check_decomposition(result, task, data, found)
    peer = _rebuild(data, idx, proj)
    again = lowrank.interp_decomp(data.matrix, rank, refine=refine, rng=SEED, workers=1)
    result.check(
        f"{task}: the same rng gives the same result with one worker",
        np.array_equal(again.indices, found.indices)
        and np.array_equal(again.coefficients, found.coefficients),
    )
    row = Row(
        task,
        "SciPy",
        our_seconds,
        peer_seconds,
        ours.error,
        found.error_bound / data.norm,
        peer.error,
    )
    result.rows.append(row)
    return row, ours, peer


def _deterministic(result: Chapter, data: Data, rank: int, seconds: float) -> None:
    """Compare the drop-in module with the one it stands in for."""
    scipy_interpolative = _scipy_interpolative()

    our_seconds, found, peer_seconds, theirs = alternate(
        lambda: interpolative.interp_decomp(data.matrix, rank, rand=False),
        lambda: scipy_interpolative.interp_decomp(data.matrix, rank, rand=False),
        seconds=seconds,
    )
    task = f"{data.name}, {rank} columns, rand=False"
    ours, peer = _rebuild(data, *found), _rebuild(data, *theirs)
    result.check(
        f"{task}: the error {percent(ours.error)} is at most 1.05 of SciPy's {percent(peer.error)}",
        ours.error <= 1.05 * peer.error,
    )
    result.rows.append(Row(task, "SciPy", our_seconds, peer_seconds, ours.error, None, peer.error))


def _singular_vectors(result: Chapter, data: Data, rank: int, seconds: float) -> None:
    """Put a randomised SVD beside it: the same rank, but no columns of the matrix."""
    task, peer = f"{data.name}, SVD of rank {rank}", "scikit-learn"
    try:
        from sklearn.utils.extmath import randomized_svd
    except ImportError as error:
        result.rows.append(Row(task, peer, missing=_not_there(error)))
        return
    our_seconds, found, peer_seconds, (u, s, vh) = alternate(
        lambda: lowrank.interp_decomp(data.matrix, rank, rng=SEED),
        lambda: randomized_svd(data.matrix, rank, random_state=SEED),
        seconds=seconds,
    )
    result.rows.append(
        Row(
            task,
            peer,
            our_seconds,
            peer_seconds,
            _spectral_norm(data.matrix - found.reconstruct()) / data.norm,
            found.error_bound / data.norm,
            _spectral_norm(data.matrix - (u * s) @ vh) / data.norm,
        )
    )


def _fixed_precision(
    result: Chapter, photographs: dict[str, Data], kernel: Data, seconds: float, quick: bool
) -> list[figures.Promise]:
    """Ask for an error; see who keeps to it."""
    from scipy.sparse.linalg import aslinearoperator

    china, flower = photographs["china"], photographs["flower"]
    operator = aslinearoperator(kernel.matrix)
    tasks: list[tuple[Data, Any, float]] = [
        (china, china.matrix, 0.1),
        (flower, flower.matrix, 0.1),
        (flower, flower.matrix, 0.03),
        (kernel, kernel.matrix, 1e-4),
        (kernel, operator, 1e-3),
        (kernel, operator, 1e-4),
    ]
    if quick:
        tasks = [tasks[0], tasks[4]]
    # SciPy's deterministic path keeps its promise; what that costs belongs into the table.
    _one_precision(result, china, china.matrix, 0.1, seconds, rand=False)
    return [_one_precision(result, *task, seconds) for task in tasks]


def _one_precision(
    result: Chapter, data: Data, matrix: Any, tol: float, seconds: float, *, rand: bool = True
) -> figures.Promise:
    scipy_interpolative = _scipy_interpolative()

    task = f"{data.name}, error {100 * tol:g} %"
    if matrix is not data.matrix:
        task += ", operator"
    our_seconds, found, peer_seconds, (_, idx, proj) = alternate(
        lambda: lowrank.interp_decomp(matrix, tol=tol, rng=SEED),
        lambda: scipy_interpolative.interp_decomp(matrix, tol, rand=rand, rng=SEED),
        seconds=seconds,
    )
    ours = _check_decomposition(result, task, data, found)
    peer = _rebuild(data, idx, proj)
    result.check(f"{task}: the error {percent(ours.error)} is what was asked", ours.error <= tol)
    if peer.error > tol:
        result.remarks.append(
            f"{task}: SciPy's error is {peer.error / tol:.3g} times that, with "
            f"{proj.shape[0]} columns; ours {ours.error / tol:.3g} times, with {found.rank}"
        )
    result.rows.append(
        Row(
            task,
            "SciPy" if rand else "SciPy, rand=False",
            our_seconds,
            peer_seconds,
            ours.error,
            found.error_bound / data.norm,
            peer.error,
        )
    )
    return figures.Promise(task, tol, ours.error, found.rank, peer.error, proj.shape[0])


def _error_curve(
    result: Chapter, data: Data, quick: bool
) -> tuple[str, list[int], dict[str, Matrix]]:
    """Return errors by the number of columns: ours with its certificate, SciPy's, the best."""
    scipy_interpolative = _scipy_interpolative()

    ranks = [5, 20, 60, 150] if quick else [3, 5, 8, 12, 18, 27, 40, 60, 90, 130, 190]
    curves: dict[str, list[float]] = {"error": [], "bound": [], "estimate": [], "peer": []}
    for rank in ranks:
        found = lowrank.interp_decomp(data.matrix, rank, rng=SEED)
        curves["error"].append(_spectral_norm(data.matrix - found.reconstruct()))
        curves["bound"].append(found.error_bound)
        curves["estimate"].append(found.error_estimate)
        idx, proj = scipy_interpolative.interp_decomp(data.matrix, rank, rng=SEED)
        curves["peer"].append(_rebuild(data, idx, proj).error * data.norm)
    singular_values = np.linalg.svd(data.matrix, compute_uv=False)
    curves["best"] = [float(singular_values[rank]) for rank in ranks]
    result.check(
        f"{data.name}, {ranks[0]} to {ranks[-1]} columns: every error is within its bound",
        all(e <= b for e, b in zip(curves["error"], curves["bound"], strict=True)),
    )
    relative = {name: np.array(values) / data.norm for name, values in curves.items()}
    return data.name, ranks, relative


def _draw_photograph(
    out: Path, name: str, image: NDArray[np.uint8], row: Row, ours: Rebuilt, peer: Rebuilt
) -> tuple[Path, str]:
    theirs = f"SciPy: {duration(row.peer_seconds)}, error {percent(row.peer_error)}"
    our = f"kexue_num: {duration(row.seconds)}, error {percent(row.error)}"
    titles = (theirs, f"{our}, certified ≤ {percent(row.bound)}")
    rebuilt = [_as_image(side.matrix, image.shape) for side in (peer, ours)]
    return figures.draw_photograph(
        out / f"{name}.png", f"{name}.jpg", image, ours.indices, rebuilt, titles
    )


def _as_image(matrix: Matrix, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    height = shape[0]
    planes = [matrix[channel * height : (channel + 1) * height] for channel in range(3)]
    image: NDArray[np.uint8] = np.rint(255 * np.dstack(planes).clip(0, 1)).astype(np.uint8)
    return image
