"""Pairs of factors, and products put together from a few of their terms."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from scipy.sparse import issparse

DTYPES = (np.float32, np.float64, np.complex64, np.complex128)
METHODS = ("topk", "pips", "iid", "bernoulli", "tuple")
examples = settings(derandomize=True, deadline=None, max_examples=40)
seeds = st.integers(0, 2**32 - 1)


def factors(seed, n=5, length=9, m=4, dtype=np.float64, spread=1.0):
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((n, length)), rng.standard_normal((length, m))
    if np.dtype(dtype).kind == "c":
        X = X + 1j * rng.standard_normal(X.shape)
        Y = Y + 1j * rng.standard_normal(Y.shape)
    return (X * np.exp(spread * rng.standard_normal(length))).astype(dtype), Y.astype(dtype)


def assemble(p):
    """C diag(weights) R or C weights R, as it is written."""
    dense = [a.toarray() if issparse(a) else a for a in (p.C, p.R)]
    if p.weights.ndim == p.indices.ndim + 1:
        return dense[0] @ p.weights @ dense[1]
    return (dense[0] * p.weights[..., None, :]) @ dense[1]


problems = st.tuples(
    seeds, st.integers(0, 8), st.integers(1, 12), st.integers(0, 8), st.sampled_from(DTYPES)
)
