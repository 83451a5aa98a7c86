"""Samples of segmentations: their law, and that they depend on nothing but key, text and numbers.

Chi-square statistics have a fixed seed and fail by chance once in a million (p > 1e-6).
"""

import pickle

import numpy as np
import pytest
from scipy.stats import chi2

from kexue_num.lattice import UnigramTokenizer
from tests.oracles import tokenizer as oracle

N_SAMPLES = 2_000_000


def word_tokenizer(seed=0):
    """Pieces of up to six letters, so that places have more than four edges."""
    letters = [bytes([c]) for c in b"abcdef"]
    words = [b"abcdef"[i:j] for i in range(6) for j in range(i + 2, 7)]
    pieces = letters + words
    scores = np.random.default_rng(seed).normal(-3, 1.2, len(pieces))
    return UnigramTokenizer.from_pieces(pieces, scores), pieces, scores


def names_of(rows, offsets, codes):
    """A 64-bit number for each row that tells sequences apart."""
    place = np.arange(len(rows)) - np.repeat(offsets[:-1], np.diff(offsets))
    return np.add.reduceat(codes[place, rows], offsets[:-1])


def chi_square_tail(drawn, text, pieces, scores, alpha):
    """P(a statistic this large); cells of expectation below 10 are pooled."""
    found = oracle.segmentations(text, pieces, scores)
    chances, _ = oracle.probabilities(found, alpha)
    codes = np.random.default_rng(0).integers(0, 2**63, (50, len(pieces)), dtype=np.uint64)
    rows = np.concatenate([ids for ids, _ in found])
    offsets = np.cumsum([0, *(len(ids) for ids, _ in found)])
    names = names_of(rows, offsets, codes)
    assert len(np.unique(names)) == len(names)
    order = np.argsort(names)
    values, counts = np.unique(names_of(drawn.ids, drawn.offsets, codes), return_counts=True)
    assert np.isin(values, names).all()
    seen = np.zeros(len(found))
    seen[order[np.searchsorted(names[order], values)]] = counts
    due = len(drawn) * np.array([float(p) for p in chances])
    small = due < 10
    if small.any():
        seen = np.append(seen[~small], seen[small].sum())
        due = np.append(due[~small], due[small].sum())
    kept = due > 0
    assert not seen[~kept].any()
    statistic = ((seen - due)[kept] ** 2 / due[kept]).sum()
    return chi2.sf(statistic, max(kept.sum() - 1, 1))


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 1.0, 5.0])
def test_two_million_samples(alpha):
    """One word of 32 segmentations, and one with those of a second behind a cut: 256."""
    tokenizer, pieces, scores = word_tokenizer()
    drawn = tokenizer.sample(b"abcdefdcdef", alpha, size=N_SAMPLES, rng=1)
    assert len(drawn) == N_SAMPLES
    assert chi_square_tail(drawn, b"abcdefdcdef", pieces, scores, alpha) > 1e-6


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_samples_of_segments_that_are_not_remembered(alpha):
    """Beyond 32 bytes: one piece that repeats makes 233 segmentations of a tail of fixed text."""
    pieces = [b"x" * 26, b"a", b"aa", b"xa"]
    scores = [-5.0, -1.0, -1.7, -30.0]
    text = b"x" * 26 + b"a" * 12
    tokenizer = UnigramTokenizer.from_pieces([*pieces, b"x"], [*scores, -np.inf])
    drawn = tokenizer.sample(text, alpha, size=200_000, rng=3)
    assert chi_square_tail(drawn, text, pieces, scores, alpha) > 1e-6


@pytest.mark.parametrize(
    "text", ["\u6f22\u5b57\u00e9\U0001f600", "\u6f22\u5b57a\u5b57\u00e9\u6f22"]
)
def test_samples_spell_characters(text):
    """Characters as pieces, or byte after byte: BytePiece's models."""
    pieces, _ = pieces_that_spell()
    scores = np.random.default_rng(4).normal(-2, 1, len(pieces))
    tokenizer = UnigramTokenizer.from_pieces(pieces, scores)
    drawn = tokenizer.sample(text, 0.6, size=400_000, rng=2)
    assert chi_square_tail(drawn, text.encode(), pieces, scores, 0.6) > 1e-6


@pytest.mark.parametrize(
    ("method", "due"),
    [
        ("exact", [1 / 3, 1 / 3, 1 / 3]),
        ("streaming", [1 / 3, 1 / 3, 1 / 3]),
        ("viterbi_sampling", [1 / 4, 1 / 4, 1 / 2]),
    ],
)
def test_three_segmentations_of_the_post(method, due):
    """w atching, wat ching, watch ing of equal score (9811, 2023-10-16)."""
    pieces = ["w", "atching", "wat", "ching", "watch", "ing"]
    tokenizer = UnigramTokenizer.from_pieces(pieces, np.full(6, -2.0))
    drawn = tokenizer.sample("watching", size=400_000, rng=5, method=method)
    first = drawn.ids[drawn.offsets[:-1]]
    seen = np.bincount(first, minlength=5)[[0, 2, 4]]
    due = 400_000 * np.array(due)
    assert chi2.sf(((seen - due) ** 2 / due).sum(), 2) > 1e-6


