"""BytePiece's model: a JSON object from base64(piece) to [id, printable text, count]."""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any

import numpy as np

from kexue_num._validation import Phrase, message
from kexue_num.lattice._model import (
    CONTROL,
    NORMAL,
    SpecialIds,
    UnigramModel,
    check_model,
    read_bytes,
)
from kexue_num.lattice._normalizer import Normalizer, Step

EXPECTED = "must be a JSON object from base64(piece) to [id, text, count]"
CONTROLS = (b"<pad>", b"<bos>", b"<eos>")
_MOST_GAPS = 1000  # ids without a piece
# Counts say scores to about 1e-15 if they are as large as a double can hold exactly.
_LARGEST_COUNT = 2**53


def load(function: str, source: object) -> UnigramModel:
    """Read a model; its ids are kept, those below the pieces' are control pieces."""
    data = read_bytes(function, "model", source)
    try:
        table = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(message(function, "model", EXPECTED, Phrase(str(error)))) from error
    if not isinstance(table, dict) or not table:
        got = Phrase(f"a {type(table).__name__}")
        raise ValueError(message(function, "model", EXPECTED, got))
    entries = [_entry(function, key, value) for key, value in table.items()]
    entries.sort(key=lambda entry: entry[1])
    n_pieces = entries[-1][1] + 1
    if n_pieces > len(entries) + _MOST_GAPS:
        expected = "must have ids without large gaps"
        raise ValueError(message(function, "model", expected, Phrase(f"id {n_pieces - 1}")))
    pieces = [b"<unused%d>" % i for i in range(n_pieces)]
    pieces[: len(CONTROLS)] = CONTROLS[:n_pieces]
    types = np.full(n_pieces, CONTROL, np.uint8)
    counts = np.zeros(n_pieces)
    for piece, number, count in entries:
        if types[number] == NORMAL:
            got = Phrase(f"id {number} twice")
            raise ValueError(message(function, "model", "must have different ids", got))
        pieces[number], types[number], counts[number] = piece, NORMAL, count
    scores = np.zeros(n_pieces)
    normal = types == NORMAL
    scores[normal] = np.log(counts[normal]) - math.log(counts[normal].sum())
    first = entries[0][1]
    special = SpecialIds(pad=0, bos=1, eos=2) if first >= len(CONTROLS) else SpecialIds()
    model = UnigramModel(
        tuple(pieces), scores, types, Normalizer((Step("form", form="NFC"),)), special=special
    )
    return check_model(function, model)


def _entry(function: str, key: str, value: Any) -> tuple[bytes, int, float]:
    wrong = ValueError(message(function, "model", EXPECTED, Phrase(f"the entry {key[:40]!r}")))
    try:
        piece = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError) as error:
        raise wrong from error
    if not piece or not isinstance(value, list) or len(value) != 3:
        raise wrong
    number, _, count = value
    is_integer = type(number) is int and 0 <= number < 2**31
    if not is_integer or type(count) not in (int, float):
        raise wrong
    try:
        amount = float(count)
    except OverflowError as error:
        raise wrong from error
    if not (math.isfinite(amount) and amount > 0):
        raise wrong
    return piece, number, amount


def dump(function: str, model: UnigramModel) -> bytes:
    """Write a model: counts are proportional to exp(score), the largest 2^53."""
    steps = model.normalizer.steps
    fits = not model.normalizer.escape and not model.normalizer.added
    forms = all(step.kind == "form" and step.form == "NFC" for step in steps)
    if not fits or not forms or model.byte_fallback:
        expected = "must be a format that can say how this model normalises"
        got = Phrase("'bytepiece', which knows NFC and nothing else")
        raise ValueError(message(function, "format", expected, got))
    used = np.flatnonzero(model.types == NORMAL)
    single = {model.pieces[i] for i in used if len(model.pieces[i]) == 1}
    if len(single) < 256:
        expected = "must be a format for models without a piece for each byte"
        raise ValueError(message(function, "format", expected, "bytepiece"))
    scores = model.scores[used]
    counts = np.maximum(1, np.rint(np.exp(scores - scores.max()) * _LARGEST_COUNT))
    table = {
        base64.b64encode(model.pieces[i]).decode(): [
            int(i),
            model.pieces[i].decode("utf-8", "ignore"),
            int(count),
        ]
        for i, count in zip(used.tolist(), counts.tolist(), strict=True)
    }
    return json.dumps(table, indent=4, ensure_ascii=False).encode()
