"""HuggingFace's tokenizer.json of type Unigram."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import replace
from typing import Any

import numpy as np

from kexue_num._validation import Phrase, message
from kexue_num.lattice import _rules
from kexue_num.lattice._model import (
    BYTE,
    BYTE_PIECES,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    SpecialIds,
    UnigramModel,
    check_model,
    piece_text,
    read_bytes,
)
from kexue_num.lattice._normalizer import MARK, MOST_ADDED, AddedToken, Normalizer, Step

Json = Any
_MOST_ADDED = 1_000_000  # ids beyond the vocabulary
_JOINED = " {2,}"
_ENDS = r"\A +| +\z"
_DEEPEST = 50  # nested sequences


class _Reader:
    """Reads one file; every complaint names the function and the element."""

    def __init__(self, function: str) -> None:
        self.function = function

    def wrong(self, expected: str, got: str) -> ValueError:
        return ValueError(message(self.function, "tokenizer", expected, Phrase(got)))

    def unsupported(self, kind: str, element: object) -> ValueError:
        return self.wrong(f"must have a {kind} that is supported", str(element)[:80])

    def get(self, table: Json, name: str, kind: type | tuple[type, ...], default: Json) -> Json:
        value = table.get(name, default)
        if value is default or isinstance(value, kind):
            return value
        raise self.wrong(f"must have a proper '{name}'", repr(value)[:60])

    def normalizer(self, element: Json, depth: int = 0) -> list[Step]:
        if element is None:
            return []
        if not isinstance(element, dict) or depth > _DEEPEST:
            raise self.unsupported("normalizer", element)
        kind = element.get("type")
        if kind == "Sequence":
            parts = self.get(element, "normalizers", list, [])
            return [step for part in parts for step in self.normalizer(part, depth + 1)]
        if kind == "Precompiled":
            text = self.get(element, "precompiled_charsmap", str, "") or ""
            try:
                step = Step("map", rules=base64.b64decode(text, validate=True))
                step.build()
            except (binascii.Error, ValueError) as error:
                raise self.wrong("must have a map of characters", str(error)) from error
            return [step]
        if kind in ("NFC", "NFD", "NFKC", "NFKD"):
            return [Step("form", form=kind)]
        maps = {
            "Lowercase": _rules.lowercase_map,
            "StripAccents": _rules.strip_accents_map,
            "Nmt": _rules.nmt_map,
        }
        if isinstance(kind, str) and kind in maps:
            return [Step("map", rules=maps[kind]())]
        if kind == "Strip":
            left = self.get(element, "strip_left", bool, True)
            right = self.get(element, "strip_right", bool, True)
            return [Step("strip", left=left, right=right)]
        if kind == "Prepend":
            return [Step("prepend", text=self.get(element, "prepend", str, ""))]
        if kind == "Replace":
            return [self.replacement(element)]
        raise self.unsupported("normalizer", kind)

    def replacement(self, element: Json) -> Step:
        pattern = self.get(element, "pattern", dict, {})
        content = self.get(element, "content", str, "")
        if pattern.get("Regex") == _JOINED:
            return Step("join", text=content)
        if pattern.get("Regex") == _ENDS and not content:
            return Step("strip", text=" ", left=True, right=True)
        text = pattern.get("String")
        if text == " " and content == "\u2581":
            return Step("mark", prefix="never")
        if not isinstance(text, str) or not text:
            raise self.unsupported("pattern of Replace", pattern)
        try:
            return Step("map", rules=_rules.build_map({text: content}))
        except ValueError as error:
            raise self.wrong("must have a proper Replace", str(error)) from error

    def pre_tokenizer(self, element: Json, depth: int = 0) -> list[Json]:
        """The elements in order, without the sequences around them."""
        if element is None:
            return []
        if not isinstance(element, dict) or depth > _DEEPEST:
            raise self.unsupported("pre_tokenizer", element)
        kind = element.get("type")
        if kind == "Sequence":
            parts = self.get(element, "pretokenizers", list, [])
            return [found for part in parts for found in self.pre_tokenizer(part, depth + 1)]
        if kind not in ("Metaspace", "WhitespaceSplit"):
            raise self.unsupported("pre_tokenizer", kind)
        return [element]

    def mark(self, element: Json) -> tuple[list[Step], bool]:
        """The step of the pre-tokenizer, and whether it splits at marks."""
        elements = self.pre_tokenizer(element)
        kinds = [part["type"] for part in elements]
        if not kinds:
            return [], False
        if kinds not in (["Metaspace"], ["WhitespaceSplit", "Metaspace"]):
            raise self.unsupported("pre_tokenizer", " + ".join(kinds))
        last = elements[-1]
        if self.get(last, "replacement", str, "\u2581") != "\u2581":
            raise self.unsupported("replacement of Metaspace", last["replacement"])
        scheme = last.get("prepend_scheme")
        if scheme is None:
            scheme = "always" if self.get(last, "add_prefix_space", bool, True) else "never"
        if scheme not in ("always", "first", "never"):
            raise self.unsupported("prepend_scheme", scheme)
        words = len(kinds) == 2
        splits = words or self.get(last, "split", bool, True)
        return [Step("mark", prefix=scheme, words=words)], splits

    def added(self, elements: Json) -> list[AddedToken]:
        if not isinstance(elements, list):
            raise self.wrong("must have a list of added_tokens", repr(elements)[:60])
        found: list[AddedToken] = []
        for element in elements:
            if not isinstance(element, dict):
                raise self.wrong("must have proper added_tokens", repr(element)[:60])
            text, number = element.get("content"), element.get("id")
            if not isinstance(text, str) or type(number) is not int or number < 0:
                raise self.wrong("must have proper added_tokens", repr(element)[:60])
            if element.get("single_word"):
                raise self.unsupported("setting of added_tokens", "single_word")
            left, right, normalized, special = (
                bool(element.get(name)) for name in ("lstrip", "rstrip", "normalized", "special")
            )
            if len(found) == MOST_ADDED:
                raise self.wrong(f"must have at most {MOST_ADDED} added_tokens", "more")
            if text:
                found.append(AddedToken(text, number, left, right, normalized, special))
        return found

    def vocabulary(self, model: Json) -> tuple[list[bytes], list[float]]:
        entries = model.get("vocab")
        expected = "must have a vocab of [piece, score]"
        if not isinstance(entries, list) or not entries:
            raise self.wrong(expected, repr(entries)[:60])
        pieces, scores = [], []
        for entry in entries:
            if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
                raise self.wrong(expected, repr(entry)[:60])
            if type(entry[1]) not in (int, float) or not abs(entry[1]) < 1e300:
                raise self.wrong(expected, repr(entry)[:60])
            try:
                pieces.append(entry[0].encode())
            except UnicodeEncodeError as error:
                raise self.wrong("must have pieces without surrogates", repr(entry)[:60]) from error
            scores.append(float(entry[1]))
        return pieces, scores


def load(function: str, source: object) -> UnigramModel:
    """Read a tokenizer.json from a path or from its own text."""
    reader = _Reader(function)
    is_text = isinstance(source, str) and source.lstrip()[:1] == "{"
    text: Any = source if is_text else read_bytes(function, "tokenizer", source)
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise reader.wrong("must be JSON", str(error)[:80]) from error
    model = table.get("model") if isinstance(table, dict) else None
    if not isinstance(model, dict):
        raise reader.wrong("must have a model", "none")
    if model.get("type", "Unigram" if "unk_id" in model else None) != "Unigram":
        raise reader.wrong("must have a model of type 'Unigram'", repr(model.get("type")))
    try:
        return check_model(function, _assemble(reader, table, model))
    except UnicodeEncodeError as error:
        raise reader.wrong("must be free of surrogates", str(error)[:80]) from error


def _assemble(reader: _Reader, table: Json, model: Json) -> UnigramModel:
    pieces, scores = reader.vocabulary(model)
    n_vocabulary = len(pieces)
    unknown_id = reader.get(model, "unk_id", int, None)
    if unknown_id is not None and not 0 <= unknown_id < n_vocabulary:
        raise reader.wrong("must have an unk_id of the vocab", repr(unknown_id))
    steps = reader.normalizer(table.get("normalizer"))
    mark, splits = reader.mark(table.get("pre_tokenizer"))
    marks = [i for i, step in enumerate(steps) if step.kind == "mark"]
    if marks and (mark or marks != [len(steps) - 1]):
        raise reader.unsupported("normalizer", "Replace of spaces before another element")
    chain = (*steps, *mark)
    drops = int(_strips_leading(table.get("decoder")))
    escape = bool(mark or marks)
    added = reader.added(table.get("added_tokens") or [])
    n_pieces = max([n_vocabulary, *(token.id + 1 for token in added)])
    if n_pieces > n_vocabulary + _MOST_ADDED:
        raise reader.wrong("must have ids near the vocab's", f"id {n_pieces - 1}")
    pieces += [b"<unused%d>" % i for i in range(n_vocabulary, n_pieces)]
    types = np.full(n_pieces, NORMAL, np.uint8)
    types[n_vocabulary:] = CONTROL
    fallback = bool(model.get("byte_fallback"))
    known = {piece: i for i, piece in enumerate(pieces)}
    fallback = fallback and all(piece in known for piece in BYTE_PIECES)
    if fallback:
        types[[known[piece] for piece in BYTE_PIECES]] = BYTE
    for token in added:
        text = token.text.encode()
        if token.id >= n_vocabulary:
            pieces[token.id] = text
        elif pieces[token.id] != text:
            raise reader.wrong("must have added_tokens that agree with the vocab", repr(token.text))
        types[token.id] = CONTROL if token.special else UNUSED
    if unknown_id is not None:
        types[unknown_id] = UNKNOWN
    all_scores = np.zeros(n_pieces)
    all_scores[:n_vocabulary] = scores
    ids = {text: known.get(text, -1) for text in (b"<s>", b"</s>", b"<pad>")}
    return UnigramModel(
        pieces=tuple(pieces),
        scores=all_scores,
        types=types,
        normalizer=Normalizer(chain, escape, "huggingface", (), tuple(added), drops),
        byte_fallback=fallback,
        unknown_score=min(scores) - 10,
        special=SpecialIds(
            unk=-1 if unknown_id is None else unknown_id,
            bos=ids[b"<s>"],
            eos=ids[b"</s>"],
            pad=ids[b"<pad>"],
        ),
        unk_surface="" if unknown_id is None else pieces[unknown_id].decode(),
        split_marks=splits,
    )


def _strips_leading(decoder: Json, depth: int = 0) -> bool:
    """Whether the decoder drops a space in front."""
    if not isinstance(decoder, dict) or depth > _DEEPEST:
        return False
    kind = decoder.get("type")
    if kind == "Sequence":
        parts = decoder.get("decoders")
        inner = parts if isinstance(parts, list) else []
        return any(_strips_leading(part, depth + 1) for part in inner)
    if kind == "Metaspace":
        scheme = decoder.get("prepend_scheme")
        return scheme != "never" if scheme else decoder.get("add_prefix_space", True) is True
    return kind == "Strip" and decoder.get("start") == 1


def dump(function: str, model: UnigramModel) -> bytes:
    """Write a tokenizer.json."""
    if any(not _is_text(piece) for piece in model.pieces):
        expected = "must be a format for pieces that are no UTF-8 ('bytepiece')"
        raise ValueError(message(function, "format", expected, "huggingface"))
    normalizers: list[Json] = []
    mark: Json = None
    for step in model.normalizer.steps:
        normalizers += _elements(function, step)
        if step.kind == "mark":
            mark = _metaspace(step.prefix, model.split_marks)
            if step.words:
                parts = [{"type": "WhitespaceSplit"}, mark]
                mark = {"type": "Sequence", "pretokenizers": parts}
    if model.normalizer.escape and mark is None:
        mark = _metaspace("never", False)
    unknown = np.flatnonzero(model.types == UNKNOWN)
    n_vocabulary = len(model.pieces)
    scores = _plain_scores(function, model)
    added = [_added_element(token) for token in model.normalizer.added]
    if not model.normalizer.added:
        for i in np.flatnonzero(np.isin(model.types, (UNKNOWN, CONTROL))).tolist():
            token = AddedToken(model.pieces[i].decode(), i, special=True)
            added.append(_added_element(token))
    decoder = None
    if model.normalizer.escape:
        decoder = _metaspace("always" if model.normalizer.drops else "never", model.split_marks)
        if model.byte_fallback:
            decoders = [{"type": "ByteFallback"}, decoder]
            decoder = {"type": "Sequence", "decoders": decoders}
    table = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": normalizers} if normalizers else None,
        "pre_tokenizer": mark,
        "post_processor": None,
        "decoder": decoder,
        "model": {
            "type": "Unigram",
            "unk_id": int(unknown[0]) if unknown.size else None,
            "vocab": [[model.pieces[i].decode(), scores[i]] for i in range(n_vocabulary)],
            "byte_fallback": model.byte_fallback,
        },
    }
    return json.dumps(table, ensure_ascii=False, indent=1).encode()


def _plain_scores(function: str, model: UnigramModel) -> list[float]:
    """The scores with those of user-defined pieces as numbers, which this format has to state."""
    scores: list[float] = model.scores.tolist()
    normal = model.scores[model.types == NORMAL]
    highest = float(normal.max()) if normal.size else 0.0
    bare = Normalizer(
        tuple(
            replace(step, add_dummy_prefix=False, remove_extra_whitespaces=False)
            for step in model.normalizer.steps
            if step.kind == "pieces"
        ),
        model.normalizer.escape,
    )
    for i in np.flatnonzero(model.types == USER_DEFINED).tolist():
        piece = model.pieces[i]
        if bare.core.normalize(piece, False)[0] != piece.replace(MARK, b" "):
            expected = "must be a format that protects user-defined pieces from the normaliser"
            got = Phrase(f"'huggingface' with piece {piece_text(piece)!r}")
            raise ValueError(message(function, "format", expected, got))
        scores[i] = len(piece.decode()) * highest - 0.1
    return scores


def _metaspace(scheme: str, split: bool) -> Json:
    return {"type": "Metaspace", "replacement": MARK.decode(), "prepend_scheme": scheme,
            "split": split}  # fmt: skip


def _added_element(token: AddedToken) -> Json:
    return {
        "id": token.id,
        "content": token.text,
        "single_word": False,
        "lstrip": token.left,
        "rstrip": token.right,
        "normalized": token.normalized,
        "special": token.special,
    }


def _elements(function: str, step: Step) -> list[Json]:
    """What HuggingFace calls a step, without the mark."""
    rules = base64.b64encode(step.rules).decode()
    precompiled = [{"type": "Precompiled", "precompiled_charsmap": rules}] if rules else []
    join = {"type": "Replace", "pattern": {"Regex": _JOINED}, "content": step.text or " "}
    if step.kind == "map":
        return precompiled
    if step.kind == "form":
        return [{"type": step.form}]
    if step.kind == "strip" and step.text:
        return [{"type": "Replace", "pattern": {"Regex": _ENDS}, "content": ""}]
    if step.kind == "strip":
        return [{"type": "Strip", "strip_left": step.left, "strip_right": step.right}]
    if step.kind == "join":
        return [join | {"content": step.text}]
    if step.kind == "prepend":
        return [{"type": "Prepend", "prepend": step.text}]
    if step.kind == "pieces":
        if step.whitespace_as_suffix:
            expected = "must be a format for whitespace as a suffix"
            raise ValueError(message(function, "format", expected, "huggingface"))
        extra = step.remove_extra_whitespaces
        ends = {"type": "Replace", "pattern": {"Regex": _ENDS}, "content": ""}
        prepend = {"type": "Prepend", "prepend": " "}
        return [
            *precompiled,
            *([ends, join | {"content": " "}] if extra else []),
            *([prepend] if step.add_dummy_prefix else []),
        ]
    return []


def _is_text(piece: bytes) -> bool:
    return piece.decode("utf-8", "ignore").encode() == piece
