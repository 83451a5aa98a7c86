"""Low-rank approximation with certified errors.

- `interp_decomp`: a matrix rebuilt from a few of its own columns or rows (interpolative
  decomposition), with a bound on the error and a bound on the coefficients; `two_sided_id`: from a
  few of its entries.
- `cur`: a matrix rebuilt from a few of its rows and columns.
- `column_subset`, `leverage_scores`, `deim`: which columns matter.
- `pivoted_qr`, `strong_rrqr`: rank-revealing factorisations.
- `cr_matmul`, `cr_probabilities`: a product from a few of its rank-one terms (CR).
- `truncated_svd`: the leading singular triplets, with a bound on the error.
- `pinv`, `best_left_factor`, `best_right_factor`: pseudo-inverse and what it solves.

References
----------
Jianlin Su, 科学空间 (https://kexue.fm), the series on low-rank approximation: pseudo-inverse
(2024-09-15), SVD (2024-10-01), CR (2024-10-11), ID (2024-10-30), CUR (2025-01-12).
"""

from kexue_num.lowrank._column_row import cr_matmul, cr_probabilities
from kexue_num.lowrank._columns import column_subset, deim, leverage_scores
from kexue_num.lowrank._cur import cur
from kexue_num.lowrank._interpolative import interp_decomp
from kexue_num.lowrank._product import CRProduct
from kexue_num.lowrank._pseudo_inverse import best_left_factor, best_right_factor, pinv
from kexue_num.lowrank._qr import RRQR, PivotedQR, pivoted_qr, strong_rrqr
from kexue_num.lowrank._results import SVD, InterpolativeDecomposition
from kexue_num.lowrank._skeletons import CUR, TwoSidedID
from kexue_num.lowrank._truncated_svd import truncated_svd
from kexue_num.lowrank._two_sided import two_sided_id

__all__ = [
    "CUR",
    "RRQR",
    "SVD",
    "CRProduct",
    "InterpolativeDecomposition",
    "PivotedQR",
    "TwoSidedID",
    "best_left_factor",
    "best_right_factor",
    "column_subset",
    "cr_matmul",
    "cr_probabilities",
    "cur",
    "deim",
    "interp_decomp",
    "leverage_scores",
    "pinv",
    "pivoted_qr",
    "strong_rrqr",
    "truncated_svd",
    "two_sided_id",
]
