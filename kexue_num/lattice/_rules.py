"""Maps of characters and tables of the Unicode forms, from Python's own database."""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kexue_num import _core
from kexue_num._validation import check_choice

NAMES = ("identity", "nfkc", "nfkc_cf", "nmt_nfkc", "nmt_nfkc_cf")

# What the rules called nmt do before NFKC: control characters go, breaks and joiners are spaces.
_DROPPED = (*range(0x01, 0x09), 0x0B, *range(0x0E, 0x20), 0x7F, 0x8F, 0x9F)
_SPACES = (0x09, 0x0A, 0x0C, 0x0D, 0x061C, 0x1680, 0x200B, 0x200C, 0x200E, 0x200F, 0x2028,
           0x2029, 0x2581, 0xFEFF, 0xFFFD)  # fmt: skip
# Ways to write one character that are more than this are left to the text.
_MOST_SPELLINGS = 64


# Without decompositions, marks or case: ideographs, and Hangul syllables, which are arithmetic.
_IDEOGRAPHS = (range(0x3400, 0x4DC0), range(0x4E00, 0xA000))
_SYLLABLES = range(0xAC00, 0xD7A4)
_CHARACTERS = (
    range(0x01, 0x3400),
    range(0x4DC0, 0x4E00),
    range(0xA000, 0xAC00),
    range(0xD7A4, 0xD800),
    range(0xE000, 0x20000),
    range(0x2F800, 0x2FA20),
    range(0xE0000, 0xE01F0),
)


def _characters() -> Iterator[str]:
    """The assigned characters that rules may concern."""
    for code in itertools.chain.from_iterable(_CHARACTERS):
        character = chr(code)
        if unicodedata.category(character) not in ("Cn", "Co"):
            yield character


def build_map(rules: dict[str, str]) -> bytes:
    """The map of characters that makes these replacements."""
    pairs = sorted((key.encode(), value.encode()) for key, value in rules.items())
    return _core.lattice.build_charsmap(pairs)


def rule_map(function: str, argument: str, name: object) -> bytes:
    """The map of characters of a rule name that sentencepiece knows.

    The rules follow Python's version of Unicode (`unicodedata.unidata_version`).
    """
    return _rule_map(check_choice(function, argument, name, NAMES))


@functools.cache
def _rule_map(name: str) -> bytes:
    if name == "identity":
        return b""
    rules = _nfkc_rules()
    if name.startswith("nmt"):
        rules = {key: value for key, value in rules.items() if key != "\uff5e"}
        rules |= {chr(code): "" for code in _DROPPED} | {chr(code): " " for code in _SPACES}
    if name.endswith("cf"):
        rules = _folded(rules)
    return build_map(rules)


def _nfkc_rules() -> dict[str, str]:
    """Characters that NFKC changes, and all canonical spellings of those it composes."""
    rules: dict[str, str] = {}
    spellings: dict[str, list[str]] = {}
    for character in _characters():
        form = unicodedata.normalize("NFKC", character)
        if form != character:
            rules[character] = form
        canonical = unicodedata.normalize("NFD", character)
        if len(canonical) > 1 and unicodedata.normalize("NFC", character) == character:
            spellings[character] = [canonical]
    composed = {parts[0]: character for character, parts in spellings.items()}
    for character, parts in spellings.items():
        # A prefix that is a character of its own may be written as one.
        whole = parts[0]
        for size in range(2, len(whole)):
            if whole[:size] in composed:
                parts.append(composed[whole[:size]] + whole[size:])
        for spelling in parts[:_MOST_SPELLINGS]:
            rules[spelling] = unicodedata.normalize("NFKC", character)
    for syllable in _SYLLABLES:
        text = chr(syllable)
        letters = unicodedata.normalize("NFD", text)
        rules[letters] = text
        if len(letters) == 3:
            rules[unicodedata.normalize("NFC", letters[:2]) + letters[2]] = text
    return rules


