"""What each format can say of a tokenizer: chains of steps travel whole or are refused by name."""

import json

import numpy as np
import pytest
import sentencepiece
import tokenizers

from kexue_num.lattice import UnigramTokenizer
from tests.oracles import tokenizer_files as oracle

MARK = "\u2581"
VOCAB = [["<unk>", 0.0], [MARK, -2.0], *([letter, -3.0 - i] for i, letter in enumerate("abcfi")),
         [MARK + "a", -2.5], ["bc", -2.75], ["e\u0301", -4.0], ["\u00e9", -4.25]]  # fmt: skip
TEXTS = ["a bc", "  a  b ", "", " ", "AbC", "\ufb01", "e\u0301\u00e9", "b\ta\u200bc", "c a   bc"]
JOIN = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
ENDS = {"type": "Replace", "pattern": {"Regex": r"\A +| +\z"}, "content": ""}
METASPACE = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always", "split": True}
SPLIT = {"type": "WhitespaceSplit"}


def sequence(*parts, kind="normalizers"):
    return {"type": "Sequence", kind: list(parts)}


def table(normalizer=None, pre_tokenizer=METASPACE, **changes):
    model = {"type": "Unigram", "unk_id": 0, "vocab": VOCAB} | changes.pop("model", {})
    parts = {"version": "1.0", "model": model, "normalizer": normalizer, "added_tokens": [],
             "pre_tokenizer": pre_tokenizer}  # fmt: skip
    return json.dumps(parts | changes).encode()


@pytest.mark.parametrize(
    ("normalizer", "pre_tokenizer"),
    [
        (None, METASPACE),
        ({"type": "NFKC"}, METASPACE),
        (sequence({"type": "NFD"}, {"type": "Lowercase"}), METASPACE),
        ({"type": "Nmt"}, METASPACE),
        ({"type": "Strip", "strip_left": True, "strip_right": False}, METASPACE),
        (sequence(ENDS, JOIN), METASPACE | {"prepend_scheme": "never"}),
        ({"type": "Prepend", "prepend": "b"}, METASPACE | {"split": False}),
        (None, sequence(SPLIT, METASPACE, kind="pretokenizers")),
    ],
)
def test_chains_of_huggingface(normalizer, pre_tokenizer, tmp_path):
    data = table(normalizer, pre_tokenizer)
    ours = UnigramTokenizer.from_huggingface(data)
    ours.save(tmp_path / "a.json", format="huggingface")
    peer = tokenizers.Tokenizer.from_str(data.decode())
    other = tokenizers.Tokenizer.from_file(str(tmp_path / "a.json"))
    again = UnigramTokenizer.from_huggingface(tmp_path / "a.json")
    for text in TEXTS:
        expected = peer.encode(text).ids
        assert ours.encode(text).tolist() == again.encode(text).tolist() == expected
        assert other.encode(text).ids == expected


@pytest.mark.parametrize(
    "normalizer", [sequence(ENDS, JOIN), sequence({"type": "Nmt"}, ENDS, JOIN)]
)
def test_chains_that_sentencepiece_knows(normalizer, tmp_path):
    ours = UnigramTokenizer.from_huggingface(table(normalizer))
    ours.save(tmp_path / "a.model")
    peer = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "a.model"))
    again = UnigramTokenizer.from_sentencepiece(tmp_path / "a.model")
    for text in TEXTS:
        assert peer.encode(text) == again.encode(text).tolist() == ours.encode(text).tolist()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (table(sequence({"type": "NFC"}, JOIN)), "for another chain of steps"),
        (table(JOIN), "for another chain of steps"),
        (table(), "for another chain of steps"),  # other ids where a text begins with a space
        (table(None, METASPACE | {"prepend_scheme": "first"}), "for another chain of steps"),
        (table(added_tokens=[{"id": 11, "content": "x"}]), "for a model with added tokens"),
    ],
)
def test_chains_that_sentencepiece_lacks(data, what, tmp_path):
    with pytest.raises(ValueError, match=f"save: 'format' must .*, got 'sentencepiece' {what}"):
        UnigramTokenizer.from_huggingface(data).save(tmp_path / "a.model")
    assert not (tmp_path / "a.model").exists()


