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


def dependence(pi: Array, drawn: Array) -> Any:
    """pi_ij / (pi_i pi_j) - 1 for i != j among the terms `drawn`, as a CSR array.

    `pi` are all inclusion probabilities; those not strictly between 0 and 1 take no part.
    """
    from scipy.sparse import coo_array, csr_array, diags_array

    open_terms = np.flatnonzero((pi > 0) & (pi < 1))
    p = pi[open_terms]
    ends = np.cumsum(p)
    intervals = max(1, int(np.rint(ends[-1])))
    starts = np.concatenate([[0.0], ends[:-1]])
    first = np.minimum(np.floor(starts).astype(np.int64), intervals - 1)
    last = np.minimum(np.ceil(ends).astype(np.int64) - 1, intervals - 1)
    reaching = np.flatnonzero(last > first)  # the terms in two intervals
    terms = np.concatenate([np.arange(len(p)), reaching])
    places = np.concatenate([first, last[reaching]])
    inside = p.copy()
    inside[reaching] = last[reaching] - starts[reaching]
    parts = np.concatenate([inside, ends[reaching] - last[reaching]])
    shape = (intervals, len(p))
    a = csr_array((parts, (places, terms)), shape=shape)

    # Of interval k: the term that reaches out of it, its part there and beyond.
    out, beyond = np.zeros(intervals), np.zeros(intervals)
    out[first[reaching]] = inside[reaching]
    beyond[first[reaching]] = ends[reaching] - last[reaching]
    tie = beyond / ((1 - out) * (1 - beyond))
    ones = np.ones(len(reaching))
    leaves = csr_array((ones, (first[reaching], reaching)), shape=shape)
    enters = csr_array((ones, (last[reaching], reaching)), shape=shape)
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
    inverse = diags_array(1 / p)
    ratio = (inverse @ covariance @ inverse).tocsr()
    ratio.setdiag(0.0)
    chosen = np.searchsorted(open_terms, drawn)
    return ratio[chosen][:, chosen]
