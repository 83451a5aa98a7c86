"""What a run leaves behind: a table, a JSON file, figures; and the comparison of two JSON files."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import kexue_num
from benchmarks._runner import CaseResult, Measurement
from benchmarks.limits import Limits, as_json

FORMAT = 1
_VERSIONS = ("numpy", "scipy", "scikit-learn", "threadpoolctl")
_COLUMNS = f"  {'':12}{'time':>10}{'spread':>8}{'ratio':>8}{'error':>10}{'bound':>10}{'rank':>6}"


def format_seconds(seconds: float) -> str:
    """Return a time with three digits and its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _format_number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def format_case(result: CaseResult) -> str:
    """Return the lines of one case."""
    lines = [f"{result.name}", f"  {result.title}; error in units of {result.error_unit}", _COLUMNS]
    for measurement in result.measurements:
        if measurement.missing is not None:
            lines.append(f"  {measurement.name:12}{measurement.missing:>10}")
            continue
        is_ours = measurement is result.ours
        outcome = measurement.outcome
        lines.append(
            f"  {measurement.name:12}{format_seconds(measurement.median):>10}"
            f"{f'{100 * measurement.spread:.0f} %':>8}"
            f"{'' if is_ours else f'{result.ratio(measurement):.3g}x':>8}"
            f"{_format_number(outcome.error):>10}{_format_number(outcome.bound):>10}"
            f"{'' if outcome.rank is None else outcome.rank:>6}"
            + (f"   {result.percent_of_limit:.2g} % of the limit" if is_ours else "")
        )
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """Return what a reader of the numbers must know about the machine and the software."""
    versions = {"python": platform.python_version(), "kexue_num": kexue_num.__version__}
    for name in _VERSIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "platform": platform.platform(),
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "versions": versions,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def write_json(
    path: Path, results: list[CaseResult], limits: list[Limits], *, threads: int, quick: bool
) -> None:
    """Write everything that was measured."""
    document = {
        "format": FORMAT,
        "machine": machine(),
        "threads": threads,
        "quick": quick,
        "limits": as_json(limits),
        "cases": [_case_as_json(result) for result in results],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def _case_as_json(result: CaseResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "title": result.title,
        "error_unit": result.error_unit,
        "limit_seconds": result.limit_seconds,
        "measurements": [_measurement_as_json(m) for m in result.measurements],
    }


def _measurement_as_json(measurement: Measurement) -> dict[str, Any]:
    return {
        "name": measurement.name,
        "missing": measurement.missing,
        "seconds": measurement.seconds,
        **asdict(measurement.outcome),
    }


def compare(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Compare two documents case by case.

    The ratio to a peer was measured in one process and survives a change of the machine's mood;
    the change of our own time is shown beside it, and judged only when it leaves both spreads.
    """
    for document in (old, new):
        if document.get("format") != FORMAT:
            raise ValueError(f"compare: expected format {FORMAT}, got {document.get('format')!r}")
    lines = [f"{'case':44}{'old':>10}{'new':>10}{'change':>9}{'peer ratio, old -> new':>26}"]
    old_cases = {case["name"]: case for case in old["cases"]}
    new_cases = {case["name"]: case for case in new["cases"]}
    for name in [*new_cases, *(name for name in old_cases if name not in new_cases)]:
        if name not in old_cases or name not in new_cases:
            lines.append(f"{name:44}only in the {'new' if name in new_cases else 'old'} file")
        else:
            lines.append(_compare_case(name, old_cases[name], new_cases[name]))
    return "\n".join(lines)


def _compare_case(name: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    ours_old, ours_new = (np.array(case["measurements"][0]["seconds"]) for case in (old, new))
    medians = float(np.median(ours_old)), float(np.median(ours_new))
    low_old, high_old = np.percentile(ours_old, [25, 75])
    low_new, high_new = np.percentile(ours_new, [25, 75])
    verdict = "slower" if low_new > high_old else "faster" if high_new < low_old else ""
    ratios = [_peer_ratio(case) for case in (old, new)]
    both = "" if None in ratios else f"{ratios[0]:.3g}x -> {ratios[1]:.3g}x"
    return (
        f"{name:44}{format_seconds(medians[0]):>10}{format_seconds(medians[1]):>10}"
        f"{100 * (medians[1] / medians[0] - 1):>+7.0f} %{both:>26} {verdict}"
    ).rstrip()


def _peer_ratio(case: dict[str, Any]) -> float | None:
    """Return the ratio to the first peer, None where it was not there."""
    seconds = [measurement["seconds"] for measurement in case["measurements"][:2]]
    if len(seconds) < 2 or not seconds[1]:
        return None
    return float(np.median(seconds[1]) / np.median(seconds[0]))


def write_figures(folder: Path, area: str, results: list[CaseResult]) -> Path:
    """Draw the time of every contender of every case on one logarithmic axis."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    ours_color, peer_colors = "#c2410c", ("#475569", "#94a3b8", "#cbd5e1")
    style = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(8.4, 0.8 + 0.42 * len(results)), layout="constrained")
        axes = figure.subplots()
        for row, result in enumerate(results):
            present = [m for m in result.measurements if m.seconds]
            times = [m.median for m in present]
            axes.plot([min(times), max(times)], [row, row], color="#e2e8f0", lw=2, zorder=1)
            for number, measurement in enumerate(present):
                is_ours = number == 0
                color = ours_color if is_ours else peer_colors[min(number - 1, 2)]
                axes.plot(measurement.median, row, "o", ms=8, color=color, zorder=3 - 0.1 * number)
                label = measurement.name if is_ours else ""
                label = label or f"{measurement.name} {result.ratio(measurement):.3g}x"
                axes.annotate(
                    label,
                    (measurement.median, row),
                    xytext=(0, 7),
                    textcoords="offset points",
                    ha="center",
                    color=color if is_ours else "#475569",
                    fontsize=7,
                )
        axes.set_xscale("log")
        axes.set_yticks(range(len(results)), [result.title for result in results])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(results) - 0.4, -0.7)
        axes.set_xlabel("seconds (median, alternating in one process)")
        axes.grid(axis="x", color="#f1f5f9")
        axes.set_axisbelow(True)
    path = folder / f"{area}.png"
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)
    return path
