"""What tokenizers return."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, repr=False, eq=False)
class TokenRows:
    """Sequences of ids one after the other: row i is ``ids[offsets[i]:offsets[i + 1]]``.

    ``rows[i]`` is row i, and iterating gives the rows. With `size` samples of each text, sample j
    of text i is row ``i * size + j``, which is ``rows[i, j]`` too.

    Attributes
    ----------
    ids : (total,) int32 ndarray
    offsets : (n_rows + 1,) int64 ndarray
    size : int
        Rows of each text.
    """

    ids: Array
    offsets: Array
    size: int = field(default=1, kw_only=True)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int | tuple[int, int]) -> Array:
        if isinstance(index, tuple):
            i = range(len(self) // max(self.size, 1))[index[0]] * self.size
            i += range(self.size)[index[1]]
        else:
            i = range(len(self))[index]
        return self.ids[self.offsets[i] : self.offsets[i + 1]]

    def __iter__(self) -> Iterator[Array]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_rows={len(self)}, n_ids={len(self.ids)})"

    def lengths(self) -> Array:
        """The number of ids of each row, (n_rows,)."""
        return np.diff(self.offsets)


@dataclass(frozen=True, repr=False, eq=False)
class WeightedTokenRows(TokenRows):
    """Different segmentations of one text, in the order in which they were drawn.

    Attributes
    ----------
    ids, offsets
        As in `TokenRows`.
    log_prob : (n_rows,) float64 ndarray
        log P of each segmentation.
    log_inclusion : (n_rows,) float64 ndarray
        log of the chance that it is in the sample, given the threshold that the best one outside
        sets; see `WeightedPathSamples`.
    """

    log_prob: Array
    log_inclusion: Array


@dataclass(frozen=True, repr=False, eq=False)
class ScoredTokenRows(TokenRows):
    """The best segmentations of each of many texts, those of one text together.

    Attributes
    ----------
    ids, offsets
        As in `TokenRows`.
    scores : (n_rows,) float64 ndarray
        The sum of the scores of the pieces of each row.
    counts : (n_texts,) int64 ndarray
        Rows of each text.
    """

    scores: Array
    counts: Array


@dataclass(frozen=True, repr=False, eq=False)
class TokenEncoding:
    """The tokens of a text and where they come from; unpacks into ids and offsets.

    Attributes
    ----------
    ids : (n,) int32 ndarray
    offsets : (n, 2) int64 ndarray
        Token i was made from ``text[offsets[i, 0]:offsets[i, 1]]``: characters of a str, bytes of
        a bytes object.
    """

    ids: Array
    offsets: Array

    def __iter__(self) -> Iterator[Array]:
        return iter((self.ids, self.offsets))

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"TokenEncoding(n={len(self)})"


@dataclass(frozen=True, repr=False, eq=False)
class ScoredTokens:
    """One segmentation.

    Attributes
    ----------
    ids : (n,) int32 ndarray
    score : float
        The sum of the scores of its pieces.
    """

    ids: Array
    score: float

    def __repr__(self) -> str:
        shown = ", ".join(str(i) for i in self.ids[:6])
        more = ", ..." if len(self.ids) > 6 else ""
        return f"ScoredTokens(ids=[{shown}{more}], score={self.score:.6g})"


@dataclass(frozen=True, repr=False, eq=False)
class TokenMarginals:
    """The probability of each edge of a text's lattice; an array of `probabilities` to NumPy.

    Attributes
    ----------
    starts, ends : (n_edges,) int64 ndarray
        Where the edge lies, in bytes of the normalised text.
    ids : (n_edges,) int32 ndarray
        Its piece; -1 for a character that no piece covers.
    probabilities : (n_edges,) float64 ndarray
        The chance that a segmentation has it.
    """

    starts: Array
    ends: Array
    ids: Array
    probabilities: Array

    def __len__(self) -> int:
        return len(self.ids)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.probabilities, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"TokenMarginals(n_edges={len(self)})"
