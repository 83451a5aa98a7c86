"""Texts and arguments as bad as callers make them; where tokens come from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue_num.lattice import UnigramTokenizer

LETTERS = ["a", "b", "ab", "é", "漢", "漢字", "字", "\x00", "😀"]
BYTES = [f"<0x{i:02X}>" for i in range(256)]


def letters(**options):
    return UnigramTokenizer.from_pieces(LETTERS, -np.arange(1.0, len(LETTERS) + 1), **options)


def with_unknown(**options):
    types = ["unknown"] + ["normal"] * len(LETTERS)
    return UnigramTokenizer.from_pieces(
        ["<unk>", *LETTERS], [0.0, *-np.arange(1.0, len(LETTERS) + 1)], types=types, **options
    )


def with_bytes(**options):
    types = ["byte"] * 256 + ["normal"] * len(LETTERS)
    scores = [0.0] * 256 + [-1.0] * len(LETTERS)
    return UnigramTokenizer.from_pieces([*BYTES, *LETTERS], scores, types=types, **options)


METHODS = {
    "encode": lambda t, text: t.encode(text),
    "encode_with_offsets": lambda t, text: t.encode(text, return_offsets=True),
    "encode_batch": lambda t, text: t.encode_batch(["a", text]),
    "sample": lambda t, text: t.sample(text, rng=0),
    "sample_streaming": lambda t, text: t.sample(text, rng=0, method="streaming"),
    "sample_batch": lambda t, text: t.sample_batch(["a", text], size=2, rng=0),
    "nbest": lambda t, text: t.nbest(text, 3),
    "nbest_batch": lambda t, text: t.nbest_batch(["a", text], 3),
    "without_replacement": lambda t, text: t.sample_without_replacement(text, 2, rng=0),
    "log_marginal": lambda t, text: t.log_marginal(text),
    "entropy": lambda t, text: t.entropy(text),
    "marginals": lambda t, text: t.marginals(text),
    "lattice": lambda t, text: t.lattice(text),
}


@pytest.fixture(params=sorted(METHODS))
def method(request):
    return METHODS[request.param]


def test_no_path_names_the_first_uncovered_position(method):
    with pytest.raises(ValueError, match=r"must be covered by the pieces, got no piece for 'x' at p"
                       r"osition 4"):  # fmt: skip
        method(letters(), "a漢字éx字")
    with pytest.raises(ValueError, match=r"no piece for b'x' at position 2"):
        method(letters(), b"abx")


@pytest.mark.parametrize("name", ["encode_batch", "sample_batch"])
def test_the_first_text_at_fault_is_named(name):
    many = getattr(letters(), name)
    with pytest.raises(ValueError, match=r"no piece for 'x' at position 1 of \[2\]"):
        many(["ab", "", "axb", "\ud800", "x"])
    with pytest.raises(UnicodeEncodeError, match=r"position 1.*of \[2\]"):
        many(["ab", "", "a\ud800", "x"])
    assert [len(row) > 0 for row in many(["", "ab", "", ""])] == [False, True, False, False]


def test_lone_surrogates(method):
    with pytest.raises(UnicodeEncodeError, match=r"position 2.*'texts?' must not have lone surr"):
        method(letters(), "ab\ud800")
    with pytest.raises(UnicodeEncodeError) as caught:
        method(letters(), "😀\udcffa")
    assert caught.value.start == 1


def test_invalid_utf8(method):
    with pytest.raises(ValueError, match=r"must be UTF-8, got byte 0xff at position 2"):
        method(letters(boundaries="unicode"), b"ab\xff")
    with pytest.raises(ValueError, match=r"no piece for b'\\xff' at position 2"):
        method(letters(), b"ab\xff")
    method(with_unknown(), b"ab\xff\xe6\xbc")
    method(with_bytes(), b"ab\xff\xe6\xbc")


def test_not_a_text(method):
    for wrong in (3, None, ["a"], bytearray(b"a")):
        with pytest.raises(TypeError, match="must be str or bytes"):
            method(letters(), wrong)


def test_an_empty_text(method):
    tokenizer = letters()
    method(tokenizer, "")
    assert len(tokenizer.encode("")) == len(tokenizer.encode(b"")) == 0
    assert tokenizer.log_marginal("") == tokenizer.entropy("") == 0
    assert [row.score for row in tokenizer.nbest("", 3)] == [0]
    assert len(tokenizer.sample_without_replacement("", 3, rng=0)) == 1
    assert len(tokenizer.sample("", rng=0)) == 0
    assert tokenizer.decode([]) == ""
    assert len(tokenizer.encode_batch([])) == len(tokenizer.sample_batch([], rng=0)) == 0


def test_nul_is_a_byte_like_any_other(method):
    method(letters(), "a\0b\0")
    for tokenizer in (letters(), with_unknown(), with_bytes()):
        nul = tokenizer.pieces.index("\0")
        for text in ("\0a\0", b"\0a\0"):
            rows = (tokenizer.encode(text), tokenizer.sample(text, 0.5, rng=0))
            assert all(row.tolist()[::2] == [nul, nul] for row in rows)
            assert tokenizer.encode(text, return_offsets=True).offsets.tolist() == [
                [0, 1],
                [1, 2],
                [2, 3],
            ]
        assert tokenizer.decode(tokenizer.encode("\0a\0")) == "\0a\0"


def test_no_more_samples_than_paths():
    found = letters().sample_without_replacement("ab", 99, rng=0)
    assert sorted(row.tolist() for row in found) == [[0, 1], [2]]
    assert len(letters().nbest("ab", 99)) == 2


@pytest.mark.parametrize("alpha", [np.nan, np.inf, -1.0, 1e308, "1", None])
def test_alpha(alpha):
    error = TypeError if alpha in ("1", None) else ValueError
    tokenizer = letters()
    calls = (
        lambda: tokenizer.sample("ab", alpha, rng=0),
        lambda: tokenizer.sample_batch(["ab"], alpha, rng=0),
        lambda: tokenizer.sample_without_replacement("ab", 1, alpha, rng=0),
        lambda: tokenizer.log_marginal("ab", alpha),
        lambda: tokenizer.entropy("ab", alpha),
        lambda: tokenizer.marginals("ab", alpha),
    )
    for call in calls:
        with pytest.raises(error, match=r"UnigramTokenizer\.\w+: 'alpha' must be"):
            call()


def test_other_arguments():
    tokenizer = letters()
    with pytest.raises(ValueError, match=r"nbest: 'k' must be >= 1, got 0"):
        tokenizer.nbest("ab", 0)
    with pytest.raises(ValueError, match=r"nbest_batch: 'k' must be >= 1, got 0"):
        tokenizer.nbest_batch(["ab"], 0)
    with pytest.raises(ValueError, match=r"without_replacement: 'k' must be >= 0, got -1"):
        tokenizer.sample_without_replacement("ab", -1, rng=0)
    with pytest.raises(ValueError, match=r"sample: 'size' must be >= 0, got -1"):
        tokenizer.sample("ab", size=-1)
    with pytest.raises(ValueError, match=r"sample_batch: 'size' must be >= 0, got -1"):
        tokenizer.sample_batch(["ab"], size=-1)
    with pytest.raises(ValueError, match=r"sample_batch: 'first_index' must lie in 0.."):
        tokenizer.sample_batch(["ab"], first_index=-1)
    for refused in (
        tokenizer.sample_batch,
        lambda texts, **w: tokenizer.nbest_batch(texts, 2, **w),
    ):
        with pytest.raises(ValueError, match=r"_batch: 'workers' must lie in 1..1024, got 0"):
            refused(["ab"], workers=0)
    with pytest.raises(ValueError, match=r"'method' must be one of"):
        tokenizer.sample("ab", method="best")
    with pytest.raises(ValueError, match=r"'workers' must lie in 1..1024, got 0"):
        tokenizer.encode_batch(["ab"], workers=0)
    with pytest.raises(TypeError, match=r"'texts' must be a sequence"):
        tokenizer.encode_batch("ab")
    with pytest.raises(ValueError, match=r"decode: 'ids' must lie in 0..8, got 9 at \[1\]"):
        tokenizer.decode([0, 9])
    with pytest.raises(ValueError, match=r"got int at \[1\]|must be str or bytes"):
        try:
            tokenizer.encode_batch(["ab", 7])
        except TypeError as error:
            raise ValueError(str(error)) from error


@pytest.mark.parametrize(
    ("pieces", "scores", "message"),
    [
        (["a", "a"], [0, 0], r"'pieces' must differ, got 'a' at \[0\] and \[1\]"),
        (["a", ""], [0, 0], r"'pieces' must not be empty, got an empty piece at \[1\]"),
        (["a", "b"], [0], r"'scores' must have one score for each of 2 pieces, got 1"),
        (["a", "b"], [0, np.nan], r"'scores' must be finite, or -inf"),
        (["a", "b"], [0, np.inf], r"'scores' must be finite, or -inf"),
        (["\u2581a", "a", b"a"], [0, 0, 0], r"'pieces' must differ"),
    ],
)
def test_bad_vocabularies(pieces, scores, message):
    with pytest.raises(ValueError, match=message):
        UnigramTokenizer.from_pieces(pieces, scores)


def test_vocabularies_of_wrong_kinds():
    with pytest.raises(TypeError, match=r"'pieces' must be a sequence"):
        UnigramTokenizer.from_pieces("ab", [0, 0])
    with pytest.raises(TypeError, match=r"'pieces' must be str or bytes, got int at \[1\]"):
        UnigramTokenizer.from_pieces(["a", 1], [0, 0])
    with pytest.raises(ValueError, match=r"'types' must be one of"):
        UnigramTokenizer.from_pieces(["a"], [0], types=["letter"])
    with pytest.raises(ValueError, match=r"named <0x00>"):
        UnigramTokenizer.from_pieces(["a"], [0], types=["byte"])
    with pytest.raises(ValueError, match=r"'boundaries' must be one of"):
        UnigramTokenizer.from_pieces(["a"], [0], boundaries="word")
    empty = UnigramTokenizer.from_pieces([], [])
    assert empty.vocab_size == 0 and len(empty.encode("")) == 0
    with pytest.raises(ValueError, match="position 0"):
        empty.encode("a")


def test_an_absent_piece_is_not_used():
    tokenizer = UnigramTokenizer.from_pieces(["a", "aa"], [-1, -np.inf])
    assert tokenizer.encode("aaa").tolist() == [0, 0, 0]
    assert tokenizer.lattice("aaa").count_paths() == 1


def test_unknown_characters():
    tokenizer = with_unknown()
    assert tokenizer.encode("axyb").tolist() == [1, 0, 2]
    encoded = tokenizer.encode("axyb", return_offsets=True)
    assert encoded.offsets.tolist() == [[0, 1], [1, 3], [3, 4]]
    assert tokenizer.encode("x" * 40 + " y").tolist() == [0]
    assert tokenizer.decode([1, 0]) == "a \u2047 "
    assert tokenizer.nbest("xya", 2)[0].ids.tolist() == [0, 1]
    # An unknown character lies 10 below the worst piece.
    assert tokenizer.nbest("x", 1)[0].score == -19
    # Or where it is asked to, which decides between it and the pieces around it.
    for score in (-3.0, 0.0, 2.5):
        assert with_unknown(unknown_score=score).nbest("x", 1)[0].score == score


def test_wide_characters_behind_short_pieces():
    """Walks see three characters: the last may lie further behind than the longest piece."""
    tokenizer = UnigramTokenizer.from_pieces(
        ["<unk>", "a", "b"], [0.0, -1.0, -2.0], types=["unknown", "normal", "normal"]
    )
    text = "".join("ab" * n + wide for n in range(40) for wide in ("漢", "a😀", " "))
    # The space becomes U+2581, unknown as well; unknown characters in a row are one token.
    expected: list[int] = []
    for n in range(40):
        for last in ([0], [1, 0], [0]):
            expected += [1, 2] * n + last
    expected = [t for i, t in enumerate(expected) if t or i == 0 or expected[i - 1]]
    assert tokenizer.encode(text).tolist() == expected
    assert tokenizer.nbest(text, 2)[0].ids.tolist() == expected
    assert [row.tolist() for row in tokenizer.sample(text, size=3, rng=0)] == [expected] * 3
    assert tokenizer.entropy(text) == 0


def test_byte_fallback():
    tokenizer = with_bytes()
    assert tokenizer.encode("a€").tolist() == [256, 0xE2, 0x82, 0xAC]
    encoded = tokenizer.encode("a€b", return_offsets=True)
    assert encoded.offsets.tolist() == [[0, 1], [1, 2], [1, 2], [1, 2], [2, 3]]
    encoded = tokenizer.encode("a€b".encode(), return_offsets=True)
    assert encoded.offsets.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]]
    assert tokenizer.decode(tokenizer.encode("a€漢字😀\x00ß")) == "a€漢字😀\x00ß"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.text("ab漢字é\x00 \u2581😀ßx", max_size=60))
def test_anything_goes_through_bytes(text):
    """Encoding, samples and the best ones come back to the same text; offsets cover it."""
    tokenizer = with_bytes()
    data = text.encode() if isinstance(text, str) else text
    encoded = tokenizer.encode(text, return_offsets=True)
    rows = [
        encoded.ids,
        tokenizer.encode(text),
        *tokenizer.sample(text, 0.1, size=3, rng=0),
        *tokenizer.sample(text, 0.1, size=1, rng=0, method="streaming"),
        *(row.ids for row in tokenizer.nbest(text, 3)),
        *tokenizer.sample_without_replacement(text, 2, rng=0),
    ]
    assert tokenizer.decode_batch(rows, errors=None) == [data] * len(rows)
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[0], tokenizer.nbest(text, 1)[0].ids)
    starts, ends = encoded.offsets.reshape(-1, 2).T
    assert (np.diff(starts) >= 0).all() and (starts < ends).all()
    if len(text):
        assert starts[0] == 0 and ends[-1] == len(text)
        assert (starts[1:] <= ends[:-1]).all()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40))
def test_bytes_as_pieces(text):
    """A vocabulary of all bytes and some longer ones cuts anywhere, or at characters if asked."""
    more = ["漢".encode()[:2], "漢".encode(), "字".encode()[1:] + b"a", b"\x00\x00"]
    pieces = [bytes([i]) for i in range(256)] + more
    tokenizer = UnigramTokenizer.from_pieces(pieces, np.linspace(-9, -2, len(pieces)))
    for row in (tokenizer.encode(text), tokenizer.sample(text, 0.2, rng=1)):
        assert tokenizer.decode(row, errors=None) == text


def test_boundaries():
    pieces = [b"\xe6", b"\xbc\xa2", "漢".encode(), "漢字".encode(), "字".encode(), b"a"]
    free = UnigramTokenizer.from_pieces(pieces, np.full(6, -1.0))
    assert free.lattice("漢字a").count_paths() == 3
    bound = UnigramTokenizer.from_pieces(pieces, np.full(6, -1.0), boundaries="unicode")
    assert bound.lattice("漢字a").count_paths() == 2
    assert bound.boundaries == "unicode" and free.boundaries == "byte"
    with pytest.raises(ValueError, match="no piece for 'é' at position 1"):
        bound.encode("aé")


def test_space_marks():
    pieces = ["\u2581the", "\u2581", "t", "h", "e", "\u2581c", "at", "a"]
    tokenizer = UnigramTokenizer.from_pieces(pieces, np.full(8, -1.0))
    encoded = tokenizer.encode("the cat\u2581the", return_offsets=True)
    assert encoded.ids.tolist() == [2, 3, 4, 5, 6, 0]
    assert encoded.offsets.tolist() == [[0, 1], [1, 2], [2, 3], [3, 5], [5, 7], [7, 11]]
    assert tokenizer.decode(encoded.ids) == "the cat the"
    encoded = tokenizer.encode("\u2581 the".encode(), return_offsets=True)
    assert encoded.offsets.tolist() == [[0, 3], [3, 7]]
    plain = UnigramTokenizer.from_pieces(pieces, np.full(8, -1.0), space_mark=False)
    with pytest.raises(ValueError, match="no piece for ' ' at position 3"):
        plain.encode("the cat")


def test_user_defined_and_control_pieces():
    pieces = ["a", "b", "ab", "<x>", "</s>", "<", ">", "x", "aab"]
    types = ["normal"] * 3 + ["user_defined", "control"] + ["normal"] * 3 + ["unused"]
    tokenizer = UnigramTokenizer.from_pieces(pieces, -np.arange(1.0, 10), types=types)
    assert tokenizer.encode("ab<x>aab").tolist() == [2, 3, 0, 2]
    # Three characters at the best score of a piece, less a little.
    assert tokenizer.nbest("<x>", 1)[0].score == pytest.approx(-3.1)
    with pytest.raises(ValueError, match="position 1"):
        tokenizer.encode("</s>")
    assert tokenizer.decode([0, 4, 1]) == "ab"


def test_results_read_as_the_contract_says():
    tokenizer = letters()
    ids, offsets = tokenizer.encode("ab漢字", return_offsets=True)
    assert ids.dtype == np.int32 and offsets.shape == (2, 2)
    rows = tokenizer.encode_batch(["ab", "", b"a"])
    assert [row.tolist() for row in rows] == [[2], [], [0]] and rows.lengths().tolist() == [1, 0, 1]
    assert repr(rows) == "TokenRows(n_rows=3, n_ids=2)"
    assert repr(tokenizer.nbest("ab", 1)[0]) == "ScoredTokens(ids=[2], score=-3)"
    assert np.asarray(tokenizer.marginals("ab")).shape == (3,)
    assert tokenizer.decode_batch(rows) == ["ab", "", "a"]
    scored = tokenizer.nbest_batch(["ab", "", "ab漢字"], 3)
    assert scored.counts.tolist() == [2, 1, 3] and len(scored) == len(scored.scores) == 6
    many = tokenizer.sample_batch(["ab", "a"], size=2, rng=0)
    assert many[1, 1].tolist() == many[3].tolist() == [0]
    with pytest.raises(IndexError):
        rows[3]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_first_fault_of_a_batch_is_named(workers):
    tokenizer = UnigramTokenizer.from_pieces(["a", "b", "ab"], [-1, -2, -2.5])
    good = ["ab" * (i % 7) for i in range(500)]
    faults = {50: ("abc", ValueError), 200: (7, TypeError), 499: ("\ud800", UnicodeEncodeError)}
    while faults:
        texts = list(good)
        for i, (text, _) in faults.items():
            texts[i] = text
        first = min(faults)
        for call, options in (
            (tokenizer.encode_batch, {}),
            (tokenizer.sample_batch, {"size": 1, "rng": 0}),
            (tokenizer.sample_batch, {"size": 3, "rng": 0}),
            (tokenizer.nbest_batch, {"k": 2}),
        ):
            with pytest.raises(faults[first][1], match=rf"\[{first}\]"):
                call(texts, workers=workers, **options)
        del faults[first]
    for size in (0, 1, 3, 70):
        due = tokenizer.sample_batch(good, size=size, rng=0, workers=1)
        rows = tokenizer.sample_batch(good, size=size, rng=0, workers=workers)
        np.testing.assert_array_equal(rows.ids, due.ids)
        np.testing.assert_array_equal(rows.offsets, due.offsets)
    best = [tokenizer.nbest_batch(good, 3, workers=w) for w in (1, workers)]
    for name in ("ids", "offsets", "scores", "counts"):
        np.testing.assert_array_equal(getattr(best[0], name), getattr(best[1], name))


def test_memory_follows_the_texts_and_not_the_first_of_them():
    tokenizer = UnigramTokenizer.from_pieces(["a", "b"], [-1.0, -1.0])
    texts = ["a" * 6_000_000] + ["b"] * 400_000
    rows = tokenizer.encode_batch(texts)
    assert len(rows) == len(texts)
    assert len(rows[0]) == 6_000_000
    assert rows[-1].tolist() == [1]
