"""Rows that are solved in groups, against exact rationals, on every instruction set."""

import numpy as np
import pytest

from kexue_num import simplex
from tests.oracles import simplex as oracle


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [17, 63, 64, 100, 121, 128])
def test_few_and_many_candidates(isa, dtype, n):
    """More rows than a group, from one entry to all of a row above the threshold, at any place."""
    rng = np.random.default_rng(n)
    scale = np.geomspace(0.001, 10, 19)[:, None]
    for lead in (0, 1, 5):
        memory = np.full(19 * n + lead, 100, dtype)
        x = memory[lead:].reshape(19, n)
        x[:] = rng.standard_normal((19, n)) * scale
        for p, row in zip(simplex.sparsemax(x), x, strict=True):
            reference = oracle.project(row)
            assert [bool(v) for v in p] == [v > 0 for v in reference]
            np.testing.assert_allclose(
                p, [float(v) for v in reference], rtol=0, atol=np.finfo(dtype).eps
            )
