"""A density in the form that `scipy.stats.make_distribution` takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from kexue_num.density._distribution import Distribution


class FourierDistribution:
    """The methods SciPy asks for, under its names; there are no parameters."""

    __make_distribution_version__ = "1.16.0"

    def __init__(self, density: Distribution) -> None:
        self._density = density
        self.parameters: tuple[Any, ...] = ()
        low, high = density.support_
        # Ends of intervals belong to them.
        self.support = {
            "endpoints": (low, high),
            "inclusive": tuple(map(math.isfinite, (low, high))),
        }

    def pdf(self, x: Any) -> Any:
        """Density."""
        return self._density.pdf(x)

    def logpdf(self, x: Any) -> Any:
        """Logarithm of the density."""
        return self._density.logpdf(x)

    def cdf(self, x: Any) -> Any:
        """Mass below x."""
        return self._density.cdf(x)

    def cdf2(self, x: Any, y: Any) -> Any:
        """Mass between x and y, negative if x > y."""
        x, y = np.asarray(x), np.asarray(y)
        mass = self._density.bin_prob(np.minimum(x, y), np.maximum(x, y))
        return np.where(x <= y, mass, -mass)[()]

    def logcdf(self, x: Any) -> Any:
        """Logarithm of the mass below x."""
        return self._density.logcdf(x)

    def ccdf(self, x: Any) -> Any:
        """Mass above x."""
        return self._density.sf(x)

    def logccdf(self, x: Any) -> Any:
        """Logarithm of the mass above x."""
        return self._density.logsf(x)

    def icdf(self, p: Any) -> Any:
        """Quantile of the mass below."""
        return self._density.ppf(p)

    def iccdf(self, p: Any) -> Any:
        """Quantile of the mass above."""
        return self._density.isf(p)

    def entropy(self) -> float:
        """Differential entropy in nats."""
        return self._density.entropy()

    def moment(self, order: Any, kind: str = "raw") -> float | None:
        """Moments about zero and about the mean; SciPy standardises them."""
        k = int(order)
        if kind == "raw":
            return self._density.moment(k)
        if kind == "central" and k >= 2:
            mean = self._density.mean()
            about_zero = self._density.moment(k)
            if not math.isfinite(about_zero):
                return about_zero
            return self._density.expect(lambda x: (x - mean) ** k)
        return None

    def sample(self, shape: Any, *, rng: Any = None) -> Any:
        """Independent samples."""
        return self._density.rvs(tuple(shape), rng=rng)


def frozen(density: Distribution) -> Any:
    """An instance of the class SciPy makes."""
    import scipy.stats

    make = getattr(scipy.stats, "make_distribution", None)
    version = tuple(int(part) for part in scipy.__version__.split(".")[:2])
    if make is None or version < (1, 16):
        raise ImportError(f"to_scipy: needs SciPy 1.16 or later, got SciPy {scipy.__version__}")
    return make(FourierDistribution(density))()
