"""The limits of this machine, measured in the same run as the benchmarks."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import threadpoolctl

import kexue_num


@dataclass(frozen=True)
class Limits:
    """Bytes and flops per second with `threads` threads; matrix products are NumPy's BLAS."""

    threads: int
    isa: str
    read_bandwidth: float
    triad_bandwidth: float
    fma_float64: float
    fma_float32: float
    gemm_float64: float
    gemm_float32: float

    def peak(self, dtype: str) -> float:
        """Return the arithmetic peak of a dtype, the better of the two ways it was measured."""
        if dtype == "float32":
            return max(self.fma_float32, self.gemm_float32)
        return max(self.fma_float64, self.gemm_float64)


def measure_limits(threads: int, *, gemm_size: int = 2048) -> Limits:
    """Measure the limits with a given number of threads (about a second)."""
    machine = kexue_num.machine_limits(threads)
    with threadpoolctl.threadpool_limits(threads):
        gemm = {dtype: _gemm_peak(gemm_size, dtype) for dtype in ("float64", "float32")}
    return Limits(
        threads=threads,
        isa=machine.isa,
        read_bandwidth=machine.read_bandwidth,
        triad_bandwidth=machine.triad_bandwidth,
        fma_float64=machine.fma_float64,
        fma_float32=machine.fma_float32,
        gemm_float64=gemm["float64"],
        gemm_float32=gemm["float32"],
    )


def _gemm_peak(size: int, dtype: str) -> float:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, size, size)).astype(dtype)
    out = np.empty((size, size), dtype)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        np.matmul(a, b, out=out)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def describe(limits: list[Limits]) -> str:
    """Return the limits as a table in giga-units, one column per number of threads."""
    rows = [
        ("read bandwidth", "read_bandwidth", "GB/s"),
        ("triad bandwidth", "triad_bandwidth", "GB/s"),
        ("multiply-add float64", "fma_float64", "Gflop/s"),
        ("multiply-add float32", "fma_float32", "Gflop/s"),
        ("matrix product float64", "gemm_float64", "Gflop/s"),
        ("matrix product float32", "gemm_float32", "Gflop/s"),
    ]
    head = "".join(f"{f'{entry.threads} thr':>9}" for entry in limits)
    lines = [f"Limits of this machine ({limits[0].isa} kernels)", f"  {'':24}{head}"]
    for title, name, unit in rows:
        values = "".join(f"{getattr(entry, name) / 1e9:9.1f}" for entry in limits)
        lines.append(f"  {title:24}{values}  {unit}")
    return "\n".join(lines)


def as_json(limits: list[Limits]) -> list[dict[str, Any]]:
    """Return the limits in JSON types."""
    return [asdict(entry) for entry in limits]
