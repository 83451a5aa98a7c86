"""Training a unigram vocabulary against sentencepiece, on lines of documentation.

The error is held-out nats per byte, -log P(text) summed over all segmentations, of what each side
trained; both sides see the same lines, take the same rules and as many threads. The least work
counted is one pass over the text.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from typing import Any

from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from benchmarks.tokenizer import english_lines
from kexue_num.lattice import UnigramTokenizer


def cases(quick: bool) -> Iterator[Case]:
    """Yield the cases; `quick` takes few lines and promises nothing."""
    size, limit = (1000, 300_000) if quick else (8000, 4_000_000)
    yield Case(
        name=f"training/em/{size}",
        title=f"EM training, {size} pieces, {limit / 1e6:g} MB",
        prepare=functools.partial(_em, size, limit),
        floor=None if quick else Floor("sentencepiece", 2, 1.0),
    )
    yield Case(
        name=f"training/bnlm/{size}",
        title=f"Byte n-gram training, {size} pieces, {limit / 1e6:g} MB",
        prepare=functools.partial(_bnlm, size, limit),
    )


@functools.cache
def _lines(limit: int) -> tuple[list[str], list[str]]:
    lines = english_lines(limit)
    return [line for i, line in enumerate(lines) if i % 20], lines[::20]


def _judge(held: list[str], tokenizer: UnigramTokenizer) -> Outcome:
    size = sum(len(line.encode()) for line in held)
    return Outcome(error=-sum(tokenizer.log_marginal(line) for line in held) / size)


def _em(size: int, limit: int) -> Problem:
    shown, held = _lines(limit)

    def peer() -> bytes:
        import sentencepiece

        import kexue_num

        writer = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(shown),
            model_writer=writer,
            vocab_size=size,
            normalization_rule_name="identity",
            num_threads=kexue_num.get_workers(),
            minloglevel=2,
        )
        return writer.getvalue()

    return Problem(
        (
            Contender(
                "kexue_num",
                lambda: UnigramTokenizer.train(shown, size, normalization="identity"),
                functools.partial(_judge, held),
            ),
            Contender(
                "sentencepiece",
                peer,
                lambda model: _judge(held, UnigramTokenizer.from_sentencepiece(model)),
                requires="sentencepiece",
            ),
        ),
        "nats per byte",
        _bytes(shown),
        _bytes(shown),
    )


def _bnlm(size: int, limit: int) -> Problem:
    shown, held = _lines(limit)
    contender: Any = Contender(
        "kexue_num",
        lambda: UnigramTokenizer.train(shown, size, method="bnlm"),
        functools.partial(_judge, held),
    )
    return Problem((contender,), "nats per byte", _bytes(shown), _bytes(shown))


def _bytes(lines: list[str]) -> float:
    return float(sum(len(line.encode()) for line in lines))
