"""Optimal transport with brackets on the exact cost.

A plan P >= 0 moves the masses `a` (n,) to the masses `b` (m,) at the cost sum P_ij C_ij. Every
result carries dual potentials, and with them a lower bound on the least cost that no rounding or
early stop can falsify; `a` or `b` None means uniform masses.

References
----------
Jianlin Su, 科学空间 (https://kexue.fm), posts 6280 (2019-01-20) and 9797 (2023-10-13).
"""

from kexue_num.transport._assignment import Assignment, assignment
from kexue_num.transport._barycenter import Barycenter, barycenter
from kexue_num.transport._batch import BatchResult, sinkhorn_batch
from kexue_num.transport._emo import EMOLoss, demd, embedding_cost, emo_loss
from kexue_num.transport._exact import emd
from kexue_num.transport._line import emd_1d, sliced
from kexue_num.transport._partial import PartialTransport, partial
from kexue_num.transport._points import (
    PointGradients,
    PointsResult,
    SinkhornDivergence,
    sinkhorn_divergence,
    sinkhorn_points,
)
from kexue_num.transport._result import Bracket, Gradients, Potentials, TransportResult
from kexue_num.transport._round import round_plan
from kexue_num.transport._sinkhorn import sinkhorn
from kexue_num.transport._unbalanced import UnbalancedResult, unbalanced

__all__ = [
    "Assignment",
    "Barycenter",
    "BatchResult",
    "Bracket",
    "EMOLoss",
    "Gradients",
    "PartialTransport",
    "PointGradients",
    "PointsResult",
    "Potentials",
    "SinkhornDivergence",
    "TransportResult",
    "UnbalancedResult",
    "assignment",
    "barycenter",
    "demd",
    "embedding_cost",
    "emd",
    "emd_1d",
    "emo_loss",
    "partial",
    "round_plan",
    "sinkhorn",
    "sinkhorn_batch",
    "sinkhorn_divergence",
    "sinkhorn_points",
    "sliced",
    "unbalanced",
]
