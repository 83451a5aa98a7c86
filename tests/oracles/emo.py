"""The EMO loss by its definition, in 120 digits: every sum as it stands, every constant frozen."""

import mpmath
import numpy as np

MODES = ("emo", "paper", "patch1", "patch2", "wheel1", "wheel2")


def unit_rows(embeddings):
    rows = [[mpmath.mpf(float(v)) for v in row] for row in embeddings]
    return [[v / mpmath.sqrt(mpmath.fsum(u * u for u in row)) for v in row] for row in rows]


def dot(x, y):
    return mpmath.fsum(a * b for a, b in zip(x, y, strict=True))


def costs(embeddings):
    """c_ij = |e_i - e_j|^2 / 2 of unit rows."""
    rows = unit_rows(embeddings)
    return [[mpmath.fsum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / 2 for y in rows]
            for x in rows]  # fmt: skip


def softmax(z):
    weights = [mpmath.exp(v) for v in z]
    total = mpmath.fsum(weights)
    return [w / total for w in weights]


def weights(mode, entropy, distance):
    """Of cross-entropy and distance in a mixture; constants of the gradient."""
    tiny = mpmath.mpf(1e-10)
    if mode == "emo":
        return mpmath.mpf(0), mpmath.mpf(1)
    if mode in ("paper", "patch1", "wheel1"):
        ratio = entropy / (distance + tiny)
        return mpmath.mpf(1) / 2, (min(ratio, mpmath.mpf(3)) if mode == "wheel1" else ratio) / 2
    return distance / (entropy + tiny), mpmath.mpf(1)


def emo(logits, targets, embeddings, mode):
    """Values and gradients of every row; targets are distributions."""
    with mpmath.workdps(120):
        c = costs(embeddings)
        values, gradients = [], []
        for z, tau in zip(logits, targets, strict=True):
            masses = [mpmath.mpf(float(v)) for v in tau]
            shares = [t / mpmath.fsum(masses) for t in masses]
            value, gradient = _row([mpmath.mpf(float(v)) for v in z], shares, c, mode)
            values.append(float(value))
            gradients.append([float(g) for g in gradient])
        return np.array(values), np.array(gradients)


def _row(z, tau, c, mode):
    p = softmax(z)
    some = [j for j, t in enumerate(tau) if t > 0]
    cost = [mpmath.fsum(row[j] * tau[j] for j in some) for row in c]
    distance = dot(p, cost)
    entropy = -mpmath.fsum(tau[j] * mpmath.log(p[j]) for j in some) if mode != "emo" else 0
    seen = distance
    if mode.startswith("patch"):
        seen += mpmath.fsum(p[j] * tau[j] * (1 - cost[j]) for j in some)
    w_entropy, w_distance = weights(mode, entropy, seen)
    # dL/dp, then the softmax's Jacobian.
    outer = [w_distance * k for k in cost]
    if mode != "emo":
        for j in some:
            outer[j] -= w_entropy * tau[j] / p[j]
    mean = dot(p, outer)
    gradient = [q * (g - mean) for q, g in zip(p, outer, strict=True)]
    return w_entropy * entropy + w_distance * seen, gradient


def frozen(logits, targets, embeddings, mode):
    """f(z) = w_CE CE(z) + w_D D(z) of one row, the weights taken at `logits`; for differences."""
    rows = np.asarray(embeddings, float)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    context = targets @ rows

    def parts(z):
        p = np.exp(z - z.max())
        p /= p.sum()
        return p, -(targets * np.log(p)).sum(), p @ (1 - rows @ context)

    p, entropy, distance = parts(logits)
    seen = distance
    if mode.startswith("patch"):
        seen += (p * targets * (rows @ context)).sum()
    w_entropy, w_distance = (float(w) for w in weights(mode, entropy, seen))

    def value(z):
        _, entropy, distance = parts(z)
        return w_entropy * entropy + w_distance * distance

    return value


def demd(p, tau, embeddings):
    with mpmath.workdps(120):
        c = costs(embeddings)
        p, tau = ([mpmath.mpf(float(v)) for v in x] for x in (p, tau))
        total = mpmath.fsum(p) * mpmath.fsum(tau)
        both = mpmath.fsum(x * y * c[i][j] for i, x in enumerate(p) for j, y in enumerate(tau))
        return float(both / total)
