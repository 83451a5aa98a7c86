"""What training counts: chunks, substrings, byte n-grams."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue_num import _core
from kexue_num.lattice import _rules
from kexue_num.lattice._normalizer import Normalizer
from tests.oracles import tokenizer_files as oracle

core = _core.lattice


def counter(max_bytes=1 << 26, key=(1, 2), **options):
    rules = core.ChunkRules()
    rules.set_script(_rules.scripts())
    for name, value in options.items():
        if name == "symbols":
            rules.set_symbols(_rules.build_map(dict.fromkeys(value, "")))
        else:
            setattr(rules, name, value)
    return core.chunk_counter(rules, max_bytes, key)


def count(texts, **options):
    found = counter(**options)
    core.count_texts(found, Normalizer().build(), [text.encode() for text in texts])
    chunks = core.counted_chunks(found)
    return dict(zip(chunks.strings, chunks.counts.tolist(), strict=True))


def chunks_of(strings):
    """Counted chunks made of given strings."""
    found = counter(lines=True)
    core.count_texts(found, Normalizer().build(), list(strings))
    return core.counted_chunks(found)


def split(text, **options):
    return [chunk.decode() for chunk in count([text], **options)]


def test_rules_of_chunks():
    assert split(" the cat") == [" the", " cat"]
    assert split("the cat ", whitespace_as_suffix=True) == ["the ", "cat "]
    assert split(" don't x2") == [" don", "'", "t", " x", "2"]
    assert split(" don't", split_by_script=False) == [" don't"]
    assert split(" x12y", split_by_number=False) == [" x12y"]
    assert split(" a12 3", split_digits=True) == [" a", "1", "2", " ", "3"]
    assert split("   a") == [" ", " a"]
    assert split("   a", join_spaces=True) == ["  ", " a"]
    assert split(" a b1 c", split_by_whitespace=False) == [" a b", "1", " c"]
    assert split("\u65e5\u672c\u3067\u30a2\u30fca") == ["\u65e5\u672c\u3067\u30a2\u30fc", "a"]
    assert split("\u03b1\u0301b") == ["\u03b1\u0301", "b"]
    assert split("a\0b") == ["a", "b"]
    assert split("ab<x>cd", symbols=["<x>"]) == ["ab", "cd"]
    assert split("a\n\nb\nc", lines=True) == ["a\n\n", "b\n", "c"]
    assert split("") == []


@given(st.lists(st.text(st.sampled_from("ab 1.\u00e9\u65e5\n"), max_size=12), max_size=8))
@settings(max_examples=60, deadline=None)
def test_chunks_make_up_the_text(texts):
    for options in ({}, {"split_by_whitespace": False}, {"lines": True}, {"split_digits": True}):
        total = sum(len(chunk) * n for chunk, n in count(texts, **options).items())
        assert total == sum(len(text.encode()) for text in texts)


def test_bounded_memory_keeps_the_means():
    # 2^17 different chunks in a megabyte; the sum of all counts has a standard deviation of about
    # sqrt(n threshold) = 1500 here, 6 of them are allowed.
    texts = [f"w{i}" for i in range(1 << 17)] + ["frequent"] * 5000
    found = counter(1 << 20, split_by_number=False)
    core.count_texts(found, Normalizer().build(), [text.encode() for text in texts])
    chunks = core.counted_chunks(found)
    assert found.threshold > 1 and len(chunks) < 1 << 16
    assert abs(chunks.counts.sum() - len(texts)) < 9000
    counts = dict(zip(chunks.strings, chunks.counts.tolist(), strict=True))
    assert counts[b"frequent"] == 5000


def test_characters():
    chunks = chunks_of([b"aab\xc3\xa9", b"aab\xc3\xa9", b"\xffb"])
    codes, counts = chunks.characters()
    assert dict(zip(map(chr, codes), counts.tolist(), strict=True)) == {"a": 4, "b": 3, "\u00e9": 2}
    kept = core.keep_characters(chunks, [ord("a"), 0xE9])
    assert kept.strings == [b"aa", b"\xc3\xa9"] and kept.counts.tolist() == [2, 2]


def seeds(chunks, workers=1, **options):
    rules = core.SeedRules()
    for name, value in options.items():
        setattr(rules, name, value)
    return core.seed_pieces(chunks, rules, workers)


@given(st.lists(st.text(st.sampled_from("ab\u00e9\u65e5"), min_size=1, max_size=9), min_size=1,
                max_size=12), st.integers(2, 5))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_seeds_are_the_common_substrings(texts, longest):
    strings = [text.encode() for text in texts]
    found = seeds(chunks_of(strings), longest=longest, min_count=2, size=1000)
    ours = dict(zip(found.strings, found.counts.tolist(), strict=True))
    every = oracle.substring_counts(Counter(strings), longest)
    long = {piece: n for piece, n in ours.items() if len(piece.decode()) > 1}
    assert all(every[piece] == n for piece, n in long.items())
    for piece, n in every.items():
        # Left out is only what a longer one with the same occurrences stands for.
        if n >= 2 and piece not in long:
            longer = [p for p in long if p.startswith(piece) and len(p) > len(piece)]
            assert any(long[p] == n for p in longer), piece
    single = Counter("".join(texts))
    assert {p.decode(): n for p, n in ours.items() if len(p.decode()) == 1} == dict(single)


def test_the_best_seeds_are_kept_whatever_the_workers():
    rng = np.random.default_rng(0)
    words = [
        bytes(rng.choice(list(b"abcd"), size=rng.integers(2, 9)).tolist()) for _ in range(3000)
    ]
    chunks = chunks_of(words)
    many = seeds(chunks, size=10**6)
    few = [seeds(chunks, workers, size=50) for workers in (1, 2)]
    assert few[0].strings == few[1].strings == many.strings[:54]
    score = many.counts[4:] * [len(piece) for piece in many.strings[4:]]
    assert (np.diff(score) <= 0).all()


corpora = st.lists(st.binary(min_size=1, max_size=12).map(lambda b: bytes(c % 5 for c in b)),
                   min_size=1, max_size=8)  # fmt: skip


@given(corpora, st.integers(1, 6), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_ngrams(strings, order, min_count):
    ngrams = core.byte_ngrams(chunks_of(strings), order, min_count)
    table = oracle.ngram_log_probabilities(Counter(strings), order, min_count)
    assert len(ngrams) == len(table)
    for ngram, value in table.items():
        assert ngrams.log_probability(ngram) == pytest.approx(value, rel=1e-6, abs=1e-6)
    assert ngrams.log_probability(b"\xfe" * order) == (-np.inf if order > 1 else pytest.approx(
        table[b"\xfe"], rel=1e-6))  # fmt: skip


def test_ngrams_of_a_corpus_that_is_counted_in_parts():
    letters = np.random.default_rng(1).integers(97, 102, (100_000, 12), dtype=np.uint8)
    strings = [row.tobytes() for row in np.unique(letters, axis=0)]
    assert sum(map(len, strings)) > 1 << 20
    ngrams = core.byte_ngrams(chunks_of(strings), 2, 1)
    table = oracle.ngram_log_probabilities(Counter(strings), 2, 1)
    assert len(ngrams) == len(table)
    for ngram, value in table.items():
        assert ngrams.log_probability(ngram) == pytest.approx(value, rel=1e-6)


@given(st.lists(st.binary(min_size=1, max_size=7).map(lambda b: bytes(97 + c % 3 for c in b)),
                min_size=1, max_size=6), st.integers(1, 4))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_segmentation_by_ngrams_is_the_best(strings, order):
    model = core.byte_ngrams(chunks_of(strings), order, 1)
    table = oracle.ngram_log_probabilities(Counter(strings), order, 1)
    for chunk in set(strings):
        pieces = core.segment_by_ngrams(model, chunks_of([chunk]), False).strings
        scores = {}
        for cuts in itertools.chain.from_iterable(
            itertools.combinations(range(1, len(chunk)), n) for n in range(len(chunk))
        ):
            ends = (*cuts, len(chunk))
            cut = {chunk[a:b] for a, b in zip((0, *cuts), ends, strict=True)}
            name = tuple(sorted(cut, key=lambda piece: (len(piece), piece)))
            score = oracle.ngram_segmentation_score(chunk, ends, table, order)
            scores[name] = max(score, scores.get(name, -np.inf))
        best = max(scores.values())
        assert scores[tuple(pieces)] == pytest.approx(best, rel=1e-9, abs=1e-9)


def test_ngrams_keep_characters_whole():
    text = "\u65e5\u672c\u8a9e".encode()
    chunks = chunks_of([text] * 3 + [text[:4]])
    model = core.byte_ngrams(chunks, 3, 1)
    for workers in (1, 2):
        pieces = core.segment_by_ngrams(model, chunks, True, workers).strings
        assert all(piece[0] & 0xC0 != 0x80 for piece in pieces)
