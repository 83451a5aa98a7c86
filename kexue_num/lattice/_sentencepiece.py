"""sentencepiece's files: the model, a protocol buffer, and the vocabulary, lines of text."""

from __future__ import annotations

import math

import numpy as np

from kexue_num import _core
from kexue_num._validation import Phrase, message
from kexue_num.lattice._model import (
    BYTE,
    BYTE_PIECES,
    CONTROL,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    SpecialIds,
    UnigramModel,
    check_model,
    piece_text,
    read_bytes,
)
from kexue_num.lattice._normalizer import Normalizer, Step, sentencepiece_normalizer

_CONTROL_TEXTS = {b"<s>": "bos", b"</s>": "eos", b"<pad>": "pad"}


def load(function: str, source: object) -> UnigramModel:
    """Read a .model or a .vocab."""
    data = read_bytes(function, "model", source)
    if _is_vocabulary(data):
        return check_model(function, _read_vocabulary(function, data))
    return check_model(function, _read_model(function, data))


def _read_model(function: str, data: bytes) -> UnigramModel:
    expected = "must be a model of sentencepiece"
    try:
        file = _core.lattice.read_model(data)
    except ValueError as error:
        raise ValueError(message(function, "model", expected, Phrase(str(error)))) from error
    if file.model_type != 1:
        kinds = {2: "BPE", 3: "WORD", 4: "CHAR"}
        got = Phrase(f"type {kinds.get(file.model_type, file.model_type)}")
        raise ValueError(message(function, "model", "must be of type UNIGRAM", got))
    pieces, types = file.pieces, np.array(file.types, np.uint8)
    protect = [pieces[i] for i in np.flatnonzero(types == USER_DEFINED)]
    try:
        normalizer = sentencepiece_normalizer(
            file.charsmap,
            name=file.rule_name.decode("utf-8", "replace"),
            add_dummy_prefix=file.add_dummy_prefix,
            remove_extra_whitespaces=file.remove_extra_whitespaces,
            escape_whitespaces=file.escape_whitespaces,
            whitespace_as_suffix=file.whitespace_as_suffix,
            protect=protect,
        )
        normalizer.build()
    except ValueError as error:
        raise ValueError(message(function, "model", expected, Phrase(str(error)))) from error
    unknown = np.flatnonzero(types == UNKNOWN)
    controls = {pieces[i]: int(i) for i in np.flatnonzero(types == CONTROL)}
    special = SpecialIds(
        unk=int(unknown[0]) if unknown.size else -1,
        bos=controls.get(file.bos_piece, -1),
        eos=controls.get(file.eos_piece, -1),
        pad=controls.get(file.pad_piece, -1),
    )
    return UnigramModel(
        pieces=tuple(pieces),
        scores=np.array(file.scores, np.float64),
        types=types,
        normalizer=normalizer,
        byte_fallback=file.byte_fallback,
        special=special,
        unk_surface=file.unk_surface.decode("utf-8", "replace"),
    )


def dump(function: str, model: UnigramModel) -> bytes:
    """Write a .model."""
    rules = _sentencepiece_rules(function, model.normalizer)
    file = _core.lattice.ModelFile()
    with np.errstate(over="ignore"):
        scores = model.scores.astype(np.float32)
    bad = next((p for p in model.pieces if not _is_utf8(p)), None)
    if bad is not None:
        expected = "must be a format for pieces that are no UTF-8 ('bytepiece')"
        raise ValueError(message(function, "format", expected, Phrase(f"piece {bad!r}")))
    file.pieces = list(model.pieces)
    file.scores, file.types = scores.tolist(), model.types.tolist()
    file.byte_fallback = model.byte_fallback
    names = ("unk", "bos", "eos", "pad")
    for name in names:
        number = getattr(model.special, name)
        setattr(file, f"{name}_id", number)
        if number >= 0:
            setattr(file, f"{name}_piece", model.pieces[number])
    file.unk_surface = model.unk_surface.encode()
    file.rule_name, file.charsmap = model.normalizer.name.encode(), rules.rules
    file.add_dummy_prefix = rules.add_dummy_prefix
    file.remove_extra_whitespaces = rules.remove_extra_whitespaces
    file.whitespace_as_suffix = rules.whitespace_as_suffix
    file.escape_whitespaces = model.normalizer.escape
    data = _core.lattice.write_model(file)
    return bytes(data)


