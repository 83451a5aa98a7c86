"""Model files: the ids of the peers, round trips, and whatever else a file may hold."""

import base64
import json
import math
import pathlib
import pickle
import random
import tempfile

import numpy as np
import pytest
import sentencepiece
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue_num.lattice import UnigramTokenizer
from kexue_num.lattice._normalizer import sentencepiece_normalizer
from tests.oracles import tokenizer_files as oracle

CASES = {
    "default": {},
    "bytes": {"byte_fallback": True, "vocab_size": 600},
    "spaces": {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "no prefix": {"add_dummy_prefix": False},
    "suffix": {"treat_whitespace_as_suffix": True},
    "symbols": {"user_defined_symbols": ("self", "\u00e9", " /", "the"), "control_symbols": "<c>"},
    "sentences": {"split_by_whitespace": False},
}
ODD = (
    "\u65e5\u672c\u8a9e \u30c6 h\u00e9llo \ufb01 \u2460", "  a  b  ", "", "   ", "<s> x </s>",
    "\x00a", "<0x41>", "\u2581\u2581", "x" * 300, "<c>the \u00e9 /self",
)  # fmt: skip


def texts(english, multilingual):
    return [*english[700:1700:2], *multilingual, *ODD]


def assert_same(ours, theirs, scores):
    """Rows of ids are equal, or their scores are as equal as float32 sums can tell."""
    ties = 0
    for a, b in zip(ours, theirs, strict=True):
        if list(a) != list(b):
            total = [math.fsum(scores[i] for i in row) for row in (a, b)]
            assert abs(total[0] - total[1]) <= 1e-5 * (1 + abs(total[0])), (list(a), list(b))
            ties += 1
    assert ties <= 0.03 * len(theirs)


@pytest.mark.parametrize("case", CASES)
def test_ids_are_those_of_sentencepiece(case, english, multilingual, sentencepiece_bytes):
    data = sentencepiece_bytes(**CASES[case])
    peer = sentencepiece.SentencePieceProcessor(model_proto=data)
    ours = UnigramTokenizer.from_sentencepiece(data)
    assert ours.vocab_size == len(peer)
    assert ours.pieces == [peer.id_to_piece(i) for i in range(len(peer))]
    lines = texts(english, multilingual)
    theirs = peer.encode(lines)
    assert_same(ours.encode_batch(lines), theirs, ours.scores)
    assert [ours.decode(row) for row in theirs] == [peer.decode(row) for row in theirs]


@pytest.mark.parametrize("case", CASES)
def test_saved_models_work_in_sentencepiece(case, english, tmp_path, sentencepiece_bytes):
    data = sentencepiece_bytes(**CASES[case])
    ours, path = UnigramTokenizer.from_sentencepiece(data), tmp_path / "a.model"
    ours.save(path)
    before, after = (
        sentencepiece.SentencePieceProcessor(model_proto=d) for d in (data, path.read_bytes())
    )
    lines = [*english[700:1200:3], *ODD]
    assert before.encode(lines) == after.encode(lines)
    for name in ("bos_id", "eos_id", "pad_id", "unk_id"):
        assert getattr(before, name)() == getattr(after, name)()
    again = UnigramTokenizer.from_sentencepiece(path)
    assert again.pieces == ours.pieces and np.array_equal(again.scores, ours.scores)
    copy = pickle.loads(pickle.dumps(ours))
    for line in lines[:20]:
        np.testing.assert_array_equal(copy.encode(line), ours.encode(line))


@pytest.mark.parametrize("case", ["default", "bytes", "spaces", "no prefix", "sentences"])
def test_saved_models_work_in_tokenizers(case, english, multilingual, tmp_path,
                                         sentencepiece_bytes):  # fmt: skip
    ours = UnigramTokenizer.from_sentencepiece(sentencepiece_bytes(**CASES[case]))
    path = tmp_path / "tokenizer.json"
    ours.save(path, format="huggingface")
    peer = tokenizers.Tokenizer.from_file(str(path))
    again = UnigramTokenizer.from_huggingface(path)
    lines = [*english[700:1200:2], *multilingual, "  a  b  ", "   ", "\x00a", "x" * 300]
    theirs = [peer.encode(line, add_special_tokens=False).ids for line in lines]
    assert_same(again.encode_batch(lines), theirs, ours.scores)
    assert_same(ours.encode_batch(lines), theirs, ours.scores)


def test_symbols_that_only_a_normaliser_protects(tmp_path, sentencepiece_bytes):
    ours = UnigramTokenizer.from_sentencepiece(
        sentencepiece_bytes(user_defined_symbols=("\ufb01",))
    )
    with pytest.raises(ValueError, match="save: 'format' must be"):
        ours.save(tmp_path / "a", format="huggingface")


@pytest.fixture(scope="module")
def huggingface(english):
    """A tokenizer trained by tokenizers, with what surrounds its model in published ones."""
    from tokenizers import AddedToken, Regex, normalizers, pre_tokenizers, trainers

    def make(split=True, words=False, scheme="always"):
        peer = tokenizers.Tokenizer(tokenizers.models.Unigram())
        peer.normalizer = normalizers.Sequence(
            [
                normalizers.Replace("``", '"'),
                normalizers.NFKD(),
                normalizers.StripAccents(),
                normalizers.Lowercase(),
                normalizers.Replace(Regex(" {2,}"), " "),
                normalizers.Strip(),
            ]
        )
        mark = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
        parts = [pre_tokenizers.WhitespaceSplit(), mark]
        peer.pre_tokenizer = pre_tokenizers.Sequence(parts) if words else mark
        trainer = trainers.UnigramTrainer(
            vocab_size=300,
            special_tokens=["<unk>", "<s>", "</s>"],
            unk_token="<unk>",
            show_progress=False,
        )
        peer.train_from_iterator(english[:400], trainer)
        peer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
        peer.add_tokens([AddedToken("zz", normalized=True), AddedToken("Q!", normalized=False)])
        return peer

    return make


@pytest.mark.parametrize(
    "options",
    [{}, {"split": False}, {"words": True}, {"scheme": "first"}, {"scheme": "never"}],
    ids=str,
)
def test_ids_are_those_of_tokenizers(options, huggingface, english, multilingual):
    peer = huggingface(**options)
    ours = UnigramTokenizer.from_huggingface(peer.to_str())
    lines = [
        *english[500:900:2], *multilingual, "", "  a  ", "a <mask>b<s>", "<unk>", "fizz zz ZZ Q!q!",
        "<mask>", "Q!Q! a", "\u2581a \u2581", "\u00c9t\u00e9 ``x``", "\u2581\u2581b  c",
    ]  # fmt: skip
    theirs = [peer.encode(line, add_special_tokens=False).ids for line in lines]
    assert_same(ours.encode_batch(lines), theirs, ours.scores)


def test_added_tokens_are_certain(huggingface):
    ours = UnigramTokenizer.from_huggingface(huggingface().to_str())
    number = ours.pieces.index("<mask>")
    for row in ours.nbest("the <mask> of", 50):
        assert (row.ids == number).sum() == 1
    assert ours.decode(ours.encode("zz <mask>")) == "zz"


def test_offsets_are_places_of_the_text(sentencepiece_bytes):
    ours = UnigramTokenizer.from_sentencepiece(sentencepiece_bytes())
    text = "  the \ufb01rst   class"
    encoding = ours.encode(text, return_offsets=True)
    covered = [text[a:b] for a, b in encoding.offsets]
    assert "".join(covered) == "the \ufb01rst   class"
    assert covered[0].strip() == ours.pieces[encoding.ids[0]].strip("\u2581")


def test_vocabularies(tmp_path, english, sentencepiece_bytes):
    options = {"normalization_rule_name": "identity", "byte_fallback": True, "vocab_size": 600}
    data = sentencepiece_bytes(**options)
    peer = sentencepiece.SentencePieceProcessor(model_proto=data)
    ours, path = UnigramTokenizer.from_sentencepiece(data), tmp_path / "a.vocab"
    ours.save(path, format="vocab")
    again = UnigramTokenizer.from_sentencepiece(path)
    assert again.pieces == ours.pieces
    np.testing.assert_allclose(again.scores, ours.scores, rtol=1e-8)
    lines = english[700:900]
    assert_same(again.encode_batch(lines), peer.encode(list(lines)), ours.scores)


COUNTS = {bytes([b]): 1 + b for b in range(256)} | {
    b"the": 4000, b" the": 9000, "\u65e5\u672c".encode(): 700, b"\xe6\x97": 50, b"\n\n": 300,
}  # fmt: skip


def test_bytepiece(tmp_path):
    data = oracle.bytepiece_model(COUNTS)
    ours = UnigramTokenizer.from_bytepiece(data)
    order = sorted(COUNTS, key=lambda piece: (len(piece), piece))
    assert ours.vocab_size == len(COUNTS) + 3
    total = sum(COUNTS.values())
    scores = {piece: math.log(n) - math.log(total) for piece, n in COUNTS.items()}
    for text in ("the the\n\n\u65e5\u672c", "e\u0301", "\x00\xff"):
        found = ours.encode(text)
        import unicodedata

        expected = oracle.best_pieces(unicodedata.normalize("NFC", text).encode(), scores)
        assert [order[i - 3] for i in found] == expected
        assert ours.decode(found) == unicodedata.normalize("NFC", text)
    assert ours.decode(ours.encode(b"\xff\xfe the"), errors=None) == b"\xff\xfe the"
    ours.save(tmp_path / "b", format="bytepiece")
    again = UnigramTokenizer.from_bytepiece(tmp_path / "b")
    assert again.pieces == ours.pieces
    np.testing.assert_allclose(again.scores, ours.scores, rtol=1e-13)
    other = UnigramTokenizer.from_bytepiece(oracle.bytepiece_model(COUNTS, first=0))
    assert other.vocab_size == len(COUNTS)


def test_pieces_given_by_hand(tmp_path):
    pieces, scores = ["<unk>", "\u2581a", "b", "\u2581"], [0.0, -1.0, -2.0, -3.0]
    types = ["unknown", "normal", "normal", "normal"]
    ours = UnigramTokenizer.from_pieces(pieces, scores, types=types)
    for name in ("sentencepiece", "huggingface"):
        ours.save(tmp_path / name, format=name)
    peer = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "sentencepiece"))
    other = tokenizers.Tokenizer.from_file(str(tmp_path / "huggingface"))
    for text in (" ab", "ab a", "", "  b?!"):
        assert ours.encode(text).tolist() == peer.encode(text) == other.encode(text).ids


