"""Texts of one to four bytes a character: strings of every width, bytes, batches."""

import random

import numpy as np
import pytest

from kexue_num.lattice import UnigramTokenizer
from tests.oracles.tokenizer_files import best_pieces, sentencepiece_model

ALPHABETS = {
    "few characters": "a é的一是\U0001f600\x00",
    # More than Characters::kExact: neighbours are hashed.
    "many characters": "".join(chr(c) for c in range(0x4E00, 0x4E00 + 4200)) + "ab é\U0001f600",
}


def random_model(alphabet, seed):
    """Pieces of up to 7 characters, most of the single ones among them, and their scores."""
    draw = random.Random(seed)
    often = [*draw.choices(alphabet, k=12), *"a é的\U0001f600"]
    pieces = dict.fromkeys(c for c in alphabet if c == " " or draw.random() < 0.9)
    for _ in range(300):
        pieces["".join(draw.choices(often, k=draw.randint(2, 7)))] = None
    scores = np.float32([draw.gauss(-8, 3) for _ in pieces]).astype(float)
    return list(pieces), scores, often


def random_texts(alphabet, often, seed):
    draw = random.Random(seed)
    texts = ["", "a", "é", "的", "\U0001f600", "z" * 70]
    for _ in range(60):
        part = draw.choices(often, k=draw.randint(1, 90))
        texts.append(
            "".join(c if draw.random() < 0.9 else draw.choice(alphabet + "zü") for c in part)
        )
    narrow = [text.replace("\U0001f600", "是") for text in texts]
    latin = [text.encode("latin-1", "replace").decode("latin-1") for text in texts]
    ascii_only = [text.encode("ascii", "replace").decode() for text in texts]
    return {"wide": texts, "narrow": narrow, "latin": latin, "ascii": ascii_only}


@pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=list(ALPHABETS))
def test_every_width_and_batch_gives_the_best_path(alphabet, isa):
    pieces, scores, often = random_model(alphabet, 1)
    everything = [*pieces, "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [1] * len(pieces) + [2] + [6] * 256
    rows = zip(everything, np.append(scores, np.zeros(257)).tolist(), kinds, strict=True)
    plain = sentencepiece_model(
        [(piece.replace(" ", "\u2581").encode(), score, kind) for piece, score, kind in rows],
        trainer=[(35, 1)],
        normalizer=[(3, 0), (4, 0), (5, 1)],
    )
    tokenizer = UnigramTokenizer.from_sentencepiece(plain)
    table = dict(zip(pieces, scores, strict=True))
    for name, texts in random_texts(alphabet, often, 2).items():
        together = tokenizer.encode_batch(texts)
        raw = tokenizer.encode_batch([text.encode() for text in texts])
        mixed = tokenizer.encode_batch([t for text in texts for t in (text, text.encode())])
        for i, text in enumerate(texts):
            alone = list(tokenizer.encode(text))
            assert list(together[i]) == list(raw[i]) == alone, (name, text)
            assert list(mixed[2 * i]) == list(mixed[2 * i + 1]) == alone
            assert list(tokenizer.encode(text, return_offsets=True).ids) == alone
            if max(alone, default=0) < len(pieces):
                due = sum(table[piece] for piece in best_pieces(text, table))
                assert sum(scores[i] for i in alone) == pytest.approx(due, abs=1e-9)
            assert tokenizer.decode(alone) == text


def test_spaces_of_texts_taken_together():
    """What a normaliser changes is seen, in a batch of any neighbours."""
    pieces = ["<unk>", "\u2581", "\u2581的", "的", "一", "的一", "a"]
    rows = [(p.encode(), -float(i), 2 if i == 0 else 1) for i, p in enumerate(pieces)]
    tokenizer = UnigramTokenizer.from_sentencepiece(sentencepiece_model(rows))
    texts = ["的一", " 的", "的 ", "的  一", "的\u2581一", "", "a", "的 一", "a的", "é"]
    alone = [tokenizer.encode(text).tolist() for text in texts]
    assert alone[1] == alone[2] == tokenizer.encode("的").tolist()
    assert alone[3] == alone[4] == alone[7]
    for n in range(1, len(texts) + 1):
        assert [row.tolist() for row in tokenizer.encode_batch(texts[:n])] == alone[:n]
    with pytest.raises(ValueError, match="surrogate"):
        tokenizer.encode_batch(["的", "一\ud800"])


def test_texts_that_are_taken_in_parts(isa):
    """280,000 characters of three and two bytes: as bytes, and what a part ends or begins with."""
    pieces = ["<unk>", "\u2581", "的一", "的", "一", "é的", "é", "一é一"]
    rows = [(p.encode(), -1.0 - i / 7, 2 if i == 0 else 1) for i, p in enumerate(pieces)]
    tokenizer = UnigramTokenizer.from_sentencepiece(sentencepiece_model(rows))
    letters = np.random.default_rng(0).choice(list("的一é"), 280_000)
    place = 1 << 18
    for middle in (("的", "一"), ("的", " "), (" ", "的"), (" ", " ")):
        letters[place - 1 : place + 1] = middle
        text = "".join(letters)
        np.testing.assert_array_equal(tokenizer.encode(text), tokenizer.encode(text.encode()))