def test_streaming_has_the_exact_law():
    tokenizer, pieces, scores = word_tokenizer()
    drawn = tokenizer.sample(b"abcdef", 0.7, size=300_000, rng=2, method="streaming")
    assert chi_square_tail(drawn, b"abcdef", pieces, scores, 0.7) > 1e-6


def text_lines(n=400, seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("abcdef"), rng.integers(0, 80))) for _ in range(n)]


@pytest.mark.parametrize("method", ["exact", "streaming", "viterbi_sampling"])
def test_samples_do_not_depend_on_how_the_work_is_split(method):
    tokenizer, _, _ = word_tokenizer()
    lines = text_lines()
    whole = tokenizer.sample_batch(lines, 0.3, size=3, rng=7, method=method)
    assert len(whole) == 1200 and whole.size == 3
    for workers in (1, 2, 7):
        again = tokenizer.sample_batch(lines, 0.3, size=3, rng=7, method=method, workers=workers)
        np.testing.assert_array_equal(again.ids, whole.ids)
        np.testing.assert_array_equal(again.offsets, whole.offsets)
        single = tokenizer.sample_batch(lines, 0.3, rng=7, method=method, workers=workers)
        for i in range(0, 400, 7):
            np.testing.assert_array_equal(single[i], whole[i, 0])
    fresh = pickle.loads(pickle.dumps(tokenizer))
    order = [350, 0, 399, 17]
    for i in order:  # one at a time, in any order, with nothing remembered, and fewer samples
        part = fresh.sample_batch(
            lines[i : i + 1], 0.3, size=2, rng=7, method=method, first_index=i
        )
        for j in range(2):
            np.testing.assert_array_equal(part[0, j], whole[i, j])


def test_many_samples_are_those_of_any_number():
    tokenizer, _, _ = word_tokenizer()
    many = tokenizer.sample("abcdefabc", 0.2, size=100, rng=9)
    few = tokenizer.sample("abcdefabc", 0.2, size=33, rng=9)
    one = tokenizer.sample("abcdefabc", 0.2, rng=9)
    np.testing.assert_array_equal(many.ids[: len(few.ids)], few.ids)
    np.testing.assert_array_equal(one, many[0])
    assert len(tokenizer.sample("abc", size=0, rng=0)) == 0
    assert len(np.unique(np.concatenate([tokenizer.sample("a", size=2, rng=0).ids]))) == 1


def test_remembered_and_new_words_agree():
    """The same words inside long segments, and in a tokenizer that has forgotten them."""
    tokenizer, _, _ = word_tokenizer()
    lines = text_lines(3000, seed=1)
    first = tokenizer.sample_batch(lines, 1.0, rng=4, workers=1)
    second = tokenizer.sample_batch(lines, 1.0, rng=4, workers=1)
    np.testing.assert_array_equal(first.ids, second.ids)
    best = tokenizer.encode_batch(lines, workers=1)
    for i in range(0, 3000, 500):
        np.testing.assert_array_equal(best[i], tokenizer.encode(lines[i], return_offsets=True).ids)


def test_a_line_of_ten_megabytes():
    """One segment without a cut: the local choices against 50-digit sums over a window.

    Marginals far from both ends do not depend on the ends, so that the middle of the line must
    give those of a short line.
    """
    pieces = ["a", "aa", "aaa", "ab", "b", "ba"]
    scores = [-1.3, -2.1, -4.0, -1.9, -2.2, -3.1]
    tokenizer = UnigramTokenizer.from_pieces(pieces, scores)
    unit = "aabaaab"
    n = 10_000_000 // len(unit)
    short = unit * 60
    per_unit = tokenizer.log_marginal(unit * 61) - tokenizer.log_marginal(short)
    long = unit * n
    log_z = tokenizer.log_marginal(long)
    expected = tokenizer.log_marginal(short) + (n - 60) * per_unit
    assert log_z == pytest.approx(expected, rel=1e-10)
    drawn = tokenizer.sample(long, rng=0)
    assert tokenizer.decode(drawn) == long
    due = tokenizer.marginals(short)
    middle = (due.starts >= 28 * 7) & (due.starts < 32 * 7)
    share = np.zeros(len(pieces))
    np.add.at(share, due.ids[middle], due.probabilities[middle] / 4)
    seen = np.bincount(drawn, minlength=len(pieces)) / n
    # The count of a piece per unit has a standard error below 1.2 / sqrt(n) = 1e-3.
    np.testing.assert_allclose(seen, share, atol=6e-3)


def pieces_of_bytes():
    _, pieces, _ = word_tokenizer()
    joints = [bytes([a, b]) for a in b"abcdef\xe4" for b in b"abcdef\xe4"]
    pieces = [*dict.fromkeys([*pieces, *joints, b"\xe4", b"abcdefab", b"abcdefabcdef"])]
    return pieces, [bytes([c]) for c in b"abcdefabcdef\xe4"]


