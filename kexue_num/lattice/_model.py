"""What a model file holds, whichever its format."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num._validation import Phrase, describe, message
from kexue_num.lattice._normalizer import FIRST_ADDED, MARK, Normalizer

Array = NDArray[Any]

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
BYTE_PIECES = tuple(b"<0x%02X>" % byte for byte in range(256))
LARGEST_FILE = 2**31 - 1  # a protocol buffer is never larger


@dataclass(frozen=True)
class SpecialIds:
    """The numbers of the special pieces, -1 for those that are missing."""

    unk: int = -1
    bos: int = -1
    eos: int = -1
    pad: int = -1


@dataclass(frozen=True, repr=False, eq=False)
class UnigramModel:
    """The pieces of a unigram model and what surrounds them.

    Attributes
    ----------
    pieces : tuple of bytes
        As the file writes them, with U+2581 for the space if `normalizer.escape`.
    scores : (n,) float64 ndarray
    types : (n,) uint8 ndarray
        The numbers of sentencepiece: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused,
        6 byte.
    normalizer : Normalizer
    byte_fallback : bool
        Unknown characters become the pieces <0x00> .. <0xFF> of their bytes.
    unknown_score : float or None
        None: 10 below the lowest score of a normal piece.
    special : SpecialIds
    unk_surface : str
        What an unknown piece is decoded to.
    split_marks : bool
        No piece matches across a mark: each word is segmented by itself.
    """

    pieces: tuple[bytes, ...]
    scores: Array
    types: Array
    normalizer: Normalizer = field(default_factory=Normalizer)
    byte_fallback: bool = False
    unknown_score: float | None = None
    special: SpecialIds = field(default_factory=SpecialIds)
    unk_surface: str = " \u2047 "
    split_marks: bool = False

    def __repr__(self) -> str:
        return f"UnigramModel(n_pieces={len(self.pieces)}, normalizer={self.normalizer.name!r})"

    @property
    def core(self) -> Any:
        """The core's normaliser, None if there is nothing to do."""
        plain = self.normalizer
        return plain.core if plain.steps or plain.added else None

    def matched_texts(self) -> list[bytes]:
        """The texts for segmentation: an added token is the character that stands for it."""
        texts = list(self.pieces)
        for place, token in enumerate(self.normalizer.added):
            texts[token.id] = chr(FIRST_ADDED + place).encode()
        return texts

    def matched_scores(self) -> Array:
        """The scores for segmentation: an added token is certain."""
        scores = self.scores.copy()
        scores[[token.id for token in self.normalizer.added]] = 0
        return scores

    def matched_types(self) -> Array:
        """The types for segmentation: pieces that no normalised text can hold are unused."""
        types = self.types.copy()
        if self.normalizer.escape:
            for i, piece in enumerate(self.pieces):
                inner = self.split_marks and MARK in piece[1:]
                if types[i] in (NORMAL, USER_DEFINED) and (b" " in piece or inner):
                    types[i] = UNUSED
        if not self.byte_fallback:
            types[types == BYTE] = UNUSED
        unknown = types == UNKNOWN
        types[[token.id for token in self.normalizer.added]] = NORMAL
        types[unknown] = UNKNOWN
        return types


def check_model(function: str, model: UnigramModel) -> UnigramModel:
    """The model if its pieces make sense; ValueError otherwise."""
    scores, types = model.scores, model.types
    matched = (types == NORMAL) | (types == USER_DEFINED)
    wrong = np.flatnonzero(matched & (np.isnan(scores) | (scores == np.inf)))
    if wrong.size:
        got = Phrase(f"{describe(float(scores[wrong[0]]))} for piece {wrong[0]}")
        raise ValueError(message(function, "model", "must have finite scores", got))
    seen: dict[bytes, int] = {}
    for i in np.flatnonzero((types == NORMAL) | (types == USER_DEFINED) | (types == UNUSED)):
        piece = model.pieces[i]
        if not piece:
            got = Phrase(f"an empty piece {i}")
            raise ValueError(message(function, "model", "must have pieces with text", got))
        first = seen.setdefault(piece, int(i))
        if first != i:
            got = Phrase(f"{describe(piece)} as pieces {first} and {i}")
            raise ValueError(message(function, "model", "must have different pieces", got))
    unknown = np.flatnonzero(types == UNKNOWN)
    if unknown.size > 1:
        got = Phrase(f"pieces {unknown[0]} and {unknown[1]}")
        raise ValueError(message(function, "model", "must have at most one unknown piece", got))
    missing = set(BYTE_PIECES) - {model.pieces[i] for i in np.flatnonzero(types == BYTE)}
    if model.byte_fallback and missing:
        got = Phrase(f"none for {min(missing).decode()}")
        raise ValueError(message(function, "model", "must have a piece for each byte", got))
    return model


def read_bytes(function: str, argument: str, value: object) -> bytes:
    """The content of a file, or the bytes themselves."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(message(function, argument, "must be a path or bytes", value))
    path = Path(value)
    if path.is_dir():
        raise ValueError(message(function, argument, "must be a file", Phrase(f"folder {path}")))
    return path.read_bytes()


def refuse(function: str, argument: str, expected: str, error: Exception) -> ValueError:
    """The error about a file that cannot be read."""
    return ValueError(message(function, argument, expected, Phrase(f"one of which {error}")))


def piece_text(piece: bytes) -> str:
    """A piece for people: bytes that are no UTF-8 as escapes."""
    return piece.decode("utf-8", "backslashreplace")