def _sentencepiece_rules(function: str, normalizer: Normalizer) -> Step:
    """The chain as one step of sentencepiece's; ValueError if it is none."""
    expected = "must be a format that can say how this model normalises"
    if normalizer.added:
        got = Phrase("'sentencepiece' for a model with added tokens")
        raise ValueError(message(function, "format", expected, got))
    plain = Step("pieces", add_dummy_prefix=False, remove_extra_whitespaces=False)
    if not normalizer.steps:
        return plain
    if len(normalizer.steps) == 1 and normalizer.steps[0].kind == "pieces":
        return normalizer.steps[0]
    steps = list(normalizer.steps)
    rules, joined, stripped, prefix, marked, always = b"", False, False, False, False, False
    if steps and steps[0].kind == "map":
        rules = steps.pop(0).rules
    while steps and steps[0].kind in ("strip", "join"):
        step = steps.pop(0)
        joined |= step.kind == "join" and step.text == " "
        stripped |= step.kind == "strip" and step.left and step.right
    if steps and steps[0].kind == "prepend" and steps[0].text in (" ", "\u2581"):
        prefix = bool(steps.pop(0))
    if steps and steps[0].kind == "mark" and not steps[0].words and steps[0].prefix != "first":
        mark = steps.pop(0)
        marked, always = True, mark.prefix == "always"
        prefix = prefix or always
    # HuggingFace marks no text that begins with a space, sentencepiece every text.
    if steps or joined != stripped or marked != normalizer.escape or (always and not stripped):
        got = Phrase("'sentencepiece' for another chain of steps")
        raise ValueError(message(function, "format", expected, got))
    return Step("pieces", rules=rules, add_dummy_prefix=prefix, remove_extra_whitespaces=joined)


def _is_vocabulary(data: bytes) -> bool:
    first = data.partition(b"\n")[0].rstrip(b"\r")
    _, tab, score = first.rpartition(b"\t")
    return bool(tab) and _number(score) is not None and first[:1] != b"\n"


def _number(text: bytes) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_utf8(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_vocabulary(function: str, data: bytes) -> UnigramModel:
    expected = "must have lines of a piece, a tab and a score"
    pieces: list[bytes] = []
    scores: list[float] = []
    lines = data.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        piece, tab, text = line.rstrip(b"\r").rpartition(b"\t")
        score = _number(text)
        if not tab or score is None or math.isnan(score):
            raise ValueError(message(function, "model", expected, Phrase(f"line {number}")))
        pieces.append(piece)
        scores.append(score)
    known = {piece: i for i, piece in enumerate(pieces)}
    fallback = all(piece in known for piece in BYTE_PIECES)
    types = np.full(len(pieces), NORMAL, np.uint8)
    ids = {name: known.get(text, -1) for text, name in _CONTROL_TEXTS.items()}
    ids["unk"] = known.get(b"<unk>", -1)
    for name, number in ids.items():
        if number >= 0:
            types[number] = UNKNOWN if name == "unk" else CONTROL
    if fallback:
        types[[known[piece] for piece in BYTE_PIECES]] = BYTE
    return UnigramModel(
        pieces=tuple(pieces),
        scores=np.array(scores, np.float64),
        types=types,
        normalizer=sentencepiece_normalizer(b""),
        byte_fallback=fallback,
        special=SpecialIds(**ids),
    )


def dump_vocabulary(function: str, model: UnigramModel) -> bytes:
    """Write a .vocab."""
    lines = []
    for piece, score in zip(model.pieces, model.scores.tolist(), strict=True):
        if b"\n" in piece or b"\r" in piece:
            expected = "must be a format for pieces with line breaks"
            got = Phrase(f"'vocab' with piece {piece_text(piece)!r}")
            raise ValueError(message(function, "format", expected, got))
        lines.append(piece + b"\t" + f"{score:.9g}".encode() + b"\n")
    return b"".join(lines)
