"""A vocabulary from the English prose that ships with Python; its exact segmentations."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num._tour import _lattice_figures as figures
from kexue_num._tour._report import Chapter, Row
from kexue_num._tour._style import available
from kexue_num._tour._timing import alternate
from kexue_num.lattice import UnigramTokenizer

SEED = 0
VOCABULARY = 2000
WORD = " representations"
ALPHAS = (0.0, 0.1, 0.5, 1.0)
SAMPLES = 200_000
INTRODUCTION = (
    "A vocabulary is trained on four fifths of the prose of `pydoc_data.topics`, the documentation "
    "that ships with Python, and tried on the rest: the errors of the first row are held-out nats "
    "per byte, -log P(text) summed over all segmentations (lower is better). Then the best "
    "segmentations of all lines, and samples of segmentations with probability proportional to "
    "exp(alpha score); there the error is the mean score that a line falls short of the better of "
    "the two. Every sample is exact, which the frequencies of all segmentations of one word show."
)


@dataclass(frozen=True)
class Spelling:
    """All segmentations of a word, and how often each was drawn."""

    alpha: float
    pieces: list[str]
    exact: NDArray[np.float64]
    drawn: NDArray[np.float64]


def nats(value: float | None) -> str:
    """Return a number of nats with four decimals."""
    return "" if value is None else f"{value:.4f}"


def chapter(out: Path, quick: bool) -> Chapter:
    """Run the area's tasks, draw its figures and check its results."""
    result = Chapter("Lattice: exact segmentations", INTRODUCTION)
    lines = _load_lines()
    shown, held = [line for i, line in enumerate(lines) if i % 5], lines[::5]
    seconds = 0.3 if quick else 2.0
    tokenizer = _train(result, shown, held, seconds)
    _encode(result, tokenizer, lines, out, seconds)
    _sample(result, tokenizer, held, out, seconds)
    spellings = [_frequencies(result, tokenizer, alpha) for alpha in ALPHAS]
    if not available():
        result.remarks.append("matplotlib is not installed: no figures")
        return result
    result.figures.append(figures.draw_lattice(out / "lattice.png", tokenizer, WORD, (0.0, 0.2)))
    result.figures.append(figures.draw_frequencies(out / "frequencies.png", WORD, spellings))
    return result


def _load_lines() -> list[str]:
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    return [line for text in topics.values() for line in text.splitlines() if line.strip()]


def _size(lines: Sequence[str]) -> int:
    return sum(len(line.encode()) for line in lines)


