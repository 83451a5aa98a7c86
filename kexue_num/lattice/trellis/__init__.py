"""Chains of states: hidden Markov models and linear-chain conditional random fields.

A sequence of T steps over S states gives every path z_0, ..., z_{T-1} the score

    start[z_0] + sum_t emissions[t, z_t] + sum_t transitions[z_t, z_{t+1}] + stop[z_{T-1}]

and the probability exp(score) / Z. All functions take

emissions : (T, S) or (B, T, S) array_like of real numbers
    One sequence, or a batch.
transitions : (S, S) or (T - 1, S, S) array_like, or a SciPy sparse (S, S) matrix
    From the row's state to the column's; one matrix, or one for each step. What a sparse matrix
    does not store is impossible: banded models cost their entries only.
start, stop : (S,) array_like, optional
    Zero scores (weight 1) if None.
lengths : (B,) array_like of int, optional
    The number of steps of each sequence, 0 to T; what lies beyond is not used.
domain : {"log", "prob"}, default "log"
    Whether the numbers are logarithms (-inf: impossible) or nonnegative weights, which need not
    sum to one.
workers : int, optional
    Sequences of a batch run in parallel; results do not depend on it.

A ValueError names the argument if a number is NaN or infinite, shapes do not agree, or a sequence
has no possible path (where stated). Results of one sequence have no batch axis.
"""

from kexue_num.lattice.trellis._best import kbest, viterbi, viterbi_semi_markov
from kexue_num.lattice.trellis._crf import crf_nll
from kexue_num.lattice.trellis._results import (
    BestStates,
    CrfLoss,
    Marginals,
    Messages,
    Segmentation,
)
from kexue_num.lattice.trellis._sums import forward_backward, log_partition, marginals, sample

__all__ = [
    "BestStates",
    "CrfLoss",
    "Marginals",
    "Messages",
    "Segmentation",
    "crf_nll",
    "forward_backward",
    "kbest",
    "log_partition",
    "marginals",
    "sample",
    "viterbi",
    "viterbi_semi_markov",
]