# Bad files

MODEL = oracle.sentencepiece_model(
    [(b"<unk>", 0, 2), (b"\xe2\x96\x81a", -1, 1), (b"b", -2, 1), (b"<s>", 0, 3), (b"ab", -3, 1)]
)


def refuse(load, data, what):
    with pytest.raises(ValueError, match=what):
        load(data)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "no pieces"),
        (b"hello", "cut short or no protocol buffer"),
        (MODEL[:-1], "cut short"),
        (b"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7fx", "cut short"),
        (b"\n" + b"\xff" * 20, "cut short"),
        (oracle.sentencepiece_model([(b"a", 0, 9)]), "unknown type"),
        (
            oracle.sentencepiece_model([(b"a", 0, 1)], trainer=[(3, 2)]),
            "type UNIGRAM, got type BPE",
        ),
        (oracle.sentencepiece_model([(b"a", math.nan, 1)]), "finite scores, got nan for piece 0"),
        (oracle.sentencepiece_model([(b"a", -1, 1), (b"a", -1, 1)]), "as pieces 0 and 1"),
        (oracle.sentencepiece_model([(b"", -1, 1)]), "an empty piece 0"),
        (oracle.sentencepiece_model([(b"a", -1, 1)], trainer=[(35, 1)]), "none for <0x00>"),
        (oracle.sentencepiece_model([(b"a", 0, 2), (b"b", 0, 2)]), "at most one unknown piece"),
        (oracle.sentencepiece_model([(b"a", 0, 1)], normalizer=[(2, b"ab")]), "map of characters"),
        (b"a\t-1\nb\tx\n", "line 2"),
        (b"a\t-1\nb\tnan\n", "line 2"),
    ],
)
def test_bad_models_of_sentencepiece(data, what):
    refuse(UnigramTokenizer.from_sentencepiece, data, what)


