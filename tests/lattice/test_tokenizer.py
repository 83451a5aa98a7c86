"""The unigram tokenizer against an enumeration of all segmentations."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue_num import _core
from kexue_num.lattice import UnigramTokenizer
from tests.oracles import tokenizer as oracle

ALPHAS = (0.0, 0.01, 0.1, 0.5, 1.0, 5.0, 300.0)


@st.composite
def models(draw, alphabet=b"ab\x00\xc3\xa9 "):
    """Pieces over a small alphabet with every single byte, and a text."""
    letters = st.sampled_from([bytes([c]) for c in alphabet])
    words = st.lists(letters, min_size=2, max_size=5).map(b"".join)
    singles = [bytes([c]) for c in alphabet]
    pieces = draw(st.permutations(singles + draw(st.lists(words, unique=True, max_size=10))))
    scores = draw(st.lists(st.floats(-12, 3), min_size=len(pieces), max_size=len(pieces)))
    text = b"".join(draw(st.lists(letters, max_size=7)))
    return pieces, scores, text


@st.composite
def spelling_models(draw, alphabet="aé漢😀"):
    """Pieces of whole characters beside single bytes, as BytePiece trains them, and a text."""
    letters = st.sampled_from(alphabet)
    singles = [bytes([c]) for c in sorted(set(alphabet.encode()))]
    words = draw(st.lists(st.text(letters, min_size=1, max_size=4), unique=True, max_size=8))
    pieces = draw(st.permutations(singles + [w.encode() for w in words if w != "a"]))
    scores = draw(st.lists(st.floats(-12, 3), min_size=len(pieces), max_size=len(pieces)))
    ends = st.sampled_from([b"", b"", "漢".encode()[1:], b"a" + "é".encode()[:1]])
    text = draw(st.text(letters, max_size=5)).encode() + draw(ends)
    return pieces, scores, text


MODELS = models() | spelling_models()


@settings(max_examples=80, deadline=None)
@given(MODELS, st.sampled_from(ALPHAS))
def test_the_law_of_segmentations(model, alpha):
    pieces, scores, text = model
    tokenizer = UnigramTokenizer.from_pieces(pieces, scores)
    found = oracle.segmentations(text, pieces, scores)
    chances, log_z = oracle.probabilities(found, alpha)
    scale = max(1.0, alpha * max(abs(s) for s in scores) * max(len(text), 1))
    assert tokenizer.log_marginal(text, alpha) == pytest.approx(float(log_z), abs=1e-12 * scale)
    entropy = float(oracle.entropy(chances))
    assert tokenizer.entropy(text, alpha) == pytest.approx(entropy, rel=1e-12, abs=1e-12 * scale)
    counts = np.zeros(len(pieces))
    marginals = tokenizer.marginals(text, alpha)
    np.add.at(counts, marginals.ids, marginals.probabilities)
    due = [float(c) for c in oracle.expected_counts(found, chances, len(pieces))]
    np.testing.assert_allclose(counts, due, rtol=1e-12 * scale, atol=1e-12)
    best = max(float(score) for _, score in found)
    encoded = tokenizer.encode(text)
    assert sum(scores[i] for i in encoded) == pytest.approx(best, abs=1e-12)
    assert b"".join(pieces[i] for i in encoded) == text
    assert tokenizer.decode(encoded, errors=None) == text


@settings(max_examples=40, deadline=None)
@given(MODELS, st.integers(1, 12))
def test_nbest_is_exact(model, k):
    pieces, scores, text = model
    tokenizer = UnigramTokenizer.from_pieces(pieces, scores)
    due = sorted((float(score) for _, score in oracle.segmentations(text, pieces, scores)))[::-1]
    found = tokenizer.nbest(text, k)
    np.testing.assert_allclose([r.score for r in found], due[:k], rtol=1e-12, atol=1e-12)
    assert len({tuple(r.ids) for r in found}) == len(found) == min(k, len(due))
    for row in found:
        assert sum(scores[i] for i in row.ids) == pytest.approx(row.score, abs=1e-12)


def test_many_best_of_a_long_segment():
    """Paths with 32, 31 and 30 pairs: 1, C(33, 2) and the first of C(34, 4)."""
    tokenizer = UnigramTokenizer.from_pieces(["a", "aa"], [-1.0, -0.5])
    found = tokenizer.nbest("a" * 64, 33_000)
    assert [row.score for row in found] == [-16.0] + 528 * [-17.5] + 32_471 * [-19.0]
    assert len({row.ids.tobytes() for row in found}) == 33_000


@settings(max_examples=40, deadline=None)
@given(st.lists(MODELS, min_size=1, max_size=1), st.data(), st.sampled_from(ALPHAS))
def test_counts_for_training(model, data, alpha):
    pieces, scores, first = model[0]
    letters = st.sampled_from([p for p in pieces if len(p) == 1])
    texts = [first, *(b"".join(data.draw(st.lists(letters, max_size=6))) for _ in range(5))]
    multiplicity = np.arange(1.0, len(texts) + 1)
    types = np.full(len(pieces), 1, np.uint8)
    core = _core.lattice.Unigram(pieces, np.array(scores), types)
    flat = np.frombuffer(b"".join(texts), np.uint8)
    begin = np.cumsum([0, *map(len, texts)])
    due, log_z = np.zeros(len(pieces)), 0.0
    for text, m in zip(texts, multiplicity, strict=True):
        found = oracle.segmentations(text, pieces, scores)
        chances, value = oracle.probabilities(found, alpha)
        due += [m * float(c) for c in oracle.expected_counts(found, chances, len(pieces))]
        log_z += m * float(value)
    results = [core.expected_counts(flat, begin, multiplicity, alpha, w) for w in (1, 2)]
    counts, total, pathless = results[0]
    assert pathless == -1 and counts[-1] == 0
    scale = max(1.0, alpha * max(abs(s) for s in scores) * 9)
    np.testing.assert_allclose(counts[:-1], due, rtol=1e-12 * scale, atol=1e-12)
    assert total == pytest.approx(log_z, rel=1e-12, abs=1e-10 * scale)
    np.testing.assert_array_equal(counts, results[1][0])
    assert total == results[1][1]
    counts, total, _ = core.best_counts(flat, begin, multiplicity)
    assert counts[:-1] @ np.array(scores) == pytest.approx(total, rel=1e-11, abs=1e-9)


def test_pickles_and_properties():
    tokenizer = UnigramTokenizer.from_pieces(["a", "b", "ab"], [-1, -2, -2.5])
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.pieces == ["a", "b", "ab"] and again.vocab_size == 3
    np.testing.assert_array_equal(again.scores, [-1, -2, -2.5])
    np.testing.assert_array_equal(again.encode("abba"), tokenizer.encode("abba"))
    assert tokenizer.encode("abba").dtype == np.int32