def pieces_that_spell():
    """Whole characters, any two of which may stand together, beside all their bytes."""
    letters = [letter.encode() for letter in "aé漢字😀"]
    joints = [a + b for a in letters for b in letters]
    singles = [bytes([c]) for c in sorted(set(b"".join(letters)))]
    return [*dict.fromkeys([*singles, *letters[:4], *joints, b"".join(letters)])], letters


@pytest.mark.parametrize("pieces_and_letters", [pieces_of_bytes, pieces_that_spell])
def test_long_segments_of_bytes_have_their_marginals(pieces_and_letters):
    """One segment of 1500 to 3000 bytes, pieces within its characters: samples, the best, the sums.

    At most 20 000 counts, each within 6.5 of its standard deviations and 6.5 events: false alarms
    are rarer than once in a million.
    """
    pieces, letters = pieces_and_letters()
    scores = np.random.default_rng(2).normal(-3, 1.2, len(pieces))
    tokenizer = UnigramTokenizer.from_pieces(pieces, scores)
    n_letters = 3000 // max(map(len, letters))
    text = b"".join(
        letters[i] for i in np.random.default_rng(3).integers(0, len(letters), n_letters)
    )
    due = tokenizer.marginals(text, 0.3)
    width = len(pieces)
    cells = due.starts * width + due.ids
    n = 3000
    drawn = tokenizer.sample(text, 0.3, size=n, rng=6)
    sizes = np.array([len(piece) for piece in pieces])[drawn.ids]
    ends = np.cumsum(sizes)
    assert (ends[drawn.offsets[1:] - 1] == len(text) * np.arange(1, n + 1)).all()
    seen = np.bincount((ends - sizes) % len(text) * width + drawn.ids, minlength=len(text) * width)
    assert seen.sum() == seen[cells].sum()
    expected = n * due.probabilities
    off = np.abs(seen[cells] - expected)
    assert (off <= 6.5 * np.sqrt(expected) + 6.5).all()
    lattice = tokenizer.lattice(text)
    assert tokenizer.log_marginal(text, 0.3) == pytest.approx(
        lattice.log_partition(alpha=0.3), rel=1e-13
    )
    best = tokenizer.encode(text)
    assert scores[best].sum() == pytest.approx(lattice.viterbi().score, rel=1e-13)
    assert b"".join(pieces[i] for i in best) == text


@pytest.mark.parametrize("alpha", [0.0, 1.0, 40.0])
def test_local_choices_keep_their_accuracy(alpha):
    """Expected counts over a segment of 7000 bytes against a lattice with exponents of its own."""
    pieces = ["a", "aa", "aaa", "ab", "b", "ba"]
    scores = [-1.3, -2.1, -4.0, -1.9, -2.2, -3.1]
    tokenizer = UnigramTokenizer.from_pieces(pieces, scores)
    text = "aabaaab" * 1000
    lattice = tokenizer.lattice(text)
    assert tokenizer.log_marginal(text, alpha) == pytest.approx(
        lattice.log_partition(alpha=alpha), rel=1e-13
    )
    from kexue_num import _core

    model = _core.lattice.Unigram(
        [p.encode() for p in pieces], np.array(scores), np.ones(6, np.uint8)
    )
    flat = np.frombuffer(text.encode(), np.uint8)
    counts, _, _ = model.expected_counts(flat, np.array([0, len(flat)]), np.ones(1), alpha)
    due = np.zeros(7)
    np.add.at(due, lattice.labels, lattice.marginals(alpha=alpha))
    np.testing.assert_allclose(counts, due, rtol=1e-11, atol=1e-12)


def test_samples_without_replacement():
    tokenizer, pieces, scores = word_tokenizer()
    found = oracle.segmentations(b"abcdef", pieces, scores)
    chances, _ = oracle.probabilities(found, 0.5)
    due = {ids: float(p) for (ids, _), p in zip(found, chances, strict=True)}
    drawn = tokenizer.sample_without_replacement("abcdef", 10, 0.5, rng=0)
    assert len(drawn) == 10 and len({tuple(row) for row in drawn}) == 10
    for row, log_prob in zip(drawn, drawn.log_prob, strict=True):
        assert np.exp(log_prob) == pytest.approx(due[tuple(row)], rel=1e-12)
    everything = tokenizer.sample_without_replacement("abcdef", 1000, 0.5, rng=0)
    assert len(everything) == len(found) == 32
    assert np.exp(everything.log_prob).sum() == pytest.approx(1, rel=1e-12)
    assert not everything.log_inclusion.any()


def test_an_integer_seed_is_the_same_every_time():
    tokenizer, _, _ = word_tokenizer()
    for seed in (0, 5, 2**200 + 1):
        due = tokenizer.sample("abcdefabc", size=20, rng=np.random.default_rng(seed)).ids
        for again in (seed, seed, [seed]):
            rows = tokenizer.sample("abcdefabc", size=20, rng=again)
            np.testing.assert_array_equal(rows.ids, due)