def table(**changes):
    model = {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0]]}
    return json.dumps({"model": model | changes.pop("model", {})} | changes)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("{", "must be JSON"),
        ("{}", "must have a model"),
        (table(model={"type": "BPE"}), "of type 'Unigram', got 'BPE'"),
        (table(model={"vocab": []}), "vocab of"),
        (table(model={"vocab": [["a"]]}), "vocab of"),
        (table(model={"vocab": [["a", "b"]]}), "vocab of"),
        (table(model={"vocab": [["a", math.nan]]}), "vocab of"),
        (table(model={"vocab": [["\ud800", 1]]}), "surrogates"),
        (table(model={"unk_id": 2}), "unk_id"),
        (table(normalizer={"type": "BertNormalizer"}), "normalizer that is supported, got BertN"),
        (table(normalizer={"type": "Replace", "pattern": {"Regex": "x+"}, "content": ""}), "x+"),
        (table(normalizer={"type": "Precompiled", "precompiled_charsmap": "?"}), "map of char"),
        (table(pre_tokenizer={"type": "Whitespace"}), "pre_tokenizer that is supported, got Wh"),
        (table(added_tokens=[{"id": 0, "content": "x"}]), "agree with the vocab"),
        (table(added_tokens=[{"id": 10**9, "content": "x"}]), "near the vocab"),
        (table(added_tokens=[{"id": 2, "content": "x", "single_word": True}]), "single_word"),
    ],
)
def test_bad_tokenizers(data, what):
    refuse(UnigramTokenizer.from_huggingface, data.encode(), what.replace("+", r"\+"))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b'{"a": 1}', b'{"?": [3, "", 1]}', b'{"YQ==": [3, "a", 0]}',
        b'{"YQ==": [-1, "a", 1]}', b'{"YQ==": [3, "a", NaN]}', b'{"YQ==": [3, "a", true]}',
        b'{"YQ==": [99999999, "a", 1]}', b'{"YQ==": [3, "a", 1], "Yg==": [3, "b", 1]}',
        b'{"": [3, "", 1]}', b'{"YQ==": [3, "a", 1' + b"0" * 400 + b"]}", b"[" * 100000,
    ],
)  # fmt: skip
def test_bad_models_of_bytepiece(data):
    refuse(UnigramTokenizer.from_bytepiece, data, "UnigramTokenizer.from_bytepiece: 'model' must")


