"""Second-order inclusion probabilities of the draw that takes one term from every interval.

The cumulated inclusion probabilities are cut into intervals of length one; let a_ki be the part of
term i in interval k, and I_k the term taken from it: P(I_k = i) = a_ki. The term that reaches from
interval k into k + 1, with parts a_k and b_k, ties the two together: if it was taken in k, the
others of k + 1 are drawn in proportion to their parts; if not, it is taken with probability
b_k / (1 - a_k). The I_k are a Markov chain through e_k = [I_k is that term] alone, and for k < l

    cov([I_k = i], [I_l = j]) = rho_kl eps_ki delta_lj
    eps_ki = a_k ([i reaches into k + 1] - a_ki)       = cov(e_k, [I_k = i])
    delta_lj = a_lj - [j reaches from l - 1 into l]
    rho_kl = g_(l-1) prod_{k <= t < l-1} a_(t+1) g_t,  g_t = b_t / ((1 - a_t) (1 - b_t))

Why the variance is at most that of independent draws: with t terms taken for certain, of total size
W_1 and each at least W_2 / (c - t), and the others of total size W_2 and sum M_2, draws without
replacement by this design have variance at most (W_2^2 - ||M_2||^2) / (c - t) (Chauvet and
Ruiz-Gazen 2017), and independent draws, because ||M|| <= W_1 + ||M_2||, have at least

    (W_2^2 - ||M_2||^2 + 2 W_1 (W_2 - ||M_2||)) / c,

which with W_1 >= t W_2 / (c - t) and ||M_2|| <= W_2 is larger.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Ties between intervals that are weaker change no digit.
_NEGLIGIBLE = 1e-18


def dependence(pi: Array, weighted: Array) -> tuple[Any, Array, Array]:
    """cov([i in S], [j in S]) w_i w_j for i != j, of every matrix of a batch.

    `pi` (count, l) are all inclusion probabilities, `weighted` the w. The terms whose pi lies
    strictly between 0 and 1 are numbered through, matrix after matrix: a CSR array of their
    pairs, block-diagonal, with the matrix and the term that each number stands for.
    """
    from scipy.sparse import coo_array, csr_array, diags_array

    is_open = (pi > 0) & (pi < 1)
    owners, terms = np.nonzero(is_open)
    p = pi[owners, terms]
    sums = np.cumsum(np.where(is_open, pi, 0.0), axis=1)
    ends = sums[owners, terms]
    starts = np.where(terms > 0, sums[owners, terms - 1], 0.0)
    counts = np.maximum(1, np.rint(sums[:, -1])).astype(np.int64)
    offsets = (np.cumsum(counts) - counts)[owners]
    intervals = int(counts.sum())
    final = counts[owners] - 1
    first = np.minimum(np.floor(starts).astype(np.int64), final)
    last = np.minimum(np.ceil(ends).astype(np.int64) - 1, final)
    reaching = np.flatnonzero(last > first)  # the terms in two intervals
    inside = p.copy()
    inside[reaching] = last[reaching] - starts[reaching]
    parts = np.concatenate([inside, ends[reaching] - last[reaching]])
    first, second = first + offsets, last[reaching] + offsets[reaching]
    numbers = np.concatenate([np.arange(len(p)), reaching])
    shape = (intervals, len(p))
    a = csr_array((parts, (np.concatenate([first, second]), numbers)), shape=shape)

    # Of interval k: the term that reaches out of it, its part there and beyond.
    out, beyond = np.zeros(intervals), np.zeros(intervals)
    out[first[reaching]] = inside[reaching]
    beyond[first[reaching]] = parts[len(p) :]  # zero at the last interval of a matrix
    tie = beyond / ((1 - out) * (1 - beyond))
    ones = np.ones(len(reaching))
    leaves = csr_array((ones, (first[reaching], reaching)), shape=shape)
    enters = csr_array((ones, (second, reaching)), shape=shape)
    eps = diags_array(out) @ (leaves - a)
    delta = a - enters

    rho_rows, rho_columns, rho_values = [], [], []
    k = np.arange(intervals - 1)
    carried = np.ones(intervals - 1)
    for step in range(1, intervals):
        # carried[k] = prod_{k <= t < k + step - 1} a_(t+1) g_t
        value = carried * tie[k + step - 1]
        alive = value > _NEGLIGIBLE
        rho_rows.append(k[alive])
        rho_columns.append(k[alive] + step)
        rho_values.append(value[alive])
        carried = carried * tie[k + step - 1] * out[np.minimum(k + step, intervals - 1)]
        keep = (carried > _NEGLIGIBLE) & (k + step < intervals - 1)
        k, carried = k[keep], carried[keep]
        if len(k) == 0:
            break
    rho = coo_array(
        (
            np.concatenate([*rho_values, np.empty(0)]),
            (
                np.concatenate([*rho_rows, np.empty(0, np.int64)]),
                np.concatenate([*rho_columns, np.empty(0, np.int64)]),
            ),
        ),
        shape=(intervals, intervals),
    ).tocsr()
    crossed = eps.T @ rho @ delta
    covariance = crossed + crossed.T - a.T @ a
    scale = diags_array(weighted[owners, terms])
    scaled = (scale @ covariance @ scale).tocsr()
    scaled.setdiag(0.0)
    return scaled, owners, terms
