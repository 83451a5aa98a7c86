"""The distribution over the segmentations of one text: what `UnigramTokenizer` says about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from kexue_num._validation import (
    LARGEST_INTEGER,
    as_key,
    check_integer,
    check_real,
    check_workers,
    message,
)
from kexue_num.lattice._lattice import Lattice
from kexue_num.lattice._text_faults import CLASS, as_texts, raise_fault
from kexue_num.lattice._token_results import (
    ScoredTokenRows,
    ScoredTokens,
    TokenMarginals,
    TokenRows,
    WeightedTokenRows,
)

# Above this the exponent of a weight could lose its last bits.
LARGEST_EXPONENT = 1e12


class TextDistribution:
    """P(segmentation) = exp(alpha score) / Z(alpha), from the lattice of a text."""

    def _core(self, boundaries: str | None = None) -> Any:
        raise NotImplementedError

    def lattice(self, text: str | bytes) -> Lattice:
        """The segmentations of a text as a `Lattice`.

        Parameters
        ----------
        text : str or bytes

        Returns
        -------
        Lattice
            Node i is byte i of the normalised text. ``labels`` holds the piece of each edge, -1
            for a character that no piece covers.

        Notes
        -----
        About 160 bytes of memory for each edge, a few edges for each character.
        """
        return self._lattice(f"{CLASS}.lattice", text)

    def log_marginal(self, text: str | bytes, alpha: float = 1.0) -> float:
        """Log Z(alpha): at alpha = 1 the log-likelihood of the text under the model.

        Parameters
        ----------
        text : str or bytes
        alpha : float, default 1.0
            >= 0.

        Returns
        -------
        float
            0 for an empty text.
        """
        function = f"{CLASS}.log_marginal"
        value = self._check_alpha(function, alpha)
        log_z, fault = self._core().log_partition(text, value)
        raise_fault(function, "text", (text,), fault)
        return float(log_z)

    def entropy(self, text: str | bytes, alpha: float = 1.0) -> float:
        """-sum P log P over the segmentations of a text, in nats."""
        function = f"{CLASS}.entropy"
        value = self._check_alpha(function, alpha)
        return self._lattice(function, text).entropy(alpha=value)

    def marginals(self, text: str | bytes, alpha: float = 1.0) -> TokenMarginals:
        """The probability of each piece at each place of a text.

        Returns
        -------
        TokenMarginals
            In the order of the edges of ``lattice(text)``; to NumPy it is the array of
            probabilities.
        """
        function = f"{CLASS}.marginals"
        value = self._check_alpha(function, alpha)
        lattice = self._lattice(function, text)
        ids = np.asarray(lattice.labels)
        return TokenMarginals(lattice.sources, lattice.targets, ids, lattice.marginals(alpha=value))

    def nbest(self, text: str | bytes, k: int) -> list[ScoredTokens]:
        """The `k` best segmentations from the best on, or all if there are fewer.

        Parameters
        ----------
        text : str or bytes
        k : int
            >= 1.

        Returns
        -------
        list of ScoredTokens

        Notes
        -----
        Exact for every k and every length of text; equal scores come in a fixed order.
        """
        function = f"{CLASS}.nbest"
        k = check_integer(function, "k", k, minimum=1, maximum=LARGEST_INTEGER)
        ids, offsets, scores, _, fault = self._core().nbest((text,), k, 1)
        raise_fault(function, "text", (text,), fault)
        rows = TokenRows(ids, offsets)
        return [ScoredTokens(row, float(s)) for row, s in zip(rows, scores, strict=True)]

    def nbest_batch(
        self, texts: Iterable[str | bytes], k: int, *, workers: int | None = None
    ) -> ScoredTokenRows:
        """The `k` best segmentations of many texts; see `nbest`.

        Parameters
        ----------
        texts : iterable of str or bytes
        k : int
            >= 1.
        workers : int, optional

        Returns
        -------
        ScoredTokenRows
            Those of the first text, then those of the second, and so on.
        """
        function = f"{CLASS}.nbest_batch"
        items = as_texts(function, texts)
        k = check_integer(function, "k", k, minimum=1, maximum=LARGEST_INTEGER)
        *rows, fault = self._core().nbest(items, k, check_workers(function, workers))
        raise_fault(function, "texts", items, fault)
        return ScoredTokenRows(*rows)

    def sample_without_replacement(
        self, text: str | bytes, k: int, alpha: float = 1.0, rng: object = None
    ) -> WeightedTokenRows:
        """Different segmentations, as if drawn one after the other without putting back.

        Parameters
        ----------
        text : str or bytes
        k : int
            >= 0. If there are no more segmentations, all of them come back.
        alpha : float, default 1.0
        rng : None, int or numpy.random.Generator

        Returns
        -------
        WeightedTokenRows

        References
        ----------
        W. Kool, H. van Hoof and M. Welling, Stochastic beams and where to find them, ICML 2019.
        """
        function = f"{CLASS}.sample_without_replacement"
        k = check_integer(function, "k", k, minimum=0, maximum=LARGEST_INTEGER)
        value = self._check_alpha(function, alpha)
        key = as_key(function, rng)
        drawn = self._core().sample_without_replacement(text, k, value, key)
        raise_fault(function, "text", (text,), drawn[-1])
        return WeightedTokenRows(*drawn[:-1])

    def forget(self) -> None:
        """Give back the memory of the words that are remembered; changes no result."""
        self._core().forget()

    # Shared steps

    def _lattice(self, function: str, text: object) -> Lattice:
        starts, ends, ids, scores, size, fault = self._core().edges(text)
        raise_fault(function, "text", (text,), fault)
        return Lattice.from_edges(starts, ends, scores, size + 1, labels=ids)

    def _check_alpha(self, function: str, alpha: object) -> float:
        value = check_real(function, "alpha", alpha, minimum=0)
        bound = self._core().largest_score()
        if value * bound > LARGEST_EXPONENT:
            expected = f"must be so small that alpha times any score is below {LARGEST_EXPONENT:g}"
            raise ValueError(message(function, "alpha", expected, alpha))
        return value
