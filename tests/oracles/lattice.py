"""Lattices and trellises by looking at every path, in exact or 50-digit arithmetic."""

import itertools
from fractions import Fraction

import mpmath
import numpy as np

DIGITS = 50


def paths(sources, targets, scores, n_nodes):
    """Every path from node 0 to the last node over present edges, as tuples of edge numbers."""
    leaving = [[] for _ in range(n_nodes)]
    for edge, (source, score) in enumerate(zip(sources, scores, strict=True)):
        if score != -np.inf:
            leaving[source].append(edge)

    def walk(node):
        if node == n_nodes - 1:
            yield ()
            return
        for edge in leaving[node]:
            for rest in walk(targets[edge]):
                yield (edge, *rest)

    return list(walk(0))


def exact_score(path, scores):
    """The score of a path as a fraction."""
    return sum((Fraction(float(scores[edge])) for edge in path), Fraction(0))


class Gibbs:
    """The distribution P(path) = exp(alpha score) / Z over listed paths, 50 digits."""

    def __init__(self, every_path, scores, alpha):
        self.paths = every_path
        self.n_edges = len(scores)
        self.scores = [exact_score(path, scores) for path in every_path]
        with mpmath.workdps(DIGITS):
            slope = mpmath.mpf(float(alpha))
            logs = [slope * mpmath.mpf(s.numerator) / s.denominator for s in self.scores]
            most = max(logs)
            weights = [mpmath.exp(x - most) for x in logs]
            total = mpmath.fsum(weights)
            self.log_partition = most + mpmath.log(total)
            self.probabilities = [w / total for w in weights]
            self.log_probabilities = [x - self.log_partition for x in logs]

    def mean(self, function):
        """The mean of a function of the path."""
        with mpmath.workdps(DIGITS):
            terms = zip(self.probabilities, self.paths, strict=True)
            return mpmath.fsum(p * function(path) for p, path in terms)

    def marginals(self):
        with mpmath.workdps(DIGITS):
            result = [mpmath.mpf(0)] * self.n_edges
            for p, path in zip(self.probabilities, self.paths, strict=True):
                for edge in path:
                    result[edge] += p
            return result

    def entropy(self):
        with mpmath.workdps(DIGITS):
            terms = zip(self.probabilities, self.log_probabilities, strict=True)
            return -mpmath.fsum(p * log for p, log in terms)

    def moments(self, values):
        """Mean and variance of the sum of the values of a path's edges."""
        with mpmath.workdps(DIGITS):

            def total(path):
                return mpmath.fsum(mpmath.mpf(float(values[edge])) for edge in path)

            mean = self.mean(total)
            return mean, self.mean(lambda path: (total(path) - mean) ** 2)

    def covariances(self, values):
        """Covariance of each edge's indicator with the sum of the values of a path's edges."""
        with mpmath.workdps(DIGITS):
            mean, _ = self.moments(values)
            result = [mpmath.mpf(0)] * self.n_edges
            for p, path in zip(self.probabilities, self.paths, strict=True):
                total = mpmath.fsum(mpmath.mpf(float(values[edge])) for edge in path)
                for edge in path:
                    result[edge] += p * (total - mean)
            return result


def state_sequences(n_steps, n_states):
    """Every sequence of states."""
    return list(itertools.product(range(n_states), repeat=n_steps))


def sequence_score(states, emissions, transitions, start, stop):
    """The score of one path through one sequence, exact; -inf as None."""
    steps = len(states)
    terms = [start[states[0]], stop[states[-1]]] if steps else []
    terms += [emissions[t][states[t]] for t in range(steps)]
    for t in range(steps - 1):
        matrix = transitions[t] if np.ndim(transitions) == 3 else transitions
        terms.append(matrix[states[t]][states[t + 1]])
    if any(term == -np.inf for term in terms):
        return None
    return sum((Fraction(float(term)) for term in terms), Fraction(0))


class Chain:
    """All paths of one sequence: scores, and the posterior to 50 digits."""

    def __init__(self, emissions, transitions, start, stop):
        self.steps, self.n_states = np.shape(emissions)
        found = []
        for path in state_sequences(self.steps, self.n_states):
            score = sequence_score(path, emissions, transitions, start, stop)
            if score is not None:
                found.append((path, score))
        self.paths = [path for path, _ in found]
        self.scores = [score for _, score in found]
        with mpmath.workdps(DIGITS):
            logs = [mpmath.mpf(s.numerator) / s.denominator for s in self.scores]
            most = max(logs)
            weights = [mpmath.exp(x - most) for x in logs]
            total = mpmath.fsum(weights)
            self.log_partition = most + mpmath.log(total)
            self.probabilities = [w / total for w in weights]

    def marginals(self):
        """P(z_t = s), and P(z_t = i, z_{t+1} = j) for each t."""
        states = np.zeros((self.steps, self.n_states))
        pairs = np.zeros((max(self.steps - 1, 0), self.n_states, self.n_states))
        for path, p in zip(self.paths, self.probabilities, strict=True):
            for t, state in enumerate(path):
                states[t, state] += float(p)
                if t + 1 < self.steps:
                    pairs[t, state, path[t + 1]] += float(p)
        return states, pairs


def first_best_sequence(emissions, matrix, start, stop):
    """The best sequence in the arithmetic of the arrays; of equal ones the first state back."""
    value, origins = start, []
    for emission in emissions[:-1]:
        sums = (value + emission)[:, None] + matrix
        origins.append(sums.argmax(axis=0))
        value = sums.max(axis=0)
    states = [int((value + emissions[-1] + stop).argmax())]
    for origin in reversed(origins):
        states.append(int(origin[states[-1]]))
    return states[::-1]


def long_chain(emissions, matrix, uniform):
    """log Z, the last state's posterior and a sample by one step after the other.

    The sample takes the state that `uniform` falls to after the states are dealt to eight lanes:
    first the lane, then the state within it.
    """
    steps, n = emissions.shape
    weights = np.exp(matrix)
    alpha, log_z = np.empty((steps, n)), 0.0
    alpha[0] = np.exp(emissions[0])
    for t in range(steps):
        if t > 0:
            alpha[t] = alpha[t - 1] @ weights * np.exp(emissions[t])
        total = alpha[t].sum()
        alpha[t] /= total
        log_z += np.log(total)
    order = sorted(range(n), key=lambda state: (state % 8, state))
    path = np.empty(steps, int)
    for t in reversed(range(steps)):
        chance = alpha[t] * (weights[:, path[t + 1]] if t + 1 < steps else 1.0)
        upto = np.cumsum(chance[order])
        path[t] = order[np.searchsorted(upto, uniform[t] * upto[-1], side="right")]
    return log_z, alpha[-1], path


def segmentations(n_steps, longest, n_labels):
    """Every list of (start, length, label) that covers the steps."""

    def walk(begin):
        if begin == n_steps:
            yield ()
            return
        for length in range(1, min(longest, n_steps - begin) + 1):
            for label in range(n_labels):
                for rest in walk(begin + length):
                    yield ((begin, length, label), *rest)

    return list(walk(0))
