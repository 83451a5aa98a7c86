"""Normalisers: what a model file says about them, and the core's chain of steps for it."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kexue_num import _core
from kexue_num.lattice import _rules

MARK = "\u2581".encode()
# In the order of the core.
KINDS = ("map", "form", "strip", "join", "prepend", "pieces", "mark")
FORMS = ("NFC", "NFD", "NFKC", "NFKD")
PREFIXES = ("never", "first", "always")
FIRST_ADDED = 0x100000
MOST_ADDED = 0xFFFE


@dataclass(frozen=True)
class Step:
    """One step of a chain.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    rules : bytes
        Of "map" and "pieces": the map of characters.
    text : str
        Of "join" and "prepend"; of "strip": " " if only spaces go.
    form : str
        Of "form": NFC, NFD, NFKC or NFKD.
    left, right : bool
        Of "strip".
    add_dummy_prefix, remove_extra_whitespaces, whitespace_as_suffix : bool
        Of "pieces".
    prefix : str
        Of "mark": "never", "first" or "always".
    words : bool
        Of "mark": whitespace separates words and is dropped.
    """

    kind: str
    rules: bytes = field(default=b"", repr=False)
    text: str = ""
    form: str = "NFC"
    left: bool = False
    right: bool = False
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    whitespace_as_suffix: bool = False
    prefix: str = "always"
    words: bool = False

    def build(self) -> _core.lattice.NormalizerStep:
        """Return the core's step."""
        return _core.lattice.normalizer_step(
            KINDS.index(self.kind),
            self.rules,
            self.text.encode(),
            _rules.unicode_forms() if self.kind == "form" else None,
            FORMS.index(self.form),
            self.left,
            self.right,
            self.add_dummy_prefix,
            self.remove_extra_whitespaces,
            self.whitespace_as_suffix,
            PREFIXES.index(self.prefix),
            self.words,
        )


@dataclass(frozen=True)
class AddedToken:
    """A text that is always one token, whatever surrounds it.

    Attributes
    ----------
    text : str
    id : int
    left, right : bool
        Whether whitespace on that side belongs to it.
    normalized : bool
        Whether it is looked for after the normalisation.
    special : bool
        Whether decoding leaves it out.
    """

    text: str
    id: int
    left: bool = False
    right: bool = False
    normalized: bool = False
    special: bool = False


@dataclass(frozen=True)
class Normalizer:
    """A chain of steps.

    Attributes
    ----------
    steps : tuple of Step
    escape : bool
        Whether the space and U+2581 are one.
    name : str
        Of the rules, if they have one: "identity", "nfkc", ...
    protect : tuple of bytes
        Pieces that a step "pieces" leaves as they are.
    added : tuple of AddedToken
    drops : int
        Spaces that decoding drops in front: 0 none, 1 one, 2 all.
    """

    steps: tuple[Step, ...] = ()
    escape: bool = False
    name: str = "identity"
    protect: tuple[bytes, ...] = ()
    added: tuple[AddedToken, ...] = ()
    drops: int = 0

    def build(self) -> _core.lattice.NormalizerChain:
        """Return the core's chain."""
        added = [
            _core.lattice.AddedToken(t.text.encode(), t.left, t.right, t.normalized, t.special)
            for t in self.added
        ]
        steps = [step.build() for step in self.steps]
        return _core.lattice.normalizer_chain(
            steps, self.escape, self.drops, list(self.protect), added
        )

    @functools.cached_property
    def core(self) -> _core.lattice.NormalizerChain:
        """The core's chain, made once."""
        return self.build()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "core"}


def sentencepiece_normalizer(
    rules: bytes,
    *,
    name: str = "identity",
    add_dummy_prefix: bool = True,
    remove_extra_whitespaces: bool = True,
    escape_whitespaces: bool = True,
    whitespace_as_suffix: bool = False,
    protect: Iterable[bytes] = (),
) -> Normalizer:
    """Return sentencepiece's rules: a map of characters, then those about whitespace."""
    step = Step(
        "pieces",
        rules=rules,
        add_dummy_prefix=add_dummy_prefix,
        remove_extra_whitespaces=remove_extra_whitespaces,
        whitespace_as_suffix=whitespace_as_suffix,
    )
    drops = 2 if remove_extra_whitespaces else int(add_dummy_prefix)
    return Normalizer((step,), escape_whitespaces, name, tuple(protect), drops=drops)
