"""Maps onto the probability simplex, their gradients and losses.

Nearly every map here is p_i = f(x_i - tau) with one number tau per row, the root of
sum_i f(x_i - tau) = 1: an exponential f gives softmax, a ramp gives sparsemax (the Euclidean
projection), its powers give entmax.

References
----------
Jianlin Su, 科学空间 (https://kexue.fm), posts 10145 (2024-06-14), 10289 (2024-08-06) and 10373
(2024-09-19).
"""

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
    "EntmaxGradient",
    "Loss",
    "Threshold",
    "entmax",
    "entmax15",
    "entmax_vjp",
    "fenchel_young_loss",
    "log_softmax",
    "logsumexp",
    "multilabel_loss",
    "normmax",
    "perturbmax",
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
]
