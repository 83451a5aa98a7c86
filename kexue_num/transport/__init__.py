"""Optimal transport with brackets on the exact cost.

A plan P >= 0 moves the masses `a` (n,) to the masses `b` (m,) at the cost sum P_ij C_ij. Every
result carries dual potentials, and with them a lower bound on the least cost that no rounding or
early stop can falsify; `a` or `b` None means uniform masses.

References
----------
Jianlin Su, 科学空间 (https://kexue.fm), posts 6280 (2019-01-20) and 9797 (2023-10-13).
"""

from kexue_num.transport._emo import EMOLoss, demd, embedding_cost, emo_loss
from kexue_num.transport._result import Bracket, Gradients, Potentials, TransportResult
from kexue_num.transport._round import round_plan

__all__ = [
    "Bracket",
    "EMOLoss",
    "Gradients",
    "Potentials",
    "TransportResult",
    "demd",
    "embedding_cost",
    "emo_loss",
    "round_plan",
]
