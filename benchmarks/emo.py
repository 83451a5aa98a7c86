"""The EMO loss with its gradient against PyTorch, whose graph gathers the true tokens' embeddings.

Logits and embeddings are standard normal, labels uniform or Zipf of exponent 1.2: what counts is
how many different ones there are. The mixture is that of the paper. Errors are largest absolute
differences of the gradient's first rows from float64, in 1e-6 of the largest entry. The limit
counts the one product with the labels' embeddings, and logits, gradient and embeddings once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from kexue_num import get_workers, transport

SHAPES = [(512, 32_000, 768), (1024, 32_000, 2048)]
JUDGED = 4


def cases(quick: bool) -> Iterator[Case]:
    """Yield the cases; `quick` takes small shapes and promises nothing."""
    for shape in [(32, 2000, 64)] if quick else SHAPES:
        for labels, floor in (
            ("uniform", Floor("torch", 2.5, None)),
            ("zipf", Floor("torch", 5.0, None, goal=8.0)),
        ):
            yield Case(
                name=f"emo/{'x'.join(map(str, shape))}/{labels}",
                title=f"EMO forward and gradient, {' x '.join(map(str, shape))}, {labels} labels",
                prepare=functools.partial(_prepare, shape, labels),
                floor=floor if shape == SHAPES[0] else None,
            )


def _prepare(shape: tuple[int, int, int], kind: str) -> Problem:
    n, size, depth = shape
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((n, size), dtype=np.float32)
    embeddings = rng.standard_normal((size, depth), dtype=np.float32)
    labels = rng.integers(0, size, n)
    if kind == "zipf":
        drawn = rng.zipf(1.2, 8 * n) - 1
        labels = drawn[(drawn >= 0) & (drawn < size)][:n]
    judge = _judge(logits, labels, embeddings)

    def ours() -> Any:
        return transport.emo_loss(logits, labels, embeddings, mode="paper", return_grad=True).grad

    contenders = (
        Contender("kexue_num", ours, judge),
        Contender("torch", _torch(logits, labels, embeddings), judge, requires="torch"),
    )
    flops = 2.0 * len(np.unique(labels)) * size * depth
    moved = 2 * logits.nbytes + embeddings.nbytes
    return Problem(contenders, "1e-6", moved, flops, "float32")


def _judge(logits: Any, labels: Any, embeddings: Any) -> Callable[[Any], Outcome]:
    def judge(gradient: Any) -> Outcome:
        z, t = logits[:JUDGED].astype(float), labels[:JUDGED]
        rows = embeddings / np.linalg.norm(embeddings.astype(float), axis=1, keepdims=True)
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        cost = 1 - rows[t] @ rows.T
        distance = (p * cost).sum(1, keepdims=True)
        entropy = -np.log(p[np.arange(len(t)), t])[:, None]
        onehot = np.zeros_like(p)
        onehot[np.arange(len(t)), t] = 1
        ratio = entropy / (distance + 1e-10)
        exact = 0.5 * (p - onehot + ratio * p * (cost - distance)) / len(logits)
        error = np.abs(np.asarray(gradient)[:JUDGED] - exact).max() / np.abs(exact).max()
        return Outcome(error=float(error) / 1e-6)

    return judge


def _torch(logits: Any, labels: Any, embeddings: Any) -> Callable[[], Any]:
    rows = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)

    def run() -> Any:
        import torch

        torch.set_num_threads(get_workers())
        e, t = torch.from_numpy(rows), torch.from_numpy(labels)
        z = torch.from_numpy(logits).requires_grad_()
        logs = torch.log_softmax(z, -1)
        entropy = -logs.gather(1, t[:, None])[:, 0]
        distance = 1 - ((logs.exp() @ e) * e[t]).sum(-1)
        ratio = (entropy / (distance + 1e-10)).detach()
        (0.5 * (entropy + ratio * distance)).mean().backward()
        return z.grad.numpy()

    return run
