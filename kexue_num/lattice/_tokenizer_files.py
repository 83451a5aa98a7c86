"""Tokenizers from model files and back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np

from kexue_num._validation import check_choice, message
from kexue_num.lattice import _bytepiece, _huggingface, _sentencepiece
from kexue_num.lattice._model import (
    BYTE,
    CONTROL,
    UNKNOWN,
    SpecialIds,
    UnigramModel,
)
from kexue_num.lattice._normalizer import Normalizer
from kexue_num.lattice._text_faults import CLASS
from kexue_num.lattice._vocabulary import Vocabulary

_FORMATS: dict[str, Callable[[str, UnigramModel], bytes]] = {
    "sentencepiece": _sentencepiece.dump,
    "vocab": _sentencepiece.dump_vocabulary,
    "huggingface": _huggingface.dump,
    "bytepiece": _bytepiece.dump,
}


class TokenizerFiles:
    """What `UnigramTokenizer` reads and writes."""

    _vocabulary: Vocabulary
    _boundaries: str
    _normalizer: Any
    _tokenizers: dict[str, Any]

    def _core(self, boundaries: str | None = None) -> Any:
        raise NotImplementedError

    @classmethod
    def from_sentencepiece(cls, model: str | os.PathLike[str] | bytes) -> Self:
        """A tokenizer from a model of sentencepiece.

        Parameters
        ----------
        model : path or bytes
            A ``.model`` of type unigram, or a ``.vocab`` (lines of a piece, a tab and a score).

        Returns
        -------
        UnigramTokenizer
            Its ids are those of sentencepiece, up to the order of segmentations of equal score.

        Raises
        ------
        ValueError
            If the bytes are no such model, or one of type BPE, WORD or CHAR.
        OSError
            If the file cannot be read.

        Notes
        -----
        The normaliser of the model is applied: its map of characters, its rules about whitespace,
        and user-defined pieces stay as they are. Bytes that are no UTF-8 are not replaced: with
        byte fallback they come back from `decode` as they were. A ``.vocab`` says nothing about
        its normaliser: the identity is taken, with one space in front and none doubled.

        References
        ----------
        T. Kudo and J. Richardson, SentencePiece, EMNLP 2018 (demonstrations).
        """
        return cls._from_model(_sentencepiece.load(f"{CLASS}.from_sentencepiece", model))

    @classmethod
    def from_huggingface(cls, tokenizer: str | os.PathLike[str] | bytes) -> Self:
        """A tokenizer from a tokenizer.json of type Unigram.

        Parameters
        ----------
        tokenizer : path, JSON text or bytes

        Returns
        -------
        UnigramTokenizer
            Its ids are those of ``encode(text, add_special_tokens=False)``.

        Raises
        ------
        ValueError
            If the JSON is no such file, or asks for something that is not supported: the message
            names the element.
        OSError
            If the file cannot be read.

        Notes
        -----
        Understood are the normalisers Precompiled, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents,
        Nmt, Strip, Prepend, Replace (of a string, or of runs of spaces) and Sequence, the
        pre-tokenizers Metaspace and WhitespaceSplit, byte fallback, and added tokens but for
        those of single words. An added token is certain, whatever alpha.
        """
        return cls._from_model(_huggingface.load(f"{CLASS}.from_huggingface", tokenizer))

    @classmethod
    def from_bytepiece(cls, model: str | os.PathLike[str] | bytes) -> Self:
        """A tokenizer from a model of BytePiece.

        Parameters
        ----------
        model : path or bytes
            A JSON object from base64(piece) to [id, printable text, count].

        Returns
        -------
        UnigramTokenizer
            With score log count - log sum of counts, and NFC before the segmentation. Ids without
            a piece, such as 0, 1 and 2, are control pieces.

        Raises
        ------
        ValueError
            If the bytes are no such model.
        OSError
            If the file cannot be read.

        References
        ----------
        Jianlin Su, 科学空间 (https://kexue.fm), 9752 (2023-09-07).
        """
        return cls._from_model(_bytepiece.load(f"{CLASS}.from_bytepiece", model))

    def save(
        self,
        path: str | os.PathLike[str],
        format: str = "sentencepiece",  # noqa: A002
    ) -> None:
        """Write the tokenizer into a file.

        Parameters
        ----------
        path : path
        format : {"sentencepiece", "vocab", "huggingface", "bytepiece"}
            A model of sentencepiece, its list of pieces and scores, a tokenizer.json, or a model
            of BytePiece.

        Raises
        ------
        ValueError
            If the format cannot say what the tokenizer does; nothing is written then.

        Notes
        -----
        Scores are rounded to float32 for "sentencepiece" and, in nine digits, for "vocab"; they
        become counts, the largest 2^53, for "bytepiece".
        """
        function = f"{CLASS}.save"
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(message(function, "path", "must be a path", path))
        dump = _FORMATS[check_choice(function, "format", format, _FORMATS)]
        data = dump(function, self._as_model())
        Path(path).write_bytes(data)

    @classmethod
    def _from_model(cls, model: UnigramModel) -> Self:
        scores = model.matched_scores()
        scores.flags.writeable = False
        tokenizer = cls.__new__(cls)
        tokenizer._vocabulary = Vocabulary(
            pieces=[_readable(piece) for piece in model.pieces],
            texts=model.matched_texts(),
            scores=scores,
            types=model.matched_types(),
            space_mark=model.normalizer.escape,
            unknown_score=model.unknown_score,
        )
        tokenizer._boundaries = "byte"
        tokenizer._normalizer = model
        tokenizer._tokenizers = {}
        tokenizer._core()
        return tokenizer

    def _as_model(self) -> UnigramModel:
        if isinstance(self._normalizer, UnigramModel):
            return self._normalizer
        words = self._vocabulary
        unknown = np.flatnonzero(words.types == UNKNOWN)
        known = {words.texts[i]: int(i) for i in np.flatnonzero(words.types == CONTROL)}
        return UnigramModel(
            pieces=tuple(words.texts),
            scores=words.scores,
            types=words.types,
            normalizer=Normalizer((), words.space_mark),
            byte_fallback=bool((words.types == BYTE).any()),
            unknown_score=words.unknown_score,
            special=SpecialIds(
                unk=int(unknown[0]) if unknown.size else -1,
                bos=known.get(b"<s>", -1),
                eos=known.get(b"</s>", -1),
                pad=known.get(b"<pad>", -1),
            ),
        )


def _readable(piece: bytes) -> str | bytes:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return piece
