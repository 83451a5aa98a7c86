"""The unigram tokenizer against sentencepiece, HuggingFace tokenizers and bytepiece.

sentencepiece trains the vocabulary, 32000 pieces with byte fallback, on documentation that ships
with Python and its packages and on the Chinese messages of the system; where there are too few of
those, Chinese-looking words of a fixed seed take their place. Lines that are timed are held out.
Both sides get the lines as a list and return ids to Python: ours as one array with offsets, the
peers as lists. One unit of error is one line in a hundred whose segmentation scores worse, beyond
rounding, than the best that any contender found; samples are judged by tests, not here. Samples are
drawn with the words remembered, but for the fresh case, which promises nothing. Beside two workers
and one stand two processes with half of the lines each, which share nothing.

BytePiece's own lines are sampled with a vocabulary of its kind trained here. It takes the library
pyahocorasick built for bytes: AHOCORASICK_BYTES=1 pip install --no-binary :all: pyahocorasick.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import gettext
import importlib.util
import io
import json
import os
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from benchmarks._processes import Processes
from kexue_num.lattice import UnigramTokenizer

# name -> what it is, (peer, ratio, goal)
PROMISES: dict[str, tuple[str, tuple[str, float, float | None] | None]] = {
    "encode": ("Viterbi segmentation, fresh memory", ("sentencepiece", 3, 8)),
    "encode_warm": ("Viterbi segmentation, words remembered", ("sentencepiece", 10, 20)),
    "sample": ("exact sample, alpha = 0.1", ("sentencepiece", 10, 40)),
    "sample_fresh": ("exact sample, alpha = 0.1, fresh memory", None),
    "sample_bytepiece": (
        "exact sample, alpha = 0.1, a model of BytePiece",
        ("bytepiece", 20, None),
    ),
    "sample_tokenizers": ("exact sample, alpha = 0.1", ("tokenizers", 30, 100)),
    "sample_workers": ("exact sample by two workers", ("one worker", 1.9, None)),
    "sample16": ("16 exact samples of each line", ("sentencepiece", 40, None)),
    "nbest": ("8 best", ("sentencepiece", 8, 20)),
}


def cases(quick: bool) -> Iterator[Case]:
    """Yield the cases; `quick` takes few lines and promises nothing."""
    for language in ("english", "chinese"):
        for name, (title, promise) in PROMISES.items():
            yield Case(
                name=f"tokenizer/{name}/{language}",
                title=f"{title}, {language}",
                prepare=functools.partial(_prepare, name, language, quick),
                all_threads=name == "sample_workers",
                floor=None if quick or promise is None else Floor(*promise[:2], None, promise[2]),
            )


# Text


def _docstrings(folder: Path, limit: int) -> Iterator[str]:
    total = 0
    for file in sorted(folder.rglob("*.py")):
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                text = ast.get_docstring(node) or ""
                total += len(text)
                yield text
        if total > limit:
            return


@functools.cache
def english_lines(limit: int) -> list[str]:
    import pydoc_data.topics

    texts = list(pydoc_data.topics.topics.values())
    for folder in (Path(np.__file__).parent, Path(sysconfig.get_paths()["stdlib"])):
        texts.extend(_docstrings(folder, limit))
    lines = (" ".join(line.split()) for text in texts for line in text.split("\n"))
    return list(dict.fromkeys(line for line in lines if len(line) > 30 and line.isascii()))


@functools.cache
def _chinese(limit: int) -> list[str]:
    lines: dict[str, None] = {}
    for file in sorted(Path("/usr/share/locale/zh_CN/LC_MESSAGES").glob("*.mo")):
        with contextlib.suppress(OSError, UnicodeDecodeError), file.open("rb") as stream:
            catalog = gettext.GNUTranslations(stream)._catalog  # type: ignore[attr-defined]
            for message in catalog.values():
                for line in str(message).split("\n"):
                    text = " ".join(line.split())
                    if sum("\u4e00" <= c <= "\u9fff" for c in text) > max(4, 0.3 * len(text)):
                        lines[text] = None
    if sum(map(len, lines)) < limit // 20:
        return _made_up(limit // 6)
    return list(lines)


def _made_up(characters: int) -> list[str]:
    """Lines of words that follow Zipf's law, of characters that do."""
    rng = np.random.default_rng(0)
    signs = np.array([chr(0x4E00 + i) for i in rng.permutation(4000)])
    words = ["".join(signs[rng.zipf(1.3, rng.integers(1, 5)) % 4000]) for _ in range(30_000)]
    drawn = rng.zipf(1.15, characters // 2) % len(words)
    lines, at = [], 0
    while at < len(drawn):
        n = int(rng.integers(4, 40))
        lines.append("".join(words[i] for i in drawn[at : at + n]) + "。")
        at += n
    return lines


@functools.cache
def _lines(language: str, quick: bool) -> tuple[list[str], list[str]]:
    """(for training, held out)."""
    limit = 400_000 if quick else 6_000_000
    lines = list(english_lines(limit) if language == "english" else _chinese(limit))
    np.random.default_rng(1).shuffle(lines)
    held_out = len(lines) // 5
    return lines[held_out:], lines[: 200 if quick else held_out]


@functools.cache
def _model(quick: bool) -> bytes:
    import sentencepiece

    texts = [line for language in ("english", "chinese") for line in _lines(language, quick)[0]]
    np.random.default_rng(2).shuffle(texts)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=2000 if quick else 32_000,
        hard_vocab_limit=False,
        model_type="unigram",
        byte_fallback=True,
        normalization_rule_name="identity",
        character_coverage=0.999,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


# Contenders


def _huggingface(tokenizer: UnigramTokenizer, alpha: float | None) -> Any:
    """The same pieces and scores; the space mark is put in front by hand."""
    import tokenizers

    # One thread, as all others. It is read when the threads start; without threads of its own the
    # peer would leave its garbage in the memory that all others allocate from.
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    vocabulary = [
        [piece, float(score)]
        for piece, score in zip(tokenizer.pieces, tokenizer.scores, strict=True)
    ]
    peer = tokenizers.Tokenizer.from_str(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [],
                "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
                "pre_tokenizer": None,
                "post_processor": None,
                "decoder": None,
                "truncation": None,
                "padding": None,
                "model": {
                    "type": "Unigram",
                    "unk_id": 0,
                    "byte_fallback": True,
                    "vocab": vocabulary,
                },
            }
        )
    )
    if alpha is not None:
        peer.model.alpha = alpha
        peer.model.nbest_size = 0  # all paths
    return peer


