"""Maps onto the probability simplex, their gradients, losses, projections and minimisers.

Nearly every map here is p_i = f(x_i - tau) with one number tau per row, the root of
sum_i f(x_i - tau) = 1: an exponential f gives softmax, a ramp gives sparsemax (the Euclidean
projection), its powers give entmax.
"""

from kexue_num.simplex._flow import WassersteinFlow, wasserstein_flow
from kexue_num.simplex._matrices import (
    BirkhoffProjection,
    project_birkhoff,
    project_spectrahedron,
)
from kexue_num.simplex._minimize import SimplexMinimum, minimize
from kexue_num.simplex._permutahedron import (
    isotonic,
    project_permutahedron,
    soft_rank,
    soft_rank_vjp,
    soft_sort,
    soft_sort_vjp,
)
from kexue_num.simplex._projections import (
    project_l1_ball,
    project_l1inf_ball,
    project_linf_ball,
    project_simplex,
)
from kexue_num.simplex._quadratic import simplex_least_squares, simplex_qp

__all__ = [
    "BirkhoffProjection",
    "SimplexMinimum",
    "WassersteinFlow",
    "isotonic",
    "minimize",
    "project_birkhoff",
    "project_l1_ball",
    "project_l1inf_ball",
    "project_linf_ball",
    "project_permutahedron",
    "project_simplex",
    "project_spectrahedron",
    "simplex_least_squares",
    "simplex_qp",
    "soft_rank",
    "soft_rank_vjp",
    "soft_sort",
    "soft_sort_vjp",
    "wasserstein_flow",
]
