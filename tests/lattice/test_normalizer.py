"""Normalisers against sentencepiece, tokenizers and Python's unicodedata."""

import random
import unicodedata

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue_num import _core
from kexue_num.lattice import _rules
from kexue_num.lattice._normalizer import AddedToken, Normalizer, Step, sentencepiece_normalizer

LETTERS = (
    "ab ./Z  \t\n\u3000\u00a0\u2581\u00e9e\u0301\ufb01\u212b\uff21\u1100\u1161\u11a8\uac00\ud7a3"
    "\u65e5\u672c\u2460\u00bd\u200b\u200d\ufeff\ufffd\x01\x7f\U0001f600\u2167\u01c6\u0345\u0323"
)


def run(normalizer, text, trace=False):
    data = text.encode() if isinstance(text, str) else text
    return normalizer.build().normalize(data, trace)


def normal(normalizer, text):
    return run(normalizer, text)[0].decode()


def chain(*steps, **options):
    return Normalizer(steps, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
        {"normalization_rule_name": "nfkc_cf", "add_dummy_prefix": False},
        {"treat_whitespace_as_suffix": True},
        {"user_defined_symbols": ("ab", "\u00e9", "a b", " /", "\u00a0")},
    ],
    ids=["default", "keep spaces", "folded", "suffix", "protected"],
)
def test_equals_sentencepiece(sentencepiece_bytes, options):
    data = sentencepiece_bytes(**options)
    theirs = sentencepiece.SentencePieceProcessor(model_proto=data)
    file = _core.lattice.read_model(data)
    ours = sentencepiece_normalizer(
        file.charsmap,
        add_dummy_prefix=file.add_dummy_prefix,
        remove_extra_whitespaces=file.remove_extra_whitespaces,
        escape_whitespaces=file.escape_whitespaces,
        whitespace_as_suffix=file.whitespace_as_suffix,
        protect=[piece for piece, kind in zip(file.pieces, file.types, strict=True) if kind == 4],
    )
    built, rng = ours.build(), random.Random(1)
    for _ in range(400):
        text = "".join(rng.choices(LETTERS, k=rng.randrange(25)))
        expected, places = theirs.normalize(text, with_offsets=True)
        found, sources = built.normalize(text.encode(), True)
        assert found.decode().replace(" ", "\u2581") == expected.replace(" ", "\u2581")
        starts = np.cumsum([0, *(len(c.encode()) for c in text)])
        points = np.cumsum([0, *(len(c.encode()) for c in found.decode())])
        if expected:
            np.testing.assert_array_equal(sources[points[: len(places)]], starts[places])


@pytest.mark.parametrize("name", ["nfkc", "nmt_nfkc_cf"])
def test_rules_are_those_of_sentencepiece(name):
    # For characters that Python's version of Unicode knows.
    from importlib.resources import files

    data = files("sentencepiece").joinpath("package_data", f"{name}.bin").read_bytes()
    theirs, ours = (
        chain(Step("map", rules=rules)).build() for rules in (data, _rules.rule_map("f", "a", name))
    )
    for code in [*range(1, 0x3400, 3), *range(0xA000, 0xAC10, 3), *range(0xF900, 0x10000, 3)]:
        for form in ("NFC", "NFD", "NFKD"):
            character = chr(code)
            if unicodedata.category(character) not in ("Cn", "Cs"):
                text = unicodedata.normalize(form, character).encode()
                assert ours.normalize(text, False)[0] == theirs.normalize(text, False)[0], code


characters = st.characters(codec="utf-8")
texts = st.text(st.one_of(st.sampled_from(LETTERS + "\u0300\u0301\u0327"), characters), max_size=20)


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@given(text=texts)
@settings(max_examples=60, deadline=None)
def test_unicode_forms(form, text):
    found, sources = run(chain(Step("form", form=form)), text, trace=True)
    assert found.decode() == unicodedata.normalize(form, text)
    assert len(sources) == len(found) + 1
    assert (np.diff(sources) >= 0).all() or form in ("NFC", "NFD", "NFKC", "NFKD")
    assert sources[-1] == len(text.encode())


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_unicode_forms_of_every_character(form):
    """Between ASCII, behind and before marks, beside itself: runs are copied, the rest is not."""
    codes = [c for c in (*range(0x3400), *range(0xA000, 0x11F00)) if not 0xD800 <= c < 0xE000]
    text = "".join(f"abcdefgh{chr(c)}a{chr(c)}\u0301{chr(c)}{chr(c)}\u1161" for c in codes)
    found, sources = run(chain(Step("form", form=form)), text, trace=True)
    due = unicodedata.normalize(form, text)
    assert found.decode() == due
    assert normal(chain(Step("form", form=form)), text) == due
    if form == "NFC":  # letters keep their sources
        starts = np.cumsum([0, *(len(c.encode()) for c in text)])
        letters = np.arange(0, len(text), 15)
        places = [i for i in range(len(found)) if found[i : i + 7] == b"abcdefg"]
        np.testing.assert_array_equal(sources[places], starts[letters])


