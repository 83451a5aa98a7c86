"""Training of unigram tokenizers from a stream of texts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from kexue_num import _core
from kexue_num._validation import Phrase, as_key, message
from kexue_num.lattice import _rules
from kexue_num.lattice._model import Array
from kexue_num.lattice._normalizer import Normalizer

_BATCH = 1000  # texts that are handed to the core at a time
_LEAST_COUNT = 0.5  # of a piece that stays
_FINAL_ITERATIONS = 3


@dataclass(frozen=True)
class Pieces:
    """Pieces of normalised text with their scores, from the best on."""

    texts: list[bytes]
    scores: Array


class Progress:
    """A bar made by a callable like tqdm, or nothing."""

    def __init__(
        self, make: Callable[..., Any] | None, description: str, total: int | None
    ) -> None:
        self._bar = None if make is None else make(total=total, desc=description)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, n: int = 1) -> None:
        """Move on by `n`."""
        if self._bar is not None:
            self._bar.update(n)


def chunk_rules(*, split_by_script: bool, **flags: bool) -> _core.lattice.ChunkRules:
    """The core's rules; scripts are looked up only where they matter."""
    rules = _core.lattice.ChunkRules()
    rules.split_by_script = split_by_script
    if split_by_script:
        rules.set_script(_rules.scripts())
        rules.beyond = _rules.han()
    for name, value in flags.items():
        setattr(rules, name, value)
    return rules


def count_corpus(
    function: str,
    corpus: Iterable[str | bytes],
    normalizer: Normalizer,
    rules: _core.lattice.ChunkRules,
    *,
    max_memory: int,
    rng: object,
    progress: Callable[..., Any] | None,
) -> _core.lattice.Chunks:
    """The chunks of all texts with their counts."""
    if isinstance(corpus, (str, bytes)) or not _has_items(corpus):
        raise TypeError(message(function, "corpus", "must be an iterable of texts", corpus))
    counter = _core.lattice.chunk_counter(rules, max_memory, as_key(function, rng))
    chain, texts = normalizer.core, _as_bytes(function, corpus)
    with Progress(progress, "count", None) as bar:
        while batch := list(itertools.islice(texts, _BATCH)):
            _core.lattice.count_texts(counter, chain, batch)
            bar.update(len(batch))
    chunks = _core.lattice.counted_chunks(counter)
    if not len(chunks):
        got = Phrase(f"{int(counter.n_texts)} texts without any")
        raise ValueError(message(function, "corpus", "must hold some text", got))
    return chunks


def _has_items(value: Iterable[Any]) -> bool:
    """Whether it can be iterated: an array without an axis only looks like it."""
    try:
        iter(value)
    except TypeError:
        return False
    return True


def _as_bytes(function: str, corpus: Iterable[str | bytes]) -> Iterator[bytes]:
    for number, text in enumerate(corpus):
        if isinstance(text, str):
            try:
                yield text.encode()
            except UnicodeEncodeError as error:
                got = Phrase(f"a lone surrogate in text {number}")
                expected = "must hold texts without surrogates"
                raise ValueError(message(function, "corpus", expected, got)) from error
        elif isinstance(text, (bytes, bytearray, memoryview)):
            yield bytes(text)
        else:
            got = Phrase(f"{type(text).__name__} at [{number}]")
            raise TypeError(message(function, "corpus", "must hold str or bytes", got))


def required_characters(chunks: _core.lattice.Chunks, coverage: float) -> list[int]:
    """The most frequent characters that make up `coverage` of the text."""
    codes, counts = chunks.characters()
    order = np.lexsort((codes, -counts))
    reached = np.cumsum(counts[order])
    wanted = coverage * reached[-1] if len(reached) else 0.0
    n_kept = int(np.searchsorted(reached, wanted * (1 - 1e-12))) + 1
    return sorted(codes[order[:n_kept]].tolist())


def train_em(
    function: str,
    chunks: _core.lattice.Chunks,
    n_pieces: int,
    *,
    coverage: float,
    seeds: _core.lattice.SeedRules,
    shrinking_factor: float,
    n_sub_iterations: int,
    workers: int,
    progress: Callable[..., Any] | None,
) -> Pieces:
    """Expectation maximisation and pruning, from frequent substrings down to `n_pieces`.

    Each round re-estimates the probabilities and drops the pieces whose loss, the fall of the
    log-likelihood when their text is spelt by the others, is smallest.
    """
    from scipy.special import digamma

    core = _core.lattice
    chunks = core.keep_characters(chunks, required_characters(chunks, coverage))
    pieces = core.seed_pieces(chunks, seeds, workers)
    n_required = len(chunks.characters()[0])
    _check_size(function, n_pieces, n_required, len(pieces))
    counts = pieces.counts
    rounds = math.log(n_pieces / len(pieces)) / math.log(shrinking_factor) if n_pieces else 0
    with Progress(progress, "expectation maximisation", max(1, math.ceil(rounds)) + 1) as bar:
        scores = np.log(counts) - math.log(counts.sum())
        del counts  # memory is scarcest with all seeds
        while True:
            for _ in range(n_sub_iterations):
                model = core.unigram_of(pieces, scores)
                del scores
                counts, _ = core.expected_counts(model, chunks, workers)
                del model
                required = np.arange(len(counts)) < n_required
                kept = np.flatnonzero(required | (counts >= _LEAST_COUNT))
                if len(kept) < n_pieces:  # the corpus has no better ones
                    best = np.argsort(-np.where(required, np.inf, counts), kind="stable")
                    kept = np.sort(best[:n_pieces])
                counts = np.maximum(counts[kept], _LEAST_COUNT)
                pieces = core.select_chunks(pieces, kept, counts)
                scores = digamma(counts) - digamma(counts.sum())
            bar.update()
            if len(pieces) <= n_pieces:
                break
            size = max(n_pieces, int(shrinking_factor * len(pieces)))
            loss = counts * (
                scores - core.log_alternatives(core.unigram_of(pieces, scores), workers)
            )
            loss[:n_required] = np.inf
            kept = np.sort(np.argsort(-loss, kind="stable")[:size])
            pieces, scores = core.select_chunks(pieces, kept, counts[kept]), scores[kept]
        for _ in range(_FINAL_ITERATIONS):
            counts, _ = core.expected_counts(core.unigram_of(pieces, scores), chunks, workers)
            counts = np.maximum(counts, _LEAST_COUNT)
            scores = np.log(counts) - math.log(counts.sum())
        bar.update()
    order = np.argsort(-scores, kind="stable")
    return Pieces(core.select_chunks(pieces, order, counts[order]).strings, scores[order])


