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
    if result.floor is not None:
        lines.append(_format_floor(result))
    return "\n".join(lines)


def _format_floor(result: CaseResult) -> str:
    floor = result.floor
    met, ratio, error = result.judge_floor()
    goal = "" if floor.goal is None else f" (goal {floor.goal:g}x)"
    of_peer = " of its unit" if floor.error is None else f" of {floor.peer}'s"
    return (
        f"  floor {floor.ratio:g}x{goal}, error at most {floor.error or 1:g}{of_peer}: "
        f"{'met' if met else 'MISSED'} ({ratio:.3g}x, {error:.3g})"
    )


def format_floors(results: list[CaseResult]) -> str:
    """Return one line that counts the floors that are met and names the others."""
    judged = [(result.name, result.judge_floor()) for result in results if result.floor]
    missed = [name for name, verdict in judged if not verdict[0]]
    line = f"floors met: {len(judged) - len(missed)} of {len(judged)}"
    return line + (f"; missed: {', '.join(missed)}" if missed else "")


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
    """Return the comparison of two documents, a line per case.

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


_OURS = "#c2410c"
_PEERS = ("#334155", "#64a0c8", "#94a3b8", "#7c9a5e", "#a78bba", "#d4a72c")


def write_figures(folder: Path, area: str, results: list[CaseResult]) -> Path:
    """Draw the time of every contender of every case on one logarithmic axis."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.axisbelow": True,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(8.4, 1.3 + 0.32 * len(results)), layout="constrained")
        axes = figure.subplots()
        _draw_times(axes, results)
        axes.set_xscale("log")
        axes.set_yticks(range(len(results)), [result.title for result in results])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(results) - 0.4, -0.6)
        axes.set_xlabel(
            "seconds per call (medians of alternating runs); at the right, the first peer over ours"
        )
        axes.grid(axis="x", color="#e2e8f0", lw=0.7)
        figure.legend(loc="outside upper center", ncols=7, frameon=False, handletextpad=0.2)
        path = folder / f"{area}.png"
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=160)
    return path


def _draw_times(axes: Any, results: list[CaseResult]) -> None:
    """Draw one row per case: a dot per contender, the ratio to the first peer at the right."""
    peers = list(dict.fromkeys(m.name for r in results for m in r.measurements[1:] if m.seconds))
    colors = {name: _PEERS[i % len(_PEERS)] for i, name in enumerate(peers)}
    colors[results[0].ours.name] = _OURS
    labelled: set[str] = set()
    for row, result in enumerate(results):
        present = [m for m in result.measurements if m.seconds]
        times = [m.median for m in present]
        axes.plot([min(times), max(times)], [row, row], color="#cbd5e1", lw=1.5, zorder=1)
        for measurement in present:
            name = measurement.name
            axes.plot(
                measurement.median,
                row,
                "o",
                ms=7.5 if name == results[0].ours.name else 6.5,
                color=colors[name],
                mec="white",
                label=None if name in labelled else name,
                zorder=3 if name == results[0].ours.name else 2,
            )
            labelled.add(name)
        if len(present) > 1:
            label = f"{result.ratio(present[1]):.3g}\u00d7"
            at_right = axes.get_yaxis_transform()
            axes.text(1.01, row, label, transform=at_right, va="center", color=_OURS)