def _fold(text: str) -> str:
    """Simple case folding: one character stays one."""
    folded = (c.casefold() if len(c.casefold()) == 1 else c.lower() for c in text)
    return "".join(f if len(f) == 1 else c for f, c in zip(folded, text, strict=True))


def _folded(rules: dict[str, str]) -> dict[str, str]:
    """The rules with case folding after them."""
    folded = {key: _fold(value) for key, value in rules.items()}
    for character in _characters():
        if character not in folded and (lower := _fold(character)) != character:
            folded[character] = lower
    return folded


@functools.cache
def lowercase_map() -> bytes:
    """Every character to its lower case, without regard to what surrounds it."""
    return build_map({c: c.lower() for c in _characters() if c.lower() != c})


@functools.cache
def strip_accents_map() -> bytes:
    """Marks (category M) go."""
    return build_map({c: "" for c in _characters() if unicodedata.category(c)[0] == "M"})


@functools.cache
def nmt_map() -> bytes:
    """What HuggingFace's normaliser Nmt does."""
    spaces = (0x09, 0x0A, 0x0C, 0x0D, 0x1680, *range(0x200B, 0x2010), 0x2028, 0x2029, 0x2581,
              0xFEFF, 0xFFFD)  # fmt: skip
    rules = {chr(code): "" for code in _DROPPED} | {chr(code): " " for code in spaces}
    return build_map(rules)


@functools.cache
def unicode_forms() -> _core.lattice.UnicodeForms:
    """The tables of the Unicode forms, made once."""
    rows: dict[str, tuple[list[int], list[int], list[int]]] = {
        form: ([], [0], []) for form in ("NFD", "NFKD")
    }
    marks: list[int] = []
    classes: list[int] = []
    pairs: list[tuple[int, int]] = []
    for character in _characters():
        code = ord(character)
        if order := unicodedata.combining(character):
            marks.append(code)
            classes.append(order)
        if not unicodedata.decomposition(character):
            continue
        for form, (codes, first, out) in rows.items():
            decomposed = unicodedata.normalize(form, character)  # type: ignore[arg-type]
            if decomposed != character:
                codes.append(code)
                out.extend(map(ord, decomposed))
                first.append(len(out))
        parts = unicodedata.decomposition(character).split()
        # Excluded from composition if its own decomposition does not lead back.
        is_pair = len(parts) == 2 and not parts[0].startswith("<")
        if is_pair and unicodedata.normalize("NFC", character) == character:
            pairs.append((int(parts[0], 16) << 32 | int(parts[1], 16), code))
    pairs.sort()
    return _core.lattice.unicode_forms(
        rows["NFD"],
        rows["NFKD"],
        marks,
        classes,
        [pair for pair, _ in pairs],
        [code for _, code in pairs],
    )


@functools.cache
def scripts() -> NDArray[np.uint8]:
    """A class for each code point: 0 goes with all, 1 with what stands before it, 2 is common.

    Letters have the class of the first word of their name, which is that of their script; Han,
    Hiragana and Katakana are one.
    """
    table = np.full(0x20000, 2, np.uint8)
    names: dict[str, int] = {}
    for character in _characters():
        code = ord(character)
        category = unicodedata.category(character)
        if code >= len(table):
            continue
        if category[0] == "M":
            table[code] = 1
        elif category[0] == "L":
            word = unicodedata.name(character, "").partition(" ")[0].partition("-")[0]
            word = "HAN" if word in ("CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH") else word
            table[code] = names.setdefault(word, min(255, len(names) + 3))
    for ideographs in _IDEOGRAPHS:
        table[ideographs] = names["HAN"]
    table[_SYLLABLES] = names["HANGUL"]
    table[0x30FC] = names["HAN"]
    return table


def han() -> int:
    """The class of Han in `scripts`."""
    return int(scripts()[0x4E00])
