"""Maps onto the probability simplex, their gradients and losses.

Nearly every map here is p_i = f(x_i - tau) with one number tau per row, the root of
sum_i f(x_i - tau) = 1: an exponential f gives softmax, a ramp gives sparsemax (the Euclidean
projection), its powers give entmax.

References
----------
Jianlin Su, 科学空间 (https://kexue.fm), posts 10145 (2024-06-14), 10289 (2024-08-06) and 10373
(2024-09-19).
"""

from kexue_num.simplex._flow import WassersteinFlow, wasserstein_flow
from kexue_num.simplex._gradients import EntmaxGradient, entmax_vjp, softmax_vjp, sparsemax_vjp
from kexue_num.simplex._losses import Loss, fenchel_young_loss, multilabel_loss
from kexue_num.simplex._maps import (
    entmax,
    entmax15,
    log_softmax,
    logsumexp,
    normmax,
    softmax,
    sparsemax,
)
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
from kexue_num.simplex._select import (
    perturbmax,
    soft_topk,
    soft_topk_vjp,
    taylor_softmax,
    taylor_softmax_vjp,
    topk_softmax,
    topp_softmax,
)
from kexue_num.simplex._support import Threshold, sparse, threshold

__all__ = [
    "BirkhoffProjection",
    "EntmaxGradient",
    "Loss",
    "SimplexMinimum",
    "Threshold",
    "WassersteinFlow",
    "entmax",
    "entmax15",
    "entmax_vjp",
    "fenchel_young_loss",
    "isotonic",
    "log_softmax",
    "logsumexp",
    "minimize",
    "multilabel_loss",
    "normmax",
    "perturbmax",
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
    "soft_topk",
    "soft_topk_vjp",
    "softmax",
    "softmax_vjp",
    "sparse",
    "sparsemax",
    "sparsemax_vjp",
    "taylor_softmax",
    "taylor_softmax_vjp",
    "threshold",
    "topk_softmax",
    "topp_softmax",
    "wasserstein_flow",
]
