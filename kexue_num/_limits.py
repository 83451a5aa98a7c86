"""The measured limits of this machine, against which the speed of everything else is judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kexue_num import _core
from kexue_num._threads import get_workers
from kexue_num._validation import check_workers

# Larger than the caches of most machines.
_WORKING_SET = 24 << 20


@dataclass(frozen=True, slots=True)
class MachineLimits:
    """What this machine can do at best, in bytes and floating-point operations per second.

    Attributes
    ----------
    workers : int
        Number of threads that took part.
    isa : str
        Instruction set in use: ``"baseline"``, ``"avx2"`` or ``"avx512"``.
    read_bandwidth : float
        Bytes per second, reading memory.
    triad_bandwidth : float
        Bytes per second of ``a = b + s * c``, 24 bytes per element (the STREAM convention).
    fma_float64, fma_float32 : float
        Flops per second of multiply-adds that stay in registers, 2 flops each.
    """

    workers: int
    isa: str
    read_bandwidth: float
    triad_bandwidth: float
    fma_float64: float
    fma_float32: float

    def __repr__(self) -> str:
        """Return the limits in giga-units."""
        return (
            f"MachineLimits(workers={self.workers}, isa={self.isa!r}, "
            f"read={self.read_bandwidth / 1e9:.1f} GB/s, "
            f"triad={self.triad_bandwidth / 1e9:.1f} GB/s, "
            f"fma_float64={self.fma_float64 / 1e9:.1f} Gflop/s, "
            f"fma_float32={self.fma_float32 / 1e9:.1f} Gflop/s)"
        )


def machine_limits(workers: int | None = None) -> MachineLimits:
    """Measure the memory bandwidth and the arithmetic peak of this machine.

    Parameters
    ----------
    workers : int, optional
        Number of threads; None takes the library's setting.

    Returns
    -------
    MachineLimits
        Bandwidths over 192 MiB of memory and multiply-add peaks, each the best of several passes.

    Raises
    ------
    TypeError
        If `workers` is not an integer.
    ValueError
        If `workers` is not in 1..1024.

    Notes
    -----
    Takes about half a second and 192 MiB. The kernels are those of the instruction set in use, so
    the peak of ``KEXUE_ISA=baseline`` is lower. A shared machine varies by a quarter from run to
    run: compare a timing only with limits measured beside it.

    References
    ----------
    J. D. McCalpin, Memory bandwidth and machine balance in current high performance computers,
    IEEE TCCA Newsletter, 1995.

    Examples
    --------
    >>> import kexue_num
    >>> limits = kexue_num.machine_limits(workers=1)
    >>> limits.workers
    1
    >>> limits.read_bandwidth > 0 and limits.fma_float64 > 0
    True
    """
    workers = check_workers("machine_limits", workers) or get_workers()
    read, triad, fma_float64, fma_float32 = _core.measure_limits(np.empty(_WORKING_SET), workers)
    return MachineLimits(
        workers=workers,
        isa=_core.active_isa(),
        read_bandwidth=read,
        triad_bandwidth=triad,
        fma_float64=fma_float64,
        fma_float32=fma_float32,
    )
