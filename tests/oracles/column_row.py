"""Slow, obvious references for products from a few of their rank-one terms."""

import itertools
from fractions import Fraction

import numpy as np

Array = np.ndarray


def terms(X: Array, Y: Array) -> list[Array]:
    """The rank-one terms whose sum is X Y."""
    return [np.outer(X[:, i], Y[i]) for i in range(X.shape[1])]


def sizes(X: Array, Y: Array) -> Array:
    return np.array([np.linalg.norm(M) for M in terms(X, Y)])


def inclusion(s: Array, wanted: int) -> list[Fraction]:
    """min(1, tau s_i) with sum `wanted`, by trying every number of certain terms."""
    exact = [Fraction(float(x)) for x in s]
    order = sorted(range(len(s)), key=lambda i: -exact[i])
    positive = sum(x > 0 for x in exact)
    if wanted >= positive:
        rest = Fraction(wanted - positive, max(1, len(s) - positive))
        return [Fraction(1) if x > 0 else rest for x in exact]
    for certain in range(wanted + 1):
        rest = sum(exact[i] for i in order[certain:])
        tau = (wanted - certain) / rest
        if tau * exact[order[certain]] <= 1 or certain == wanted:
            chosen = set(order[:certain])
            return [Fraction(1) if i in chosen else tau * x for i, x in enumerate(exact)]
    raise AssertionError


def pivotal_designs(pi: list[Fraction]) -> dict[tuple[int, ...], Fraction]:
    """The probability of every set under ordered pivotal sampling (Deville and Tille 1998).

    Duels between neighbours; the same law as Deville's systematic draw (Chauvet 2012), which the
    library uses, by another route.
    """
    certain = tuple(i for i, p in enumerate(pi) if p == 1)
    states = {(certain, None, Fraction(0)): Fraction(1)}
    for i, q in enumerate(pi):
        if q in (0, 1):
            continue
        following: dict = {}

        def add(state, weight, following=following):
            if weight:
                following[state] = following.get(state, Fraction(0)) + weight

        for (taken, fighter, p), weight in states.items():
            if fighter is None:
                add((taken, i, q), weight)
            elif p + q < 1:
                add((taken, fighter, p + q), weight * p / (p + q))
                add((taken, i, p + q), weight * q / (p + q))
            else:
                rest = p + q - 1
                first = weight * (1 - q) / (2 - p - q)
                for winner, loser, w in ((fighter, i, first), (i, fighter, weight - first)):
                    left = (loser, rest) if rest else (None, Fraction(0))
                    add((tuple(sorted((*taken, winner))), *left), w)
        states = following
    result: dict = {}
    for (taken, fighter, p), weight in states.items():
        # What is left of the last probability is 0 or, by rounding of the pi, almost 0 or 1.
        chosen = taken
        if fighter is not None and p > Fraction(1, 2):
            chosen = tuple(sorted((*taken, fighter)))
        result[chosen] = result.get(chosen, Fraction(0)) + weight
    return result


def bernoulli_designs(pi: list[Fraction]) -> dict[tuple[int, ...], Fraction]:
    result = {}
    for included in itertools.product((0, 1), repeat=len(pi)):
        weight = Fraction(1)
        for taken, p in zip(included, pi, strict=True):
            weight *= p if taken else 1 - p
        if weight:
            result[tuple(i for i, taken in enumerate(included) if taken)] = weight
    return result


def expected_squared_error(X: Array, Y: Array, designs: dict, pi: list[Fraction]) -> float:
    """E ||sum_{i in S} M_i / pi_i - X Y||_F^2 over all sets S."""
    M = terms(X, Y)
    total = 0.0
    for chosen, weight in designs.items():
        estimate = sum((M[i] / float(pi[i]) for i in chosen), np.zeros((X.shape[0], Y.shape[1])))
        total += float(weight) * np.linalg.norm(estimate - X @ Y) ** 2
    return total


def drineas_kannan_mahoney(X: Array, Y: Array, draws: int) -> float:
    """Lemma 4 of 2006 for the best probabilities; also equation by equation over one draw."""
    s = sizes(X, Y)
    p = s / s.sum()
    one = sum(
        p[i] * np.linalg.norm(M / p[i] - X @ Y) ** 2 for i, M in enumerate(terms(X, Y)) if p[i] > 0
    )
    return one / draws


def diagonal_weights(X: Array, Y: Array, indices: Array) -> Array:
    if len(indices) == 0:
        return np.zeros(0)
    M = terms(X, Y)
    basis = np.stack([M[i].ravel() for i in indices], axis=1)
    return np.linalg.lstsq(basis, (X @ Y).ravel(), rcond=None)[0]


def greedy_deletion(X: Array, Y: Array, keep: int, tuple_size: int) -> list[int]:
    M = terms(X, Y)
    alive = list(range(len(M)))
    while len(alive) > keep:
        size = min(tuple_size, len(alive) - keep)
        worst = min(
            itertools.combinations(alive, size), key=lambda c: np.linalg.norm(sum(M[i] for i in c))
        )
        alive = [i for i in alive if i not in worst]
    return alive