def _prepare(name: str, language: str, quick: bool) -> Problem:
    lines = _lines(language, quick)[1]
    if name in ("nbest", "sample16"):
        lines = lines[:2000]
    n_bytes = float(sum(len(line.encode()) for line in lines))
    if name == "sample_bytepiece":
        return _bytepiece(language, quick, lines, n_bytes)
    if not _has("sentencepiece"):
        tokenizer = UnigramTokenizer.train(lines, 2000)
        return Problem((_ours(name, tokenizer, lines, None),), "none", n_bytes, 0.0)
    import sentencepiece

    peer = sentencepiece.SentencePieceProcessor(model_proto=_model(quick))
    tokenizer = UnigramTokenizer.from_sentencepiece(_model(quick))
    judge = _judge(tokenizer, lines) if name.startswith("encode") else None
    contenders = [_ours(name, tokenizer, lines, judge)]
    if name == "sample_workers":
        contenders.append(
            Contender("one worker", _ours("sample", tokenizer, lines, None).run, _unjudged)
        )
        halves = [(_model(quick), lines[half::2]) for half in range(2)]
        processes = Processes(_sampler, halves)
        contenders.append(Contender("two processes", processes.run, _unjudged))
    elif name != "sample_tokenizers":
        run = _sentencepiece(name, peer, lines)
        contenders.append(Contender("sentencepiece", run, judge or _unjudged))
    if name in ("encode", "encode_warm", "sample_tokenizers") and _has("tokenizers"):
        marked = [" " + line for line in lines]
        other = _huggingface(tokenizer, 0.1 if name == "sample_tokenizers" else None)
        contenders.append(
            Contender(
                "tokenizers",
                lambda: [row.ids for row in other.encode_batch_fast(marked)],
                judge or _unjudged,
                requires="tokenizers",
            )
        )
    return Problem(tuple(contenders), "1 % of lines", n_bytes, 0.0)


