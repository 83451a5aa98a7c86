"""JSON files of runs: written as a run goes on, kept as a history, compared."""

from __future__ import annotations

import datetime
import fnmatch
import importlib.metadata
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import kexue_num
from benchmarks._report import format_seconds
from benchmarks._runner import CaseResult, Measurement
from benchmarks.limits import Limits, as_json

FORMAT = 1
_VERSIONS = (
    "numpy",
    "scipy",
    "scikit-learn",
    "KDEpy",
    "POT",
    "sentencepiece",
    "tokenizers",
    "hmmlearn",
    "torch",
    "threadpoolctl",
)


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


def document(
    results: dict[str, list[CaseResult]], limits: list[Limits], *, quick: bool
) -> dict[str, Any]:
    """Return everything that was measured, by areas, in JSON types."""
    return {
        "format": FORMAT,
        "machine": machine(),
        "quick": quick,
        "limits": as_json(limits),
        "cases": [
            {"area": area, **_case_as_json(result)}
            for area, measured in results.items()
            for result in measured
        ],
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a document; the file is whole at every moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Return the document of a file, ValueError if it is none."""
    content: dict[str, Any] = json.loads(path.read_text())
    if content.get("format") != FORMAT:
        got = content.get("format")
        raise ValueError(f"{path}: expected format {FORMAT}, got {got!r}")
    return content


def history_file(folder: Path) -> Path:
    """Return the name of a new file of a history: versions and dates sort as they came."""
    now = datetime.datetime.now(datetime.UTC)
    return folder / f"{now:%Y-%m-%dT%H%M%S}-{kexue_num.__version__}.json"


def history(folder: Path, pattern: str = "*") -> str:
    """Return the ratio to the first peer of every case in every file of a folder, oldest first."""
    runs = [read_json(file) for file in sorted(folder.glob("*.json"))]
    if not runs:
        raise ValueError(f"history: no JSON files in {folder}")
    shown = runs[-8:]
    names = [case["name"] for run in reversed(shown) for case in run["cases"]]
    head = "".join(f"{run['machine']['date'][5:16]:>14}" for run in shown)
    lines = [f"{'ratio to the first peer':44}{head}"]
    for name in dict.fromkeys(n for n in names if fnmatch.fnmatchcase(n, pattern)):
        cells = []
        for run in shown:
            ratio = next((_peer_ratio(c) for c in run["cases"] if c["name"] == name), None)
            cells.append("" if ratio is None else f"{ratio:.3g}x")
        lines.append(f"{name:44}" + "".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines)


def _case_as_json(result: CaseResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "title": result.title,
        "threads": result.threads,
        "error_unit": result.error_unit,
        "limit_seconds": result.limit_seconds,
        "floor": None if result.floor is None else asdict(result.floor),
        "failure": result.failure,
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
    for content in (old, new):
        if content.get("format") != FORMAT:
            raise ValueError(f"compare: expected format {FORMAT}, got {content.get('format')!r}")
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
    for which, case in (("old", old), ("new", new)):
        if not case["measurements"]:
            return f"{name:44}failed in the {which} file"
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
