"""The unigram tokenizer: the best segmentation of a text, exact samples, and their law."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from kexue_num import _core
from kexue_num._validation import (
    Phrase,
    as_key,
    check_choice,
    check_integer,
    check_memory,
    check_workers,
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
    """Texts as sequences of pieces: P(segmentation) = exp(alpha score) / Z(alpha).

    The score of a segmentation is the sum of the scores of its pieces, log-probabilities in most
    models. Make one with `from_pieces`, from a model file, or by training.

    Attributes
    ----------
    pieces : list of str or bytes
    scores : (vocab_size,) float64 ndarray
    vocab_size : int
    boundaries : str
        "byte" or "unicode".

    Notes
    -----
    *Text* is str or bytes; bytes are taken as they are, UTF-8 or not, unless `boundaries` is
    "unicode". ids are int32. A text that the pieces do not cover is a ValueError that names the
    first position that cannot be passed.

    *Speed.* Pieces are found by a double-array trie. Where no piece has two neighbours together, a
    text is cut into words that are independent of each other, and what has been found of short
    words is remembered: some tens of MiB that all workers read, and as much at most for each
    worker of what it learns during a call. That changes no result. Time and memory are linear in
    the length of a text.

    *Accuracy.* Sums are made in float64 without logarithms, with an exponent for each place of long
    texts; a local choice is right to about 1e-15 at any length and any alpha.

    *Reproducible.* Sample j of text i depends on `rng`, the number of the text (counted from
    `first_index`), j and the text: not on `workers`, on how a batch is split or on other texts.

    Among segmentations of equal score the one whose first differing piece is longer comes first.

    References
    ----------
    T. Kudo, Subword regularization, ACL 2018.
    S. L. Scott, Bayesian methods for hidden Markov models, JASA 97, 2002.
    Jianlin Su, 科学空间 (https://kexue.fm), 9768 (2023-09-16), 9811 (2023-10-16).

    Examples
    --------
    >>> from kexue_num.lattice import UnigramTokenizer
    >>> pieces = ["watch", "ing", "wat", "ching", "w", "atching"]
    >>> tokenizer = UnigramTokenizer.from_pieces(pieces, [-2, -2, -2, -2, -1, -3])
    >>> tokenizer.encode("watching").tolist()
    [0, 1]
    >>> [tokenizer.pieces[i] for i in tokenizer.sample("watching", rng=3)]
    ['w', 'atching']
    >>> tokenizer.nbest("watching", 2)
    [ScoredTokens(ids=[0, 1], score=-4), ScoredTokens(ids=[2, 3], score=-4)]
    >>> round(tokenizer.entropy("watching"), 4)  # three of equal score
    1.0986
    """

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
        """A tokenizer of given pieces; the number of a piece is its id.

        Parameters
        ----------
        pieces : sequence of str or bytes
        scores : (n,) array_like of real numbers
            -inf takes a piece out.
        types : sequence of str, optional
            "normal" (all, if None), "unknown" (at most one), "control", "user_defined", "unused"
            or "byte" (named ``<0x00>`` .. ``<0xFF>``) for each piece, with the meaning that they
            have in sentencepiece: only normal and user-defined pieces are found in texts, and the
            latter have a score that beats all others of their length.
        boundaries : {"byte", "unicode"}, default "byte"
            "unicode" lets pieces begin and end only where characters do, and demands UTF-8.
        space_mark : bool, optional
            Whether U+2581 in pieces stands for a space of the text. If None: whether a piece has
            U+2581 and none has a space.
        unknown_score : float, optional
            Of a character that no piece covers; 10 below the lowest score of a normal piece if
            None. There are such characters if there is an unknown piece or all 256 byte pieces;
            they become the byte pieces of their bytes, or else the unknown piece, neighbours
            together.
        normalizer : optional
            What a text goes through first, as the readers of model files make it.

        Returns
        -------
        UnigramTokenizer

        Raises
        ------
        ValueError, TypeError
            If pieces are repeated or empty, a score is NaN or +inf, or lengths differ.
        """
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
    def boundaries(self) -> str:
        """Where pieces may begin and end: "byte" or "unicode"."""
        return self._boundaries

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
        """The best segmentation of a text.

        Parameters
        ----------
        text : str or bytes
        return_offsets : bool, default False

        Returns
        -------
        (n,) int32 ndarray, or TokenEncoding with `return_offsets`
            Offsets count characters of a str and bytes of a bytes object.

        Raises
        ------
        ValueError
            If the pieces do not cover the text (the message names the first position that cannot be
            passed), or for bytes that are no UTF-8 if `boundaries` is "unicode".
        UnicodeEncodeError
            For lone surrogates.
        """
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
        """The best segmentations of many texts; see `encode`.

        Parameters
        ----------
        texts : iterable of str or bytes
        workers : int, optional

        Returns
        -------
        TokenRows
            A row for each text.
        """
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
        """Samples of the segmentation of a text, P = exp(alpha score) / Z(alpha).

        Parameters
        ----------
        text : str or bytes
        alpha : float, default 1.0
            >= 0: 0 makes all segmentations equally likely, large values concentrate on the best.
        size : int, optional
            Number of samples.
        rng : None, int or numpy.random.Generator
        method : {"exact", "streaming", "viterbi_sampling"}, default "exact"
            "exact": backward filtering, forward sampling, a uniform number for each token.
            "streaming": one forward pass in which each edge takes the place of what was kept at its
            end with the probability of its share of all so far (9811); the same law, slower.
            "viterbi_sampling": the same against what was kept alone (9768), which is not that law:
            three segmentations of equal score can come as 1/4, 1/4, 1/2. Both for study.
        workers : int, optional

        Returns
        -------
        (n,) int32 ndarray if `size` is None, else TokenRows
        """
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
        """Samples of the segmentations of many texts; see `sample`.

        Parameters
        ----------
        texts : iterable of str or bytes
        alpha : float, default 1.0
        size : int, default 1
            Samples of each text.
        rng : None, int or numpy.random.Generator
        method : str, default "exact"
        workers : int, optional
        first_index : int, default 0
            The number of the first text: parts of a corpus that are given their places in it get
            the samples of the whole.

        Returns
        -------
        TokenRows
            Sample j of text i is row ``i * size + j``.
        """
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
        # At least an offset and an id for each sample.
        check_memory(function, "size", size, 12.0 * size * len(items))
        key = as_key(function, rng)
        ids, offsets, fault = self._core().sample(
            items, slope, size, key, first_index, number, threads
        )
        raise_fault(function, argument, items, fault)
        return TokenRows(ids, offsets, size=size)

    def decode(self, ids: object, *, errors: str | None = "replace") -> Any:
        """The text of a sequence of ids.

        Parameters
        ----------
        ids : (n,) array_like of int
        errors : str or None, default "replace"
            What to do with bytes that are no UTF-8, as for ``bytes.decode``; None returns bytes.

        Returns
        -------
        str, or bytes if `errors` is None
        """
        function = f"{CLASS}.decode"
        row = self._as_ids(function, ids)
        offsets = np.array([0, len(row)], np.int64)
        return self._core().decode(row, offsets, errors)[0]

    def decode_batch(self, rows: Iterable[object], *, errors: str | None = "replace") -> list[Any]:
        """The texts of many sequences of ids, TokenRows or any iterable of them; see `decode`."""
        function = f"{CLASS}.decode_batch"
        if isinstance(rows, TokenRows):
            flat, offsets = self._as_ids(function, rows.ids), rows.offsets
        else:
            if not hasattr(rows, "__iter__") or not getattr(rows, "ndim", 1):
                got = Phrase(type(rows).__name__)
                raise TypeError(message(function, "rows", "must be a sequence of rows of ids", got))
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
