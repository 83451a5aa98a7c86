"""Training: what sentencepiece makes of a trained model, quality, options, and both methods."""

import io
import math
from collections import Counter

import numpy as np
import pytest
import sentencepiece

from kexue_num import _core
from kexue_num.lattice import UnigramTokenizer
from tests.lattice.test_chunks import chunks_of
from tests.oracles import tokenizer_files as oracle

core = _core.lattice


def train(texts, size, **options):
    return UnigramTokenizer.train(texts, size, **{"normalization": "identity", **options})


def normal(tokenizer):
    """The pieces that were learned."""
    kinds = tokenizer._normalizer.types
    return [p for p, kind in zip(tokenizer.pieces, kinds, strict=True) if kind == 1]


@pytest.fixture(scope="module")
def lines(english):
    return english[:1500]


def test_trained_models_work_in_sentencepiece(lines, multilingual, tmp_path):
    ours = UnigramTokenizer.train(
        [*lines, *multilingual],
        600,
        byte_fallback=True,
        character_coverage=0.97,
        user_defined_symbols=["self"],
        control_symbols=["<c>"],
        pad_id=3,
        normalization="nmt_nfkc",
    )
    assert ours.vocab_size == 600 and ours.pieces[:6] == [
        "<unk>", "<s>", "</s>", "<pad>", "<c>", "self"]  # fmt: skip
    ours.save(tmp_path / "m.model")
    peer = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    assert len(peer) == 600 and peer.pad_id() == 3 and peer.is_control(4)
    held = [*lines[::7], *multilingual, "self.x  \u2460\ufb01 \U0001f600", ""]
    theirs = peer.encode(held)
    different = [
        (a, b) for a, b in zip(ours.encode_batch(held), theirs, strict=True) if list(a) != b
    ]
    for a, b in different:  # ties
        assert math.fsum(ours.scores[a]) == pytest.approx(math.fsum(ours.scores[b]), rel=1e-6)
    assert len(different) <= 0.03 * len(held)
    assert ours.decode(ours.encode("naïve \U0001f600")) == "naïve \U0001f600"


@pytest.mark.parametrize("size", [300, 1000])
def test_quality_is_that_of_sentencepiece(size, lines):
    shown, held = [x for i, x in enumerate(lines) if i % 4], lines[::4]
    ours = train(shown, size)
    writer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(shown), model_writer=writer, vocab_size=size, minloglevel=2,
        normalization_rule_name="identity", num_threads=1, seed_sentencepiece_size=20000,
    )  # fmt: skip
    peer = UnigramTokenizer.from_sentencepiece(writer.getvalue())
    assert peer.vocab_size == ours.vocab_size == size
    likelihood = [sum(t.log_marginal(x) for x in held) for t in (ours, peer)]
    assert likelihood[0] > likelihood[1]


def test_results_do_not_depend_on_the_workers(lines):
    for method, size in (("em", 300), ("bnlm", 400)):
        options = {"method": method, "normalization": "identity"}
        one, two = (UnigramTokenizer.train(lines[:500], size, workers=w, **options) for w in (1, 2))
        assert one.pieces == two.pieces
        np.testing.assert_array_equal(one.scores, two.scores)


def test_the_text_is_read_once(lines):
    bars = []

    class Bar:
        def __init__(self, total=None, desc=""):
            bars.append([desc, total, 0])

        def update(self, n=1):
            bars[-1][2] += n

        def close(self):
            bars[-1].append("closed")

    once = train((x for x in lines[:300]), 200, progress=Bar)
    assert once.pieces == train([x.encode() for x in lines[:300]], 200).pieces
    assert [bar[0] for bar in bars] == ["count", "expectation maximisation"]
    assert bars[0][2] == 300 and all(bar[3] == "closed" for bar in bars)


def test_rules_about_pieces(lines):
    texts = [*lines[:400], "x1y22z333 " * 20]

    def learned(**options):
        return normal(train(texts, 260, **options))

    plain = learned()
    assert all("\u2581" not in piece[1:] for piece in plain)
    assert all(len(piece) <= 16 for piece in plain) and any(len(p) > 5 for p in plain)
    assert not any(any(c.isalpha() for c in p) and any(c.isdigit() for c in p) for p in plain)
    assert max(map(len, learned(max_piece_length=4))) == 4
    assert any("\u2581" in p[1:] for p in learned(split_by_whitespace=False))
    digits = learned(split_digits=True)
    assert all(len(p) == 1 or not any(c.isdigit() for c in p) for p in digits)
    mixed = learned(split_by_script=False, character_coverage=1.0)
    assert any(any(c.isalpha() for c in p) and not p.strip("\u2581").isalpha() for p in mixed)
    suffix = learned(whitespace_as_suffix=True)
    assert all("\u2581" not in p[:-1] for p in suffix) and any(p[-1] == "\u2581" for p in suffix)
    spaces = learned(allow_whitespace_only_pieces=True, remove_extra_whitespaces=False)
    assert any(len(p) > 1 and set(p) == {"\u2581"} for p in spaces)