def _peer(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _nats_per_byte(tokenizer: UnigramTokenizer, lines: Sequence[str]) -> float:
    return -sum(tokenizer.log_marginal(line) for line in lines) / _size(lines)


def _train(result: Chapter, shown: list[str], held: list[str], seconds: float) -> UnigramTokenizer:
    def ours() -> UnigramTokenizer:
        return UnigramTokenizer.train(shown, VOCABULARY, normalization="identity")

    task = f"a vocabulary of {VOCABULARY} from {_size(shown) / 1e6:.2f} MB"
    peer = _peer("sentencepiece")
    if peer is None:
        missing = "sentencepiece is not installed"
        result.rows.append(Row(task, "sentencepiece", missing=missing))
        return ours()

    def theirs() -> bytes:
        writer = io.BytesIO()
        peer.SentencePieceTrainer.train(
            sentence_iterator=iter(shown),
            model_writer=writer,
            vocab_size=VOCABULARY,
            normalization_rule_name="identity",
            minloglevel=2,
        )
        return writer.getvalue()

    our_seconds, found, peer_seconds, model = alternate(ours, theirs, seconds=seconds)
    error = _nats_per_byte(found, held)
    peer_error = _nats_per_byte(UnigramTokenizer.from_sentencepiece(model), held)
    result.rows.append(
        Row(task, "sentencepiece", our_seconds, peer_seconds, error, None, peer_error, number=nats)
    )
    result.check(f"{task}: held-out text is at least as likely", error <= peer_error)
    return found


def _mean_score(tokenizer: UnigramTokenizer, rows: Sequence[Any]) -> float:
    scores = tokenizer.scores
    return float(np.mean([scores[np.asarray(row, dtype=np.int64)].sum() for row in rows]))


def _encode(
    result: Chapter, tokenizer: UnigramTokenizer, lines: list[str], out: Path, seconds: float
) -> None:
    ours = lambda: tokenizer.encode_batch(lines)  # noqa: E731
    contenders = _encoders(tokenizer, lines, out)
    for name, run in contenders.items():
        task = f"best segmentations of {_size(lines) / 1e6:.2f} MB"
        if run is None:
            result.rows.append(Row(task, name, missing=f"{name} is not installed"))
            continue
        our_seconds, mine, peer_seconds, rows = alternate(ours, run, seconds=seconds)
        scores = _mean_score(tokenizer, list(mine)), _mean_score(tokenizer, rows)
        best = max(scores)
        result.rows.append(
            Row(
                f"{task} ({_size(lines) / our_seconds / 1e6:.0f} MB/s)",
                name,
                our_seconds,
                peer_seconds,
                best - scores[0],
                None,
                best - scores[1],
                number=nats,
            )
        )
        result.check(f"{task}: no score is below that of {name}", scores[0] >= scores[1] - 1e-5)
    whole = list(tokenizer.encode_batch(lines[:200]))
    result.check(
        "decoding gives the text back",
        all(
            tokenizer.decode(row).split() == line.split()
            for row, line in zip(whole, lines, strict=False)
            if 0 not in row
        ),
    )


def _encoders(
    tokenizer: UnigramTokenizer, lines: list[str], out: Path
) -> dict[str, Callable[[], Any] | None]:
    """The peers with the vocabulary that was trained here, on the same number of threads."""
    found: dict[str, Callable[[], Any] | None] = {"sentencepiece": None, "tokenizers": None}
    if sentencepiece := _peer("sentencepiece"):
        processor = _processor(sentencepiece, tokenizer, out)
        found["sentencepiece"] = lambda: processor.encode(lines)
    if tokenizers := _peer("tokenizers"):
        file = out / "vocabulary.json"
        tokenizer.save(file, format="huggingface")
        other = tokenizers.Tokenizer.from_file(str(file))
        found["tokenizers"] = lambda: [
            item.ids for item in other.encode_batch(lines, add_special_tokens=False)
        ]
    return found


def _processor(sentencepiece: Any, tokenizer: UnigramTokenizer, out: Path) -> Any:
    file = out / "vocabulary.model"
    tokenizer.save(file)
    return sentencepiece.SentencePieceProcessor(model_file=str(file))


def _sample(
    result: Chapter, tokenizer: UnigramTokenizer, held: list[str], out: Path, seconds: float
) -> None:
    task = f"a sample, alpha 0.1, of each of {len(held)} lines"
    sentencepiece = _peer("sentencepiece")
    if sentencepiece is None:
        missing = "sentencepiece is not installed"
        result.rows.append(Row(task, "sentencepiece", missing=missing))
        return
    processor = _processor(sentencepiece, tokenizer, out)
    our_seconds, _, peer_seconds, _ = alternate(
        lambda: tokenizer.sample_batch(held, 0.1, rng=SEED),
        lambda: processor.encode(held, enable_sampling=True, alpha=0.1, nbest_size=-1),
        seconds=seconds,
    )
    result.rows.append(Row(task, "sentencepiece", our_seconds, peer_seconds))


def _frequencies(result: Chapter, tokenizer: UnigramTokenizer, alpha: float) -> Spelling:
    """Draw segmentations of one word and compare their frequencies with the exact law."""
    chi2 = importlib.import_module("scipy.stats").chi2
    n_paths = tokenizer.lattice(WORD).count_paths()
    every = tokenizer.nbest(WORD, n_paths)
    log_z = tokenizer.log_marginal(WORD, alpha)
    exact = np.exp(np.array([alpha * path.score - log_z for path in every]))
    rows = tokenizer.sample(WORD, alpha, size=SAMPLES, rng=SEED)
    # A segmentation is known by the sum of random 64-bit numbers of its pieces and their places.
    codes = np.random.default_rng(SEED).integers(
        0, 2**63, (len(WORD) + 2, tokenizer.vocab_size), dtype=np.uint64
    )
    names = np.array([codes[np.arange(len(path.ids)), path.ids].sum() for path in every])
    places = np.arange(len(rows.ids)) - np.repeat(rows.offsets[:-1], np.diff(rows.offsets))
    found, counts = np.unique(
        np.add.reduceat(codes[places, rows.ids], rows.offsets[:-1]), return_counts=True
    )
    ranks = np.argsort(names)
    drawn = np.zeros(n_paths)
    drawn[ranks[np.searchsorted(names[ranks], found)]] = counts
    result.check(
        f"alpha {alpha:g}: every draw is one of {n_paths} segmentations",
        bool(np.isin(found, names).all()) and len(np.unique(names)) == n_paths,
    )
    # Cells in order of their probability, pooled to at least ten expected draws each.
    order = np.argsort(exact)
    cells = np.floor(np.cumsum(exact[order]) * SAMPLES / 10).astype(np.int64)
    _, group = np.unique(cells, return_inverse=True)
    due = np.bincount(group, weights=exact[order]) * SAMPLES
    seen = np.bincount(group, weights=drawn[order])
    likely = due >= 5
    statistic = float(((seen - due)[likely] ** 2 / due[likely]).sum())
    tail = float(chi2.sf(statistic, max(int(likely.sum()) - 1, 1)))
    result.check(
        f"alpha {alpha:g}: the probabilities of all {n_paths} segmentations sum to 1",
        abs(float(exact.sum()) - 1) < 1e-9,
    )
    result.check(
        f"alpha {alpha:g}: {SAMPLES} draws follow them (chi-square, p = {tail:.2g})", tail > 1e-6
    )
    shown = [
        "|".join(str(tokenizer.pieces[i]).replace("\u2581", "_") for i in path.ids)
        for path in every
    ]
    return Spelling(alpha, shown, exact, drawn / SAMPLES)
