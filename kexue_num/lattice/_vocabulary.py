"""The pieces of a tokenizer, as callers give them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kexue_num._validation import Phrase, check_choice, check_real, message
from kexue_num.lattice._inputs import Array, as_scores

SPACE_MARK = "\N{LOWER ONE EIGHTH BLOCK}"
# The numbers of sentencepiece's model files.
TYPES = {"normal": 1, "unknown": 2, "control": 3, "user_defined": 4, "unused": 5, "byte": 6}
BOUNDARIES = ("byte", "unicode")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Checked pieces."""

    pieces: list[str | bytes]
    texts: list[bytes]
    scores: Array
    types: Array
    space_mark: bool
    unknown_score: float | None


def as_vocabulary(
    function: str,
    pieces: object,
    scores: object,
    types: object = None,
    space_mark: object = None,
    unknown_score: object = None,
) -> Vocabulary:
    """ValueError or TypeError naming the first piece that is wrong."""
    expected = "must be a sequence of str or bytes"
    if isinstance(pieces, (str, bytes)):
        raise TypeError(message(function, "pieces", expected, pieces))
    try:
        listed = list(pieces)  # type: ignore[call-overload]
    except TypeError as error:
        raise TypeError(message(function, "pieces", expected, pieces)) from error
    for i, piece in enumerate(listed):
        if not isinstance(piece, (str, bytes)):
            got = Phrase(f"{type(piece).__name__} at [{i}]")
            raise TypeError(message(function, "pieces", "must be str or bytes", got))
    texts = [piece.encode() if isinstance(piece, str) else bytes(piece) for piece in listed]
    values = as_scores(function, "scores", scores).copy()
    if len(values) != len(texts):
        expected = f"must have one score for each of {len(texts)} pieces"
        raise ValueError(message(function, "scores", expected, Phrase(str(len(values)))))
    values.flags.writeable = False
    kinds = _as_types(function, types, len(texts))
    marked = _has_space_mark(function, space_mark, texts, kinds)
    _require_distinct(function, listed, texts, kinds, marked)
    _require_bytes(function, texts, kinds)
    if unknown_score is not None:
        unknown_score = check_real(function, "unknown_score", unknown_score)
    return Vocabulary(listed, texts, values, kinds, marked, unknown_score)


def _as_types(function: str, types: object, n_pieces: int) -> Array:
    if types is None:
        return np.full(n_pieces, TYPES["normal"], np.uint8)
    names = list(types)  # type: ignore[call-overload]
    if len(names) != n_pieces:
        expected = f"must have one type for each of {n_pieces} pieces"
        raise ValueError(message(function, "types", expected, Phrase(str(len(names)))))
    kinds = np.array([TYPES[check_choice(function, "types", n, TYPES)] for n in names], np.uint8)
    if (kinds == TYPES["unknown"]).sum() > 1:
        got = Phrase(f"{(kinds == TYPES['unknown']).sum()}")
        raise ValueError(message(function, "types", "must have at most one 'unknown'", got))
    return kinds


def _has_space_mark(function: str, space_mark: object, texts: list[bytes], kinds: Array) -> bool:
    if isinstance(space_mark, bool):
        return space_mark
    if space_mark is not None:
        raise TypeError(message(function, "space_mark", "must be a bool or None", space_mark))
    matched = [text for text, kind in zip(texts, kinds, strict=True) if kind in (1, 4)]
    mark = SPACE_MARK.encode()
    return any(mark in text for text in matched) and not any(b" " in text for text in matched)


def _require_distinct(
    function: str, pieces: list[Any], texts: list[bytes], kinds: Array, marked: bool
) -> None:
    seen: dict[bytes, int] = {}
    for i, text in enumerate(texts):
        if kinds[i] not in (1, 4):
            continue
        if not text:
            got = Phrase(f"an empty piece at [{i}]")
            raise ValueError(message(function, "pieces", "must not be empty", got))
        key = text.replace(SPACE_MARK.encode(), b" ") if marked else text
        if key in seen:
            got = Phrase(f"{pieces[i]!r} at [{seen[key]}] and [{i}]")
            raise ValueError(message(function, "pieces", "must differ", got))
        seen[key] = i


def _require_bytes(function: str, texts: list[bytes], kinds: Array) -> None:
    for i in np.flatnonzero(kinds == TYPES["byte"]):
        text = texts[i]
        try:
            named = b"<0x%02X>" % int(text[3:5], 16)
        except ValueError:
            named = b""
        if named != text:
            got = Phrase(f"{text!r} at [{i}]")
            expected = "must be named <0x00> .. <0xFF> where the type is 'byte'"
            raise ValueError(message(function, "pieces", expected, got))