def test_characters_that_are_covered():
    texts = ["aaaa bbbb cc d"] * 30 + ["\u00e9"]
    every = train(texts, 12, character_coverage=1.0)
    assert "\u00e9" in every.pieces
    most = train(texts, 12, character_coverage=0.99)
    assert "\u00e9" not in most.pieces and most.encode("\u00e9").tolist()[-1] == 0


def test_symbols_are_never_part_of_pieces(lines):
    texts = [line.replace("the", "<the>") for line in lines[:300]]
    ours = train(texts, 220, user_defined_symbols=["<the>"], split_by_script=False)
    number = ours.pieces.index("<the>")
    assert not any("<the>" in piece for piece in normal(ours))
    assert number in ours.encode("of <the> class")
    assert ours.decode(ours.encode("of <the> class")) == "of <the> class"


def test_little_memory_is_enough():
    rng = np.random.default_rng(0)
    syllables = ["ka", "lo", "mi", "ne", "su", "ta", "ra", "vi"]
    texts = [" ".join("".join(rng.choice(syllables, 6)) for _ in range(40)) for _ in range(800)]
    full, little = (
        train(texts, 80, max_memory=m, split_by_number=False) for m in (1 << 26, 1 << 20)
    )
    held = [" ".join("".join(rng.choice(syllables, 6)) for _ in range(40)) for _ in range(30)]
    a, b = (sum(t.log_marginal(x) for x in held) for t in (full, little))
    assert b > a - 0.02 * abs(a)


def test_alternatives():
    strings = [b"a", b"b", b"ab", b"abb", b"bb", b"c", b"cab"]
    scores = np.log(np.array([5, 4, 3, 2, 2, 1, 1]) / 18)
    pieces = chunks_of(strings)
    found = core.log_alternatives(core.unigram_of(pieces, scores))
    table = dict(zip(strings, scores, strict=True))
    expected = [oracle.log_alternative(piece, table) for piece in strings]
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_each_iteration_raises_the_likelihood(lines):
    chunks = chunks_of([line.encode() for line in lines[:100] if line])
    rules = core.SeedRules()
    rules.size = 500
    pieces = core.seed_pieces(chunks, rules)
    counts, last = pieces.counts, -np.inf
    for _ in range(6):
        scores = np.log(np.maximum(counts, 1e-300)) - math.log(counts.sum())
        counts, total = core.expected_counts(core.unigram_of(pieces, scores), chunks)
        assert total >= last - 1e-9 * abs(total)
        last = total


# The byte n-gram method


def test_byte_pieces(lines, tmp_path):
    ours = UnigramTokenizer.train(lines[:800], 700, method="bnlm")
    assert ours.vocab_size <= 700 and ours.vocab_size > 650
    assert ours.pieces[:3] == ["<pad>", "<bos>", "<eos>"]
    texts = [p.encode() if isinstance(p, str) else p for p in ours.pieces[3:]]
    assert texts == sorted(texts, key=lambda p: (len(p), p)) and len(texts[255]) == 1
    assert all(len(text) <= 36 for text in texts)
    assert any(b" " in text[1:-1] for text in texts)
    table = dict(zip(texts, ours.scores[3:].tolist(), strict=True))
    for text in texts:  # each piece is the best way to write itself
        assert table[text] >= max(oracle.log_best_alternative(text, table), -math.inf) - 1e-9
    ours.save(tmp_path / "b", format="bytepiece")
    again = UnigramTokenizer.from_bytepiece(tmp_path / "b")
    np.testing.assert_allclose(again.scores, ours.scores, rtol=1e-12)
    text = "\u65e5\u672c e\u0301 \x00 the class"
    assert again.encode(text).tolist() == ours.encode(text).tolist()
    assert ours.decode(ours.encode(b"\xff\x00a"), errors=None) == b"\xff\x00a"


