"""Segmentations of a text by trying every piece everywhere, in 50 digits."""

from fractions import Fraction

import mpmath

DIGITS = 50


def segmentations(text, pieces, scores):
    """Every (ids, score) whose pieces, bytes objects, make up the text; exact scores."""
    numbered = [
        (i, piece, Fraction(float(score)))
        for i, (piece, score) in enumerate(zip(pieces, scores, strict=True))
        if score != float("-inf")
    ]

    def walk(begin):
        if begin == len(text):
            yield (), Fraction(0)
            return
        for i, piece, score in numbered:
            if text.startswith(piece, begin):
                for rest, more in walk(begin + len(piece)):
                    yield (i, *rest), score + more

    return list(walk(0))


def probabilities(found, alpha):
    """P of each of the segmentations, and log Z, to 50 digits."""
    with mpmath.workdps(DIGITS):
        slope = mpmath.mpf(float(alpha))
        logs = [slope * mpmath.mpf(s.numerator) / s.denominator for _, s in found]
        most = max(logs)
        weights = [mpmath.exp(x - most) for x in logs]
        total = mpmath.fsum(weights)
        return [w / total for w in weights], most + mpmath.log(total)


def entropy(chances):
    with mpmath.workdps(DIGITS):
        return -mpmath.fsum(p * mpmath.log(p) for p in chances if p > 0)


def expected_counts(found, chances, n_pieces):
    """The mean number of times that each piece stands in a segmentation."""
    with mpmath.workdps(DIGITS):
        counts = [mpmath.mpf(0)] * n_pieces
        for (ids, _), p in zip(found, chances, strict=True):
            for i in ids:
                counts[i] += p
        return counts