def _check_size(function: str, n_pieces: int, n_required: int, n_seeds: int) -> None:
    if n_pieces < n_required:
        expected = f"must leave room for the {n_required} characters of the corpus"
        got = Phrase(f"room for {max(n_pieces, 0)} pieces (or lower 'character_coverage')")
        raise ValueError(message(function, "vocab_size", expected, got))
    if n_pieces > n_seeds:
        expected = f"must leave at most {n_seeds} pieces, all that the corpus has"
        raise ValueError(message(function, "vocab_size", expected, Phrase(f"{n_pieces} pieces")))


def train_bnlm(
    function: str,
    chunks: _core.lattice.Chunks,
    n_pieces: int,
    *,
    order: int,
    min_count: float,
    longest: int,
    unicode: bool,
    workers: int,
    progress: Callable[..., Any] | None,
) -> Pieces:
    """BytePiece's method: pieces of the best segmentation by a byte n-gram model, then pruned.

    The pieces come with all 256 bytes; a piece that the others spell better is dropped, and what
    is dropped counts for its parts.
    """
    core = _core.lattice
    if n_pieces < 256:
        got = Phrase(f"room for {n_pieces} pieces")
        raise ValueError(message(function, "vocab_size", "must leave room for 256 bytes", got))
    with Progress(progress, "byte n-grams", 4) as bar:
        ngrams = core.byte_ngrams(chunks, order, min_count)
        bar.update()
        pieces = core.segment_by_ngrams(ngrams, chunks, unicode, workers)
        del ngrams
        bar.update()
        pieces = _with_all_bytes(pieces)
        sizes = np.diff(pieces.begin)
        kept = (sizes == 1) | ((sizes <= longest) & (pieces.counts >= min_count))
        pieces = _prune(pieces, kept, workers)
        bar.update()
        while len(pieces) > n_pieces:
            sizes = np.diff(pieces.begin)
            rank = np.argsort(-np.where(sizes == 1, np.inf, pieces.counts), kind="stable")
            kept = np.zeros(len(pieces), bool)
            kept[rank[:n_pieces]] = True
            pieces = _prune(pieces, kept, workers)
        bar.update()
    counts = pieces.counts
    return Pieces(pieces.strings, np.log(counts) - math.log(counts.sum()))


def _with_all_bytes(pieces: _core.lattice.Chunks) -> _core.lattice.Chunks:
    """The pieces after all 256 bytes, each of which counts at least 1; order is kept."""
    core = _core.lattice
    rules = chunk_rules(split_by_script=False, lines=True)
    counter = core.chunk_counter(rules, 1 << 20, (0, 0))
    core.count_texts(counter, Normalizer().core, [bytes([byte]) for byte in range(256)])
    singles = core.counted_chunks(counter)
    counts = np.ones(256)
    known = np.diff(pieces.begin) == 1
    numbers = np.flatnonzero(known)
    if numbers.size:
        some = core.select_chunks(pieces, numbers, pieces.counts[numbers])
        counts[[text[0] for text in some.strings]] = np.maximum(some.counts, 1)
    singles = core.select_chunks(singles, np.arange(256), counts)
    rest = np.flatnonzero(~known)
    return core.join_chunks(singles, core.select_chunks(pieces, rest, pieces.counts[rest]))


def _prune(pieces: _core.lattice.Chunks, kept: Array, workers: int) -> _core.lattice.Chunks:
    """Drop what is not kept, then what is never the best way to write itself, until none is."""
    core = _core.lattice
    while True:
        numbers = np.flatnonzero(kept)
        inner = core.select_chunks(pieces, numbers, pieces.counts[numbers])
        scores = np.log(inner.counts) - math.log(inner.counts.sum())
        counts, _ = core.best_counts(core.unigram_of(inner, scores), pieces, workers)
        single = np.diff(inner.begin) == 1
        counts[single] = np.maximum(counts[single], 1)
        if len(numbers) == len(pieces) and (counts > 0).all():
            return core.select_chunks(inner, np.arange(len(numbers)), counts)
        pieces = core.select_chunks(inner, np.arange(len(numbers)), np.maximum(counts, 0))
        kept = counts > 0