def test_byte_pieces_by_hand():
    texts = ["abab", "abc", "abab", "xab", "xab", "cab"] * 3
    counts = Counter()
    chunks = chunks_of([t.encode() for t in texts])
    cut = core.segment_by_ngrams(core.byte_ngrams(chunks, 3, 2), chunks, True)
    counts.update(dict(zip(cut.strings, cut.counts.tolist(), strict=True)))
    for byte in range(256):
        counts[bytes([byte])] = counts[bytes([byte])] or 1
    kept = oracle.prune_byte_pieces(counts, lambda piece, n: len(piece) == 1 or n >= 2)
    ours = UnigramTokenizer.train(texts, 300, method="bnlm", order=3)
    found = {p.encode() if isinstance(p, str) else p for p in ours.pieces[3:]}
    assert found == set(kept)
    total = sum(kept.values())
    for piece, score in zip(ours.pieces[3:], ours.scores[3:], strict=True):
        text = piece.encode() if isinstance(piece, str) else piece
        assert score == pytest.approx(math.log(kept[text]) - math.log(total), rel=1e-12)


def test_bytes_begin_characters(multilingual):
    ours = UnigramTokenizer.train(multilingual * 3, 500, method="bnlm")
    for piece in ours.pieces[3:]:
        text = piece.encode() if isinstance(piece, str) else piece
        assert len(text) == 1 or text[0] & 0xC0 != 0x80


# Arguments


@pytest.mark.parametrize(
    ("change", "error", "what"),
    [
        ({"corpus": "text"}, TypeError, "train: 'corpus' must be an iterable of texts"),
        ({"corpus": [3]}, TypeError, r"train: 'corpus' must hold str or bytes, got int at \[0\]"),
        ({"corpus": ["\ud800"]}, ValueError, "without surrogates, got a lone surrogate in text 0"),
        ({"corpus": []}, ValueError, "must hold some text, got 0 texts"),
        ({"corpus": [""]}, ValueError, "must hold some text"),
        ({"vocab_size": 5}, ValueError, "leave room for the 4 characters"),
        ({"vocab_size": 10**4}, ValueError, "leave at most"),
        ({"vocab_size": 2.5}, TypeError, "'vocab_size' must be an integer"),
        ({"method": "bpe"}, ValueError, "'method' must be one of 'em', 'bnlm'"),
        ({"method": "bnlm", "vocab_size": 200}, ValueError, "room for 256 bytes"),
        ({"method": "bnlm", "normalization": "nfkc"}, ValueError, "'normalization' must be one of"),
        ({"normalization": "nfd"}, ValueError, "'normalization' must be one of"),
        ({"character_coverage": 0}, ValueError, "'character_coverage' must be > 0 and <= 1"),
        ({"unk_id": -1}, ValueError, "'unk_id' must lie in"),
        ({"bos_id": 0}, ValueError, "'bos_id' must differ"),
        ({"control_symbols": ["<s>"]}, ValueError, "must be new pieces"),
        ({"control_symbols": "ab"}, TypeError, "'control_symbols' must be a sequence of str"),
        ({"user_defined_symbols": [""]}, ValueError, "'user_defined_symbols' must hold different"),
        ({"shrinking_factor": 1}, ValueError, "'shrinking_factor' must be"),
        ({"max_memory": 10}, ValueError, "'max_memory' must be >= 1048576"),
        ({"max_piece_length": -1}, ValueError, "'max_piece_length' must lie in"),
        ({"workers": 0}, ValueError, "'workers'"),
    ],
)  # fmt: skip
def test_bad_arguments(change, error, what):
    options = {"corpus": ["a b a b c"] * 4, "vocab_size": 8, **change}
    with pytest.raises(error, match=what):
        train(options.pop("corpus"), options.pop("vocab_size"), **options)


@pytest.mark.parametrize("counts", ["expected_counts", "best_counts"])
def test_counts_do_not_depend_on_workers_or_on_how_texts_fill_blocks(counts):
    model = core.Unigram([b"a", b"b", b"ab"], np.array([-1.0, -2, -2.5]), np.ones(3, np.uint8))

    def count(texts, multiplicity, workers):
        begin = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        flat = np.frombuffer(b"".join(texts), np.uint8)
        return getattr(model, counts)(flat, begin, multiplicity, workers=workers)

    long = b"ab" * 500
    cases = [[], [b""], [long, *[b""] * 30], [*[b""] * 30, long], [b"ab" * i for i in range(40)]]
    for texts in [*cases, [b"c", *[b"ab"] * 5], [*[b"ab"] * 7, *[b"cc"] * 40]]:
        multiplicity = np.arange(1.0, len(texts) + 1)
        due = np.zeros(4)
        for m, text in zip(multiplicity, texts, strict=True):
            due += m * count([text], np.ones(1), 1)[0]
        one = count(texts, multiplicity, 1)
        np.testing.assert_allclose(one[0], due, rtol=1e-12)
        bad = [i for i, text in enumerate(texts) if b"c" in text]
        assert one[2] == (bad[0] if bad else -1)
        for workers in (2, 3):
            same = count(texts, multiplicity, workers)
            np.testing.assert_array_equal(same[0], one[0])
            assert same[1:] == one[1:]