def test_arguments(tmp_path):
    ours = UnigramTokenizer.from_sentencepiece(MODEL)
    with pytest.raises(ValueError, match="save: 'format' must be one of 'sentencepiece'"):
        ours.save(tmp_path / "a", format="onnx")
    with pytest.raises(TypeError, match="save: 'path' must be a path, got 3"):
        ours.save(3)
    with pytest.raises(ValueError, match="'bytepiece', which knows NFC"):
        ours.save(tmp_path / "a", format="bytepiece")
    for load in (
        UnigramTokenizer.from_sentencepiece,
        UnigramTokenizer.from_huggingface,
        UnigramTokenizer.from_bytepiece,
    ):
        with pytest.raises(TypeError, match="must be a path or bytes, got 3"):
            load(3)
        with pytest.raises(FileNotFoundError):
            load(tmp_path / "missing")
        with pytest.raises(ValueError, match="must be a file"):
            load(tmp_path)
    assert not (tmp_path / "a").exists()


# Hostile files: whatever the bytes, a tokenizer that works or a ValueError


def saved():
    """Files of our own in every format, with all that they can hold."""
    lines = [
        "the cat sat on the mat",
        "\u65e5\u672c\u8a9e \u30c6\u30ad",
        "a <sep> b",
        "cafe\u0301",
    ] * 4
    options = {"byte_fallback": True, "user_defined_symbols": ["<sep>"], "control_symbols": ["<c>"]}
    pieces = UnigramTokenizer.train(lines, 300, normalization="nfkc", **options)
    ngrams = UnigramTokenizer.train(lines, 270, method="bnlm")
    with tempfile.TemporaryDirectory() as folder:
        for name, tokenizer, load in (
            ("sentencepiece", pieces, UnigramTokenizer.from_sentencepiece),
            ("vocab", pieces, UnigramTokenizer.from_sentencepiece),
            ("huggingface", pieces, UnigramTokenizer.from_huggingface),
            ("bytepiece", ngrams, UnigramTokenizer.from_bytepiece),
        ):
            path = pathlib.Path(folder) / name
            tokenizer.save(path, format=name)
            yield pytest.param(load, path.read_bytes(), id=f"our {name}")


