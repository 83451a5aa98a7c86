"""Entropic transport by plain fixed-point iterations in the log domain, in extended precision."""

import numpy as np

Real = np.longdouble


def logsumexp(x, axis):
    top = x.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    return np.log(np.exp(x - top).sum(axis=axis)) + top.squeeze(axis)


def _log(x):
    x = np.asarray(x, Real)
    return np.where(x > 0, np.log(np.where(x > 0, x, 1)), -np.inf)


def solve(a, b, C, reg, reg_m=(np.inf, np.inf), tol=1e-15, max_iter=50_000):
    """Potentials (f, g) relative to a b^T, and the plan."""
    a, b, C, reg = (np.asarray(x, Real) for x in (a, b, C, reg))
    log_a, log_b = _log(a), _log(b)
    shares = [Real(1) if r == np.inf else Real(r) / (Real(r) + reg) for r in reg_m]
    f, g = np.zeros(len(a), Real), np.zeros(len(b), Real)
    for _ in range(max_iter):
        before = g
        f = -shares[0] * reg * logsumexp((g - C) / reg + log_b, 1)
        g = -shares[1] * reg * logsumexp((f[:, None] - C) / reg + log_a[:, None], 0)
        if np.abs(g - before).max() <= tol * reg:
            break
    return f, g, np.exp((f[:, None] + g - C) / reg + log_a[:, None] + log_b)


def kl(p, q):
    """sum p log(p / q) - p + q"""
    p, q = np.asarray(p, Real), np.asarray(q, Real)
    ratio = np.where(p > 0, p, 1) / np.where(p > 0, q, 1)
    return (p * np.log(ratio) - p + q).sum()


def objective(P, a, b, C, reg, reg_m=(np.inf, np.inf)):
    """<C, P> + reg KL(P | a b^T) + the distances of the marginals that are not fixed."""
    P = np.asarray(P, Real)
    cost = np.where(P > 0, np.where(P > 0, C, 0) * P, 0).sum()
    total = cost + reg * kl(P, np.outer(np.asarray(a, Real), np.asarray(b, Real)))
    for weight, sums, mass in ((reg_m[0], P.sum(1), a), (reg_m[1], P.sum(0), b)):
        if weight < np.inf:
            total += weight * kl(sums, mass)
    return total


def barycenter(A, C, reg, weights, debiased=False, n_iter=3000):
    """Iterative Bregman projections on logarithms (Benamou et al. 2015, Janati et al. 2020)."""
    A, C, weights = (np.asarray(x, Real) for x in (A, C, weights))
    log_a, kernel = _log(A), -C / Real(reg)
    log_v = np.zeros((len(A), C.shape[1]), Real)
    log_d = np.zeros(C.shape[1], Real)
    for _ in range(n_iter):
        log_u = log_a - logsumexp(kernel + log_v[:, None], 2)
        log_t = logsumexp(kernel + log_u[:, :, None], 1)
        log_p = log_d + (weights[:, None] * log_t).sum(0)
        log_v = log_p - log_t
        if debiased:
            log_d = (log_d + log_p - logsumexp(kernel + log_d, 1)) / 2
    return np.exp(log_p)


def gaussian_cost(mean_x, mean_y, cov_x, cov_y):
    """The squared 2-Wasserstein distance of two normal distributions."""
    values, vectors = np.linalg.eigh(cov_x)
    root = (vectors * np.sqrt(values)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_y @ root)).sum()
    shift = ((np.asarray(mean_x) - mean_y) ** 2).sum()
    return shift + np.trace(cov_x) + np.trace(cov_y) - 2 * cross


def gaussian_entropic_objective(vx, vy, reg, shift):
    """min <C, P> + reg KL(P | a b^T) of normal distributions on the line, for C = (x - y)^2.

    The best plan is normal with covariance c. 2 reg times its mutual information is
    -reg log(1 - c^2 / (vx vy)), and vx + vy - 2 c - reg / 2 log(1 - c^2 / (vx vy)) is least where
    c^2 + (reg / 2) c = vx vy.
    """
    c = (np.sqrt((reg / 2) ** 2 + 4 * vx * vy) - reg / 2) / 2
    return shift**2 + vx + vy - 2 * c - reg / 2 * np.log1p(-(c**2) / (vx * vy))
