"""Whether forbidden arcs leave any plan at all."""

from __future__ import annotations

import numpy as np

from kexue_num._errors import NumericalError
from kexue_num.transport._inputs import Problem

_UNITS = 2**30  # capacities are integers: masses are rounded to this share of their sum


def require_feasible(function: str, problem: Problem) -> None:
    """NumericalError naming rows that hold more than all columns they may reach.

    By a largest flow (the theorems of Gale and Hall); shortages below (n + m) 2^-30 of the mass
    are not seen.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    n, m = problem.C.shape
    allowed = np.isfinite(problem.C)
    total = problem.a.sum()
    supply, demand = (np.rint(x / total * _UNITS).astype(np.int32) for x in (problem.a, problem.b))
    rows, cols = np.nonzero(allowed)
    source, sink = n + m, n + m + 1
    starts = np.concatenate([np.full(n, source), rows, n + np.arange(m)])
    ends = np.concatenate([np.arange(n), n + cols, np.full(m, sink)])
    capacity = np.concatenate([supply, np.full(len(rows), _UNITS, np.int32), demand])
    shape = (n + m + 2, n + m + 2)
    graph = csr_array((capacity, (starts, ends)), shape=shape)
    found = maximum_flow(graph, source, sink)
    if found.flow_value >= _UNITS - (n + m):
        return
    residual = csr_array(graph - found.flow)
    residual.data = np.maximum(residual.data, 0)
    residual.eliminate_zeros()
    reached = breadth_first_order(residual, source, return_predecessors=False)
    stuck = np.sort(reached[reached < n])
    columns = allowed[stuck].any(axis=0)
    names = ", ".join(map(str, stuck[:5])) + (", ..." if len(stuck) > 5 else "")
    raise NumericalError(
        f"{function}: rows [{names}] hold {problem.a[stuck].sum():.6g}, but every column that "
        f"they may reach holds {problem.b[columns].sum():.6g} together: the forbidden arcs leave "
        "no plan"
    )
