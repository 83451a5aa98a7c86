"""Densities as squares of Fourier sums, fitted to their certified global optimum.

- `FourierDensity`: one variable on the circle, an interval, the half line or the real line.
- `FourierDensity2D`: two variables, squares of rank up to four.

References
----------
Jianlin Su, 科学空间 (https://kexue.fm), post 10007 of 2024-03-07 on Fourier series as densities.
A. De la Fuente, S. Singh, J. Balle, "Fourier basis density model", 2024, arXiv:2402.15345.
"""

from kexue_num.density._density import FourierDensity
from kexue_num.density._density2d import FourierDensity2D

__all__ = ["FourierDensity", "FourierDensity2D"]