SEEDS = [
    *saved(),
    (UnigramTokenizer.from_sentencepiece, MODEL),
    (
        UnigramTokenizer.from_sentencepiece,
        oracle.sentencepiece_model([(b"a", -1.5, 1)], normalizer=[(2, b"\4\0\0\0\0\0\0\0ab\0")]),
    ),
    (UnigramTokenizer.from_sentencepiece, b"a\t-1\nb\t-2\n"),
    (UnigramTokenizer.from_bytepiece, oracle.bytepiece_model({b"a": 1, b"ab": 2})),
    (UnigramTokenizer.from_huggingface, table(normalizer={"type": "NFKC"}).encode()),
    (
        UnigramTokenizer.from_huggingface,
        table(
            added_tokens=[{"id": 2, "content": "x", "lstrip": True, "special": True}],
            pre_tokenizer={"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first"},
        ).encode(),
    ),
]


@pytest.mark.parametrize(("load", "data"), SEEDS)
@given(seed=st.integers(0, 2**32), noise=st.binary(max_size=12))
@settings(max_examples=80, deadline=None)
def test_hostile_files(load, data, seed, noise):
    rng = random.Random(seed)
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(changed) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            changed[place : place + rng.randrange(1, 9)] = noise
        elif kind == 1 and place < len(changed):
            changed[place] = rng.randrange(256)
        elif kind == 2:
            del changed[place:]
        else:
            changed[place:place] = bytes(changed[: rng.randrange(len(changed) + 1)])
    try:
        ours = load(bytes(changed))
    except ValueError:
        return
    for text in ("ab x\u00e9", b"\xff a"):
        try:
            ours.decode(ours.encode(text))
        except ValueError:
            continue  # no piece covers a character


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_noise(data):
    for load in (
        UnigramTokenizer.from_sentencepiece,
        UnigramTokenizer.from_huggingface,
        UnigramTokenizer.from_bytepiece,
    ):
        try:
            load(data)
        except ValueError:
            continue


def test_maps_of_characters_travel(english, tmp_path, sentencepiece_bytes):
    # A Precompiled normaliser is the map that sentencepiece has.
    data = sentencepiece_bytes()
    ours = UnigramTokenizer.from_sentencepiece(data)
    ours.save(tmp_path / "t.json", format="huggingface")
    element = json.loads((tmp_path / "t.json").read_bytes())["normalizer"]["normalizers"][0]
    rules = base64.b64decode(element["precompiled_charsmap"])
    found = sentencepiece_normalizer(rules).core.normalize("\uff21\u2460".encode(), False)[0]
    assert found == b" A1"
    other = UnigramTokenizer.from_huggingface(tmp_path / "t.json")
    other.save(tmp_path / "again.json", format="huggingface")
    text = (tmp_path / "again.json").read_text(encoding="utf-8")
    assert (
        json.loads(text)["model"] == json.loads((tmp_path / "t.json").read_text("utf-8"))["model"]
    )
