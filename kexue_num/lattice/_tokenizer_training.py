"""Tokenizers from text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import numpy as np

from kexue_num import _core
from kexue_num._validation import (
    Phrase,
    check_choice,
    check_fraction,
    check_integer,
    check_real,
    check_workers,
    message,
)
from kexue_num.lattice import _rules, _training
from kexue_num.lattice._bytepiece import CONTROLS
from kexue_num.lattice._model import (
    BYTE,
    BYTE_PIECES,
    CONTROL,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    SpecialIds,
    UnigramModel,
)
from kexue_num.lattice._normalizer import MARK, Normalizer, Step, sentencepiece_normalizer
from kexue_num.lattice._text_faults import CLASS

_FUNCTION = f"{CLASS}.train"
_LARGEST_VOCABULARY = 1 << 23
Meta = dict[int, tuple[bytes, int]]


class TokenizerTraining:
    """What `UnigramTokenizer` learns."""

    @classmethod
    def _from_model(cls, model: UnigramModel) -> Self:
        raise NotImplementedError

    @classmethod
    def train(
        cls,
        corpus: Iterable[str | bytes],
        vocab_size: int,
        *,
        method: str = "em",
        normalization: str | None = None,
        character_coverage: float = 0.9995,
        byte_fallback: bool = False,
        user_defined_symbols: Sequence[str] = (),
        control_symbols: Sequence[str] = (),
        max_piece_length: int | None = None,
        split_by_whitespace: bool = True,
        split_by_script: bool = True,
        split_by_number: bool = True,
        split_digits: bool = False,
        allow_whitespace_only_pieces: bool = False,
        whitespace_as_suffix: bool = False,
        add_dummy_prefix: bool = True,
        remove_extra_whitespaces: bool = True,
        unk_id: int = 0,
        bos_id: int = 1,
        eos_id: int = 2,
        pad_id: int = -1,
        seed_size: int | None = None,
        shrinking_factor: float = 0.75,
        n_sub_iterations: int = 2,
        order: int = 6,
        min_count: float = 2,
        ensure_unicode: bool = True,
        max_memory: int = 1 << 28,
        rng: object = 0,
        workers: int | None = None,
        progress: Callable[..., Any] | None = None,
    ) -> Self:
        """A tokenizer learned from a stream of texts.

        Parameters
        ----------
        corpus : iterable of str or bytes
            Read once, from front to back; a generator will do.
        vocab_size : int
            The number of ids, special pieces included.
        method : {"em", "bnlm"}
            Expectation maximisation with pruning, as in sentencepiece, or the byte n-gram language
            model of BytePiece. The latter takes from the options below `normalization`,
            `max_piece_length`, `order`, `min_count`, `ensure_unicode` and those that follow.
        normalization : str, optional
            For "em" one of identity, nfkc, nfkc_cf, nmt_nfkc (the default), nmt_nfkc_cf; for
            "bnlm" nfc (the default) or identity.
        character_coverage : float
            The most frequent characters that make up this part of the text are pieces, in (0, 1].
        byte_fallback : bool
            Other characters become pieces of their bytes in place of the unknown piece.
        user_defined_symbols, control_symbols : sequence of str
            Pieces that the text is cut at, and pieces that no text has.
        max_piece_length : int, optional
            In characters, 16 if None; for "bnlm" in bytes, 36 if None.
        split_by_whitespace, split_by_script, split_by_number : bool
            No piece goes on behind a space, into another script, or from digits to letters.
        split_digits : bool
            Every digit is a piece of its own.
        allow_whitespace_only_pieces : bool
            Runs of spaces may be pieces.
        whitespace_as_suffix, add_dummy_prefix, remove_extra_whitespaces : bool
            What the normaliser does with spaces.
        unk_id, bos_id, eos_id, pad_id : int
            Ids of the special pieces <unk>, <s>, </s>, <pad>; -1 for none (not for unk).
        seed_size : int, optional
            Substrings to begin with; if None, 8 times `vocab_size`, at least 40,000.
        shrinking_factor : float
            Part of the pieces that one round of pruning keeps.
        n_sub_iterations : int
            Iterations of EM between two prunings.
        order : int
            Bytes of the longest n-gram, 1 to 6.
        min_count : float
            n-grams and pieces that occur less often are left out.
        ensure_unicode : bool
            No piece begins inside a character, but for single bytes.
        max_memory : int
            Bytes for the distinct words (lines, for "bnlm") of the corpus. If they need more, words
            are sampled such that the expectation of every count stays right.
        rng : None, int or numpy.random.Generator
            For that sampling alone.
        workers : int, optional
        progress : callable, optional
            Such as `tqdm.tqdm`: ``progress(total=..., desc=...)`` with methods update and close.

        Returns
        -------
        UnigramTokenizer

        Raises
        ------
        ValueError
            If the corpus has no text, or not enough for `vocab_size` pieces.

        Notes
        -----
        The text is never held: memory is that of its distinct words, at most `max_memory`, and
        about four times as much while seeds are sought. Results do not depend on `workers`.

        "em" maximises the sum over words of count log Z, from the substrings with the largest
        count times length: expected counts, digamma of them as in sentencepiece, then the pieces
        that cost least, count (score - log P of the other spellings), are dropped. Unlike
        sentencepiece it prunes by likelihood down to the last piece and ends with iterations
        without digamma. Scores are float32, so that a saved model gives the same ids elsewhere.

        "bnlm" cuts each line by the best path through the states of a byte n-gram model, counts
        the pieces, and drops what the others spell with larger probability.

        References
        ----------
        T. Kudo, Subword regularization, ACL 2018.
        Jianlin Su, 科学空间 (https://kexue.fm), 9752 (2023-09-07) and 3956 (2016-09-12).

        Examples
        --------
        >>> from kexue_num.lattice import UnigramTokenizer
        >>> words = ["low lower lowest", "new newer newest", "wide wider widest"] * 20
        >>> tokenizer = UnigramTokenizer.train(words, 18, normalization="identity")
        >>> [tokenizer.pieces[i] for i in tokenizer.encode("wider lowest")]
        ['▁wide', 'r', '▁low', 'e', 's', 't']
        """
        size = check_integer(
            _FUNCTION, "vocab_size", vocab_size, minimum=1, maximum=_LARGEST_VOCABULARY
        )
        threads = check_workers(_FUNCTION, workers)
        memory = check_integer(_FUNCTION, "max_memory", max_memory, minimum=1 << 20)
        least = check_real(_FUNCTION, "min_count", min_count, above=0)
        if check_choice(_FUNCTION, "method", method, ("em", "bnlm")) == "bnlm":
            form = check_choice(
                _FUNCTION, "normalization", normalization or "nfc", ("nfc", "identity")
            )
            steps = (Step("form", form="NFC"),) if form == "nfc" else ()
            normalizer = Normalizer(steps)
            rules = _training.chunk_rules(split_by_script=False, lines=True)
            longest = check_integer(
                _FUNCTION, "max_piece_length", max_piece_length or 36, minimum=1
            )
            grams = check_integer(_FUNCTION, "order", order, minimum=1, maximum=6)
            chunks = _training.count_corpus(
                _FUNCTION, corpus, normalizer, rules, max_memory=memory, rng=rng, progress=progress
            )
            found = _training.train_bnlm(
                _FUNCTION,
                chunks,
                size - len(CONTROLS),
                order=grams,
                min_count=least,
                longest=longest,
                unicode=bool(ensure_unicode),
                workers=threads,
                progress=progress,
            )
            return cls._from_model(_bytepiece_model(found, normalizer))

        normalizer = sentencepiece_normalizer(
            _rules.rule_map(_FUNCTION, "normalization", normalization or "nmt_nfkc"),
            name=normalization or "nmt_nfkc",
            add_dummy_prefix=bool(add_dummy_prefix),
            remove_extra_whitespaces=bool(remove_extra_whitespaces),
            whitespace_as_suffix=bool(whitespace_as_suffix),
            protect=_symbols("user_defined_symbols", user_defined_symbols),
        )
        controls = _symbols("control_symbols", control_symbols)
        ids = [
            check_integer(_FUNCTION, name, value, minimum=least_id, maximum=size - 1)
            for name, value, least_id in (
                ("unk_id", unk_id, 0),
                ("bos_id", bos_id, -1),
                ("eos_id", eos_id, -1),
                ("pad_id", pad_id, -1),
            )
        ]
        special = SpecialIds(*ids)
        meta = _meta_pieces(special, controls, normalizer.protect, bool(byte_fallback))
        coverage = check_real(_FUNCTION, "character_coverage", character_coverage, above=0,
                              maximum=1)  # fmt: skip
        shrink = check_fraction(_FUNCTION, "shrinking_factor", shrinking_factor)
        rounds = check_integer(_FUNCTION, "n_sub_iterations", n_sub_iterations, minimum=1)
        seeds = _core.lattice.SeedRules()
        seeds.longest = check_integer(
            _FUNCTION, "max_piece_length", max_piece_length or 16, minimum=1, maximum=512
        )
        seeds.size = check_integer(
            _FUNCTION, "seed_size", max(8 * size, 40_000) if seed_size is None else seed_size,
            minimum=1, maximum=1 << 27,
        )  # fmt: skip
        seeds.whitespace_as_suffix = bool(whitespace_as_suffix)
        seeds.whitespace_only = bool(allow_whitespace_only_pieces)
        rules = _training.chunk_rules(
            split_by_script=bool(split_by_script),
            split_by_whitespace=bool(split_by_whitespace),
            split_by_number=bool(split_by_number),
            split_digits=bool(split_digits),
            whitespace_as_suffix=bool(whitespace_as_suffix),
            join_spaces=bool(allow_whitespace_only_pieces),
        )
        texts = [text for text, kind in meta.values() if kind != BYTE]
        cuts = dict.fromkeys((text.replace(MARK, b" ").decode() for text in texts), "")
        rules.set_symbols(_rules.build_map(cuts))
        chunks = _training.count_corpus(
            _FUNCTION, corpus, normalizer, rules, max_memory=memory, rng=rng, progress=progress
        )
        found = _training.train_em(
            _FUNCTION,
            chunks,
            size - len(meta),
            coverage=coverage,
            seeds=seeds,
            shrinking_factor=shrink,
            n_sub_iterations=rounds,
            workers=threads,
            progress=progress,
        )
        return cls._from_model(_sentencepiece_model(found, meta, special, normalizer, size))


def _symbols(argument: str, symbols: Sequence[str]) -> list[bytes]:
    """The texts of symbols; they must be different and not empty."""
    if isinstance(symbols, (str, bytes)):
        raise TypeError(message(_FUNCTION, argument, "must be a sequence of str", symbols))
    texts: list[bytes] = []
    for symbol in symbols:
        if not isinstance(symbol, str):
            raise TypeError(message(_FUNCTION, argument, "must be a sequence of str", symbol))
        text = symbol.encode()
        if not text or b"\0" in text or len(text) > 1000 or text in texts:
            expected = "must hold different texts of 1 to 1000 bytes without NUL"
            raise ValueError(message(_FUNCTION, argument, expected, symbol))
        texts.append(text)
    return texts


def _meta_pieces(
    special: SpecialIds, controls: Sequence[bytes], symbols: Sequence[bytes], fallback: bool
) -> Meta:
    """The pieces that are not learned, by id: special ones at theirs, then the first free ids."""
    meta: Meta = {special.unk: (b"<unk>", UNKNOWN)}
    for name, text in (("bos_id", b"<s>"), ("eos_id", b"</s>"), ("pad_id", b"<pad>")):
        number = getattr(special, name[:3])
        if number in meta:
            expected = "must differ from the ids of the other special pieces"
            raise ValueError(message(_FUNCTION, name, expected, number))
        if number >= 0:
            meta[number] = (text, CONTROL)
    known = {text for text, _ in meta.values()}
    free = (number for number in range(_LARGEST_VOCABULARY) if number not in meta)
    for text, kind in [*((t, CONTROL) for t in controls), *((t, USER_DEFINED) for t in symbols)]:
        if text in known:
            got = Phrase(f"{text.decode()!r} twice")
            raise ValueError(message(_FUNCTION, "control_symbols", "must be new pieces", got))
        known.add(text)
        meta[next(free)] = (text, kind)
    for text in BYTE_PIECES if fallback else ():
        meta[next(free)] = (text, BYTE)
    return meta


def _sentencepiece_model(
    found: _training.Pieces, meta: Meta, special: SpecialIds, normalizer: Normalizer, size: int
) -> UnigramModel:
    pieces = [b""] * size
    scores, types = np.zeros(size), np.full(size, NORMAL, np.uint8)
    for number, (text, kind) in meta.items():
        pieces[number], types[number] = text, kind
    places = [number for number in range(size) if number not in meta]
    for number, text in zip(places, found.texts, strict=True):
        pieces[number] = text.replace(b" ", MARK)
    scores[places] = found.scores.astype(np.float32)
    return UnigramModel(
        pieces=tuple(pieces),
        scores=scores,
        types=types,
        normalizer=normalizer,
        byte_fallback=BYTE in types,
        special=special,
    )


def _bytepiece_model(found: _training.Pieces, normalizer: Normalizer) -> UnigramModel:
    pieces = (*CONTROLS, *found.texts)
    types = np.full(len(pieces), NORMAL, np.uint8)
    types[: len(CONTROLS)] = CONTROL
    scores = np.concatenate([np.zeros(len(CONTROLS)), found.scores])
    return UnigramModel(pieces, scores, types, normalizer, special=SpecialIds(pad=0, bos=1, eos=2))
