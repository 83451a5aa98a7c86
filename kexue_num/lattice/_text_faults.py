"""Why a text is refused, in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kexue_num._validation import Phrase, message

CLASS = "UnigramTokenizer"
_SURROGATE, _INVALID_UTF8, _UNCOVERED, _NO_TEXT = 1, 2, 3, 4


def as_texts(function: str, texts: object) -> tuple[Any, ...]:
    """The items of any iterable but a text itself."""
    if (
        isinstance(texts, (str, bytes))
        or not isinstance(texts, Iterable)
        or not getattr(texts, "ndim", 1)  # an array without axes
    ):
        got = Phrase(type(texts).__name__)
        raise TypeError(message(function, "texts", "must be a sequence of str or bytes", got))
    return tuple(texts)


def raise_fault(
    function: str, argument: str, items: tuple[Any, ...], fault: tuple[int, int, int]
) -> None:
    """The error for what the core found, if it found anything."""
    kind, item, position = fault
    if not kind:
        return
    text = items[max(item, 0)]
    at = f" of [{item}]" if argument == "texts" else ""
    if kind == _NO_TEXT:
        got = Phrase(type(text).__name__ + (f" at [{item}]" if at else ""))
        raise TypeError(message(function, argument, "must be str or bytes", got))
    if kind == _SURROGATE:
        expected = "must not have lone surrogates"
        reason = message(function, argument, expected, Phrase(f"one at position {position}{at}"))
        raise UnicodeEncodeError("utf-8", text, position, position + 1, reason)
    if kind == _INVALID_UTF8:
        got = Phrase(f"byte {text[position]:#04x} at position {position}{at}")
        raise ValueError(message(function, argument, "must be UTF-8", got))
    shown = text[position : position + 1]
    got = Phrase(f"no piece for {shown!r} at position {position}{at}")
    raise ValueError(message(function, argument, "must be covered by the pieces", got))