def _sampler(part: tuple[bytes, list[str]]) -> Callable[[], Any]:
    model, lines = part
    return _ours("sample", UnigramTokenizer.from_sentencepiece(model), lines, None).run


@functools.cache
def _byte_model(language: str, quick: bool) -> bytes:
    lines = _lines(language, quick)[0]
    tokenizer = UnigramTokenizer.train(lines, 2000 if quick else 8000, method="bnlm")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        tokenizer.save(path, format="bytepiece")
        return path.read_bytes()


def _bytepiece(language: str, quick: bool, lines: list[str], n_bytes: float) -> Problem:
    model = _byte_model(language, quick)
    tokenizer = UnigramTokenizer.from_bytepiece(model)
    contenders = [_ours("sample", tokenizer, lines, None)]
    if _has("bytepiece"):
        import bytepiece

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            path.write_bytes(model)
            peer = bytepiece.Tokenizer(str(path))

        def run() -> Any:
            return [peer.encode(line, alpha=0.1) for line in lines]

        contenders.append(Contender("bytepiece", run, _unjudged, requires="bytepiece"))
    return Problem(tuple(contenders), "1 % of lines", n_bytes, 0.0)


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _ours(
    name: str,
    tokenizer: UnigramTokenizer,
    lines: list[str],
    judge: Callable[[Any], Outcome] | None,
) -> Contender:
    def fresh() -> Any:
        tokenizer.forget()
        return tokenizer.encode_batch(lines, workers=1)

    def fresh_sample() -> Any:
        tokenizer.forget()
        return tokenizer.sample_batch(lines, 0.1, rng=0, workers=1)

    runs: dict[str, Callable[[], Any]] = {
        "sample_fresh": fresh_sample,
        "encode": fresh,
        "encode_warm": lambda: tokenizer.encode_batch(lines, workers=1),
        "sample": lambda: tokenizer.sample_batch(lines, 0.1, rng=0, workers=1),
        "sample_tokenizers": lambda: tokenizer.sample_batch(lines, 0.1, rng=0, workers=1),
        "sample_workers": lambda: tokenizer.sample_batch(lines, 0.1, rng=0, workers=2),
        "sample16": lambda: tokenizer.sample_batch(lines, 0.1, size=16, rng=0, workers=1),
        "nbest": lambda: tokenizer.nbest_batch(lines, 8, workers=1),
    }
    return Contender("kexue_num", runs[name], judge or _unjudged)


def _sentencepiece(name: str, peer: Any, lines: list[str]) -> Callable[[], Any]:
    def sample(times: int) -> Any:
        options = {"enable_sampling": True, "alpha": 0.1, "nbest_size": -1, "num_threads": 1}
        return [peer.encode(lines, **options) for _ in range(times)]

    runs: dict[str, Callable[[], Any]] = {
        "encode": lambda: peer.encode(lines, num_threads=1),
        "encode_warm": lambda: peer.encode(lines, num_threads=1),
        "sample": lambda: sample(1),
        "sample_fresh": lambda: sample(1),
        "sample16": lambda: sample(16),
        "nbest": lambda: peer.nbest_encode_as_ids(lines, 8),
    }
    return runs[name]


def _judge(tokenizer: UnigramTokenizer, lines: list[str]) -> Callable[[Any], Outcome]:
    scores = tokenizer.scores
    best = tokenizer.nbest_batch(lines, 1).scores

    def judge(rows: Any) -> Outcome:
        worse = 0
        for row, due in zip(rows, best, strict=True):
            # Bytes of unknown characters have no score of their own: those lines are left out.
            total = float(scores[np.asarray(row, np.int64)].sum())
            worse += total < due - 1e-3 * abs(due) and not (scores[np.asarray(row)] == 0).any()
        return Outcome(error=100 * worse / max(1, len(lines)))

    return judge


def _unjudged(_: Any) -> Outcome:
    return Outcome(error=0.0)