def test_unicode_forms_of_long_runs_of_marks():
    rng = random.Random(3)
    marks = [chr(c) for c in range(0x300, 0x370)] + ["a", "\u1100", "\u1161", "\u11a8", "\uac00"]
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        for _ in range(50):
            text = "".join(rng.choices(marks, k=30))
            assert normal(chain(Step("form", form=form)), text) == unicodedata.normalize(form, text)


@given(data=st.binary(max_size=30))
@settings(max_examples=60, deadline=None)
def test_bytes_that_are_no_text_pass_through(data):
    for step in (
        Step("form", form="NFC"),
        Step("map", rules=_rules.build_map({"zz": "y"})),
        Step("pieces", add_dummy_prefix=False, remove_extra_whitespaces=False),
    ):
        found, sources = run(chain(step), data, trace=True)
        assert len(sources) == len(found) + 1
        try:
            data.decode()
        except UnicodeDecodeError:
            continue
        found.decode()
    assert run(chain(), data)[0] == data


@given(
    rules=st.dictionaries(
        st.text(st.sampled_from("ab\u00e9\u65e5"), min_size=1, max_size=4),
        st.text(max_size=3).filter(lambda t: "\0" not in t),
        max_size=8,
    ),
    text=st.text(st.sampled_from("ab\u00e9\u65e5c"), max_size=20),
)
@settings(max_examples=100, deadline=None)
def test_the_longest_rule_wins(rules, text):
    expected, i = "", 0
    while i < len(text):
        sizes = [n for n in range(1, 5) if text[i : i + n] in rules and i + n <= len(text)]
        size = max(sizes, default=0)
        expected += rules[text[i : i + size]] if size else text[i]
        i += size or 1
    step = Step("map", rules=_rules.build_map(rules))
    assert normal(chain(step), text) == expected


def test_small_steps():
    def one(source, kind, **options):
        return normal(chain(Step(kind, **options), escape=kind == "mark"), source)

    assert one(" \t\u3000a b\u00a0 ", "strip", left=True, right=True) == "a b"
    assert one(" \ta\n ", "strip", text=" ", left=True, right=True) == "\ta\n"
    assert one("   ", "strip", left=True, right=True) == ""
    assert one("a  b   c d", "join", text="_") == "a_b_c d"
    assert one("a", "prepend", text="x") == "xa"
    assert one("", "prepend", text="x") == ""
    assert one("a b", "mark", prefix="always") == " a b"
    assert one(" a", "mark", prefix="always") == " a"
    assert one("\u2581a", "mark", prefix="always") == " a"
    assert one("a b", "mark", prefix="never") == "a b"
    assert one("\ta \n b ", "mark", prefix="always", words=True) == " a b"
    assert one("\ta b", "mark", prefix="first", words=True) == "ab"
    assert one("\u00c9TA", "map", rules=_rules.lowercase_map()) == "\u00e9ta"
    assert one("e\u0301", "map", rules=_rules.strip_accents_map()) == "e"


def test_added_tokens_are_cut_out():
    tokens = (
        AddedToken("<s>", 7),
        AddedToken("<s>>", 8),
        AddedToken("<mask>", 9, left=True),
        AddedToken("new", 10, normalized=True),
    )
    normalizer = chain(
        Step("map", rules=_rules.lowercase_map()), Step("mark"), escape=True, added=tokens
    )
    text, sources = run(normalizer, "A<s>NEWb  <mask>C<s>>", trace=True)
    one, two, three, four = (chr(0x100000 + i) for i in range(4))
    assert text.decode() == f" a{one}{four} b{three} c{two}"
    assert sources[-1] == 21 and len(sources) == len(text) + 1
    assert normal(normalizer, "x\U00100000y") == " x\ufffd y"


def test_maps_refuse_what_is_none():
    for blob in (b"abc", b"\0" * 5, b"\4\0\0\0abcd", b"\xff\xff\xff\xff" + b"\0" * 100):
        with pytest.raises(ValueError, match="map of characters"):
            Step("map", rules=blob).build()
    for rules in ({"": "x"}, {"a\0": "x"}, {"a" * 1001: "x"}):
        with pytest.raises(ValueError, match="rule"):
            _rules.build_map(rules)


@given(data=st.binary(min_size=1, max_size=400), text=st.binary(max_size=50))
@settings(max_examples=100, deadline=None)
def test_hostile_maps(data, text):
    size = len(data) // 8 * 4
    for blob in (data, size.to_bytes(4, "little") + data):
        try:
            normalizer = chain(Step("pieces", rules=blob)).build()
        except ValueError:
            continue
        normalizer.normalize(text, True)


def test_names_of_rules():
    with pytest.raises(ValueError, match="train: 'normalization' must be one of 'identity'"):
        _rules.rule_map("train", "normalization", "nfd")