def test_pieces_that_a_format_lacks(tmp_path):
    bytewise = UnigramTokenizer.from_bytepiece(oracle.bytepiece_model({b"a": 1, b"\xe6": 2}))
    with pytest.raises(ValueError, match="for pieces that are no UTF-8"):
        bytewise.save(tmp_path / "a", format="huggingface")
    suffix = oracle.sentencepiece_model([(b"a", -1, 1)], trainer=[(24, 1)])
    with pytest.raises(ValueError, match="for whitespace as a suffix, got 'huggingface'"):
        UnigramTokenizer.from_sentencepiece(suffix).save(tmp_path / "a", format="huggingface")
    lines = UnigramTokenizer.from_pieces(["a\nb"], [-1.0])
    with pytest.raises(ValueError, match=r"for pieces with line breaks, got 'vocab' with piece"):
        lines.save(tmp_path / "a", format="vocab")
    assert not (tmp_path / "a").exists()


def test_vocabularies_by_hand():
    with pytest.raises(ValueError, match="'types' must have one type for each of 2 pieces, got 1"):
        UnigramTokenizer.from_pieces(["a", "b"], [0, 0], types=["normal"])
    with pytest.raises(ValueError, match="'types' must have at most one 'unknown', got 2"):
        UnigramTokenizer.from_pieces(["a", "b"], [0, 0], types=["unknown"] * 2)
    with pytest.raises(TypeError, match="'space_mark' must be a bool or None, got 3"):
        UnigramTokenizer.from_pieces(["a"], [0], space_mark=3)
    marked = UnigramTokenizer.from_pieces([MARK, "a"], [0, 0], space_mark=True)
    assert marked.encode(" a").tolist() == [0, 1]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (table(model={"unk_id": "0"}), "proper 'unk_id'"),
        (table(3), "normalizer that is supported, got 3"),
        (table({"type": "Replace", "pattern": {"String": ""}}), "pattern of Replace that is"),
        (table(sequence({"type": "Replace", "pattern": {"String": " "}, "content": MARK},
                        {"type": "NFC"})), "Replace of spaces before another element"),
        (table(None, 3), "pre_tokenizer that is supported, got 3"),
        (table(None, SPLIT), "pre_tokenizer that is supported, got WhitespaceSplit"),
        (table(None, METASPACE | {"replacement": "_"}), "replacement of Metaspace that is"),
        (table(None, METASPACE | {"prepend_scheme": "last"}), "prepend_scheme that is supported"),
        (table(None, METASPACE | {"prepend_scheme": None, "add_prefix_space": 3}),
         "proper 'add_prefix_space'"),
        (table(added_tokens=3), "list of added_tokens"),
        (table(added_tokens=[3]), "proper added_tokens"),
        (table(added_tokens=[{"id": "0", "content": "a"}]), "proper added_tokens"),
    ],
)  # fmt: skip
def test_bad_elements(data, what):
    with pytest.raises(ValueError, match=f"from_huggingface: 'tokenizer' must .*{what}"):
        UnigramTokenizer.from_huggingface(data)


def test_results_say_what_they_are():
    tokenizer = UnigramTokenizer.from_pieces(["a", "b", "ab"], [-1.0, -2.0, -2.5])
    encoding = tokenizer.encode("ab", return_offsets=True)
    assert repr(encoding) == f"TokenEncoding(n={len(encoding)})" == "TokenEncoding(n=1)"
    marginals = tokenizer.marginals("ab")
    assert repr(marginals) == "TokenMarginals(n_edges=3)"
    np.testing.assert_array_equal(np.asarray(marginals), marginals.probabilities)


@pytest.mark.parametrize(
    "options",
    [{}, {"add_dummy_prefix": False}, {"treat_whitespace_as_suffix": True},
     {"remove_extra_whitespaces": False}],
)  # fmt: skip
def test_spaces_of_ascii_texts(options, english, sentencepiece_bytes):
    # Batches without a doubtful space are taken as they are, others text by text. Rules of one
    # character have ties.
    data = sentencepiece_bytes(normalization_rule_name="identity", byte_fallback=True,
                               vocab_size=600, **options)  # fmt: skip
    peer = sentencepiece.SentencePieceProcessor(model_proto=data)
    ours = UnigramTokenizer.from_sentencepiece(data)
    plain = [" ".join(line.split()) for line in english[:300] if len(set(line)) > 3]
    for doubt in ("", "a", " ", "  ", "a ", " a", "a  b", "x" * 64, "b" * 127 + " ", "\x00\x7f"):
        lines = [*plain[:40], doubt, *plain[40:], "", doubt]
        rows = ours.encode_batch(lines)
        assert [row.tolist() for row in rows] == peer.encode(lines)
        for line, row in zip(lines[::29], list(rows)[::29], strict=True):
            np.testing.assert_array_equal(ours.encode(line, return_offsets=True).ids, row)
