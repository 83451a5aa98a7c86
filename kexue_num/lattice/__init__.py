"""Paths through lattices and trellises: the best, exact samples, probabilities.

A lattice is a directed acyclic graph whose paths from its source to its sink are the objects of
interest, such as the segmentations of a text. `Lattice` finds the best paths, draws exact samples
with probability proportional to exp(alpha score), and computes what the distribution implies.
`UnigramTokenizer` does so for texts, at the speed of a tokenizer.
`trellis` does the same for hidden Markov models and linear-chain conditional random fields.

References
----------
Jianlin Su, 科学空间 (https://kexue.fm), posts 9768 (2023-09-16) and 9811 (2023-10-16).
"""

from kexue_num.lattice import trellis
from kexue_num.lattice._lattice import Lattice
from kexue_num.lattice._results import Path, PathSamples, WeightedPathSamples
from kexue_num.lattice._token_results import (
    ScoredTokenRows,
    ScoredTokens,
    TokenEncoding,
    TokenMarginals,
    TokenRows,
    WeightedTokenRows,
)
from kexue_num.lattice._tokenizer import UnigramTokenizer

__all__ = [
    "Lattice",
    "Path",
    "PathSamples",
    "ScoredTokenRows",
    "ScoredTokens",
    "TokenEncoding",
    "TokenMarginals",
    "TokenRows",
    "UnigramTokenizer",
    "WeightedPathSamples",
    "WeightedTokenRows",
    "trellis",
]
