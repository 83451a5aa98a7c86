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
