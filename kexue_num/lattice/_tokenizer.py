"""The unigram tokenizer: the best segmentation of a text, exact samples, and their law."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from kexue_num import _core
from kexue_num._validation import (
    Phrase,
    as_generator,
    check_choice,
    check_integer,
    check_workers,
    draw_key,
    message,
)
from kexue_num.lattice._inputs import Array, as_integers
from kexue_num.lattice._text_distribution import TextDistribution
from kexue_num.lattice._text_faults import CLASS, as_texts, raise_fault
from kexue_num.lattice._token_results import TokenEncoding, TokenRows
from kexue_num.lattice._tokenizer_files import TokenizerFiles
from kexue_num.lattice._tokenizer_training import TokenizerTraining
from kexue_num.lattice._vocabulary import BOUNDARIES, Vocabulary, as_vocabulary

METHODS = ("exact", "streaming", "viterbi_sampling")


class UnigramTokenizer(TokenizerFiles, TokenizerTraining, TextDistribution):
    """Texts as sequences of pieces, P(segmentation) proportional to exp(alpha score)."""

    _vocabulary: Vocabulary
    _boundaries: str
    _normalizer: Any
    _tokenizers: dict[str, Any]

    @classmethod
    def from_pieces(
        cls,
        pieces: Iterable[str | bytes],
        scores: object,
        *,
        types: Iterable[str] | None = None,
        boundaries: str = "byte",
        space_mark: bool | None = None,
        unknown_score: float | None = None,
        normalizer: Any = None,
    ) -> UnigramTokenizer:
        """A tokenizer of given pieces; the number of a piece is its id."""
        function = f"{CLASS}.from_pieces"
        vocabulary = as_vocabulary(function, pieces, scores, types, space_mark, unknown_score)
        tokenizer = cls.__new__(cls)
        tokenizer._vocabulary = vocabulary
        tokenizer._boundaries = check_choice(function, "boundaries", boundaries, BOUNDARIES)
        tokenizer._normalizer = normalizer
        tokenizer._tokenizers = {}
        tokenizer._core()
        return tokenizer

    def _core(self, boundaries: str | None = None) -> Any:
        place = self._boundaries if boundaries is None else boundaries
        held = self._tokenizers.get(place)
        if held is None:
            words = self._vocabulary
            unknown = np.nan if words.unknown_score is None else words.unknown_score
            model = _core.lattice.Unigram(
                words.texts,
                words.scores,
                words.types,
                words.space_mark,
                place == "unicode",
                unknown,
            )
            core: Any = None if self._normalizer is None else self._normalizer.core
            held = self._tokenizers.setdefault(place, _core.lattice.tokenizer(model, core))
        return held

    def __reduce__(self) -> tuple[Any, ...]:
        words = self._vocabulary
        state = (words, self._boundaries, self._normalizer)
        return _restored, (type(self), *state)

    def __repr__(self) -> str:
        return f"{CLASS}(vocab_size={self.vocab_size})"

    @property
    def vocab_size(self) -> int:
        """The number of pieces."""
        return len(self._vocabulary.pieces)

    @property
    def pieces(self) -> list[str | bytes]:
        """The pieces by id, as they were given."""
        return list(self._vocabulary.pieces)

    @property
    def scores(self) -> Array:
        """The scores by id, (vocab_size,) float64, read-only."""
        return self._vocabulary.scores

    def encode(self, text: str | bytes, *, return_offsets: bool = False) -> Any:
        """The best segmentation of a text."""
        function = f"{CLASS}.encode"
        if return_offsets:
            ids, bounds, fault = self._core().encode_with_bounds(text)
            raise_fault(function, "text", (text,), fault)
            return TokenEncoding(ids, bounds.reshape(-1, 2))
        ids, _, fault = self._core().encode((text,), 1)
        raise_fault(function, "text", (text,), fault)
        return ids

    def encode_batch(
        self, texts: Iterable[str | bytes], *, workers: int | None = None
    ) -> TokenRows:
        """The best segmentations of many texts."""
        function = f"{CLASS}.encode_batch"
        items = as_texts(function, texts)
        ids, offsets, fault = self._core().encode(items, check_workers(function, workers))
        raise_fault(function, "texts", items, fault)
        return TokenRows(ids, offsets)

    def sample(
        self,
        text: str | bytes,
        alpha: float = 1.0,
        *,
        size: int | None = None,
        rng: object = None,
        method: str = "exact",
        workers: int | None = None,
    ) -> Any:
        """Samples of the segmentation of a text."""
        function = f"{CLASS}.sample"
        n = 1 if size is None else check_integer(function, "size", size, minimum=0)
        rows = self._sample(function, "text", (text,), alpha, n, rng, method, workers, 0)
        return rows[0] if size is None else rows

    def sample_batch(
        self,
        texts: Iterable[str | bytes],
        alpha: float = 1.0,
        *,
        size: int = 1,
        rng: object = None,
        method: str = "exact",
        workers: int | None = None,
        first_index: int = 0,
    ) -> TokenRows:
        """Samples of the segmentations of many texts."""
        function = f"{CLASS}.sample_batch"
        items = as_texts(function, texts)
        n = check_integer(function, "size", size, minimum=0)
        first = check_integer(function, "first_index", first_index, minimum=0, maximum=2**62)
        return self._sample(function, "texts", items, alpha, n, rng, method, workers, first)

    def _sample(
        self,
        function: str,
        argument: str,
        items: tuple[Any, ...],
        alpha: object,
        size: int,
        rng: object,
        method: object,
        workers: int | None,
        first_index: int,
    ) -> TokenRows:
        slope = self._check_alpha(function, alpha)
        number = METHODS.index(check_choice(function, "method", method, METHODS))
        threads = check_workers(function, workers)
        key = draw_key(as_generator(function, rng))
        ids, offsets, fault = self._core().sample(
            items, slope, size, key, first_index, number, threads
        )
        raise_fault(function, argument, items, fault)
        return TokenRows(ids, offsets, size=size)

    def decode(self, ids: object, *, errors: str | None = "replace") -> Any:
        """The text of a sequence of ids."""
        function = f"{CLASS}.decode"
        row = self._as_ids(function, ids)
        offsets = np.array([0, len(row)], np.int64)
        return self._core().decode(row, offsets, errors)[0]

    def decode_batch(self, rows: Iterable[object], *, errors: str | None = "replace") -> list[Any]:
        """The texts of many sequences of ids."""
        function = f"{CLASS}.decode_batch"
        if isinstance(rows, TokenRows):
            flat, offsets = self._as_ids(function, rows.ids), rows.offsets
        else:
            parts = [as_integers(function, "rows", row) for row in rows]
            offsets = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)
            flat = self._as_ids(function, np.concatenate([np.empty(0, np.int64), *parts]))
        return list(self._core().decode(flat, offsets, errors))

    # Shared steps

    def _as_ids(self, function: str, ids: object) -> Array:
        row = as_integers(function, "ids", ids)
        outside = (row < 0) | (row >= self.vocab_size)
        if outside.any():
            place = int(np.argmax(outside))
            got = Phrase(f"{row[place]} at [{place}]")
            raise ValueError(message(function, "ids", f"must lie in 0..{self.vocab_size - 1}", got))
        return row.astype(np.int32)


def _restored(
    cls: type[UnigramTokenizer], words: Vocabulary, boundaries: str, normalizer: Any
) -> UnigramTokenizer:
    tokenizer = cls.__new__(cls)
    tokenizer._vocabulary = words
    tokenizer._boundaries = boundaries
    tokenizer._normalizer = normalizer
    tokenizer._tokenizers = {}
    return tokenizer
