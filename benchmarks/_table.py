"""The table of a run in Markdown, and its place in the README."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._report import format_seconds

BEGIN, END = "<!-- table of a run: begin -->", "<!-- table of a run: end -->"
_HEADER = (
    "case",
    "threads",
    "ours",
    "spread",
    "peer",
    "its time",
    "ratio",
    "our error",
    "its error",
    "of the limit",
    "floor",
)


def insert(table: str, readme: Path) -> None:
    """Put a table between the marks of a file."""
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{readme}: expected one line {BEGIN!r} and one {END!r} after it")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    readme.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


def render(run: dict[str, Any]) -> str:
    """Return the tables of all areas of a document, under a description of the machine."""
    judged = [verdict for case in run["cases"] if (verdict := _verdict(case)) is not None]
    lines = [_machine(run), ""]
    if judged:
        lines += [f"Floors met: {sum(judged)} of {len(judged)}.", ""]
    areas = dict.fromkeys(case.get("area", "all") for case in run["cases"])
    for area in areas:
        lines += [f"### {area}", "", _row(_HEADER), "|:--|--:|--:|--:|:--|" + "--:|" * 6]
        for case in run["cases"]:
            if case.get("area", "all") == area:
                lines += [_row(cells) for cells in _case(case)]
        lines.append("")
    return "\n".join(lines).rstrip()


def _machine(run: dict[str, Any]) -> str:
    machine, limits = run["machine"], run["limits"][-1]
    versions = ", ".join(
        f"{name} {version}"
        for name, version in machine["versions"].items()
        if version != "not installed"
    )
    return (
        f"{machine['processor']}, {machine['cores']} cores, {limits['isa']} kernels, "
        f"{machine['platform'].split('-')[0]}; {limits['threads']} threads read "
        f"{limits['read_bandwidth'] / 1e9:.3g} GB/s, "
        f"multiply-add {limits['fma_float64'] / 1e9:.3g} Gflop/s in float64; "
        f"{versions}; {machine['date'][:10]}."
    )


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _times(measurement: dict[str, Any]) -> tuple[float, float]:
    """Median, and half the interquartile range over it."""
    seconds = np.array(measurement["seconds"])
    median = float(np.median(seconds))
    low, high = np.percentile(seconds, [25, 75])
    return median, float((high - low) / 2 / median)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _verdict(case: dict[str, Any]) -> bool | None:
    """Whether the floor of a case is met; None without one, or where its peer did not run."""
    floor, measurements = case.get("floor"), case["measurements"]
    if floor is None or not measurements:
        return None
    ours = measurements[0]
    peer = next((m for m in measurements if m["name"] == floor["peer"]), None)
    if peer is None or not peer["seconds"]:
        return None
    error, allowed = ours["error"], floor["error"]
    if allowed is None:
        allowed = 1.0
    else:
        error = error / peer["error"]
    return bool(_times(peer)[0] / _times(ours)[0] >= floor["ratio"] and error <= allowed)


def _case(case: dict[str, Any]) -> list[list[str]]:
    """A row for each peer; the first has our own figures too."""
    name = f"`{case['name']}`"
    if case.get("failure"):
        return [[name, str(case["threads"]), f"failed: {case['failure']}", *[""] * 8]]
    ours, *peers = case["measurements"]
    median, spread = _times(ours)
    limit = f"{100 * case['limit_seconds'] / median:.2g} %"
    first = [name, str(case["threads"]), format_seconds(median), f"{100 * spread:.0f} %"]
    floor, verdict = case.get("floor"), _verdict(case)
    rows = []
    for peer in peers or [None]:
        lead = first if not rows else [""] * 4
        error, of_limit = (_number(ours["error"]), limit) if not rows else ("", "")
        if peer is None or not peer["seconds"]:
            reason = "" if peer is None else f"{peer['name']}: {peer['missing']}"
            rows.append([*lead, reason, "", "", error, "", of_limit, ""])
            continue
        ratio = f"{_times(peer)[0] / median:.3g}x"
        promise = ""
        if floor is not None and floor["peer"] == peer["name"]:
            promise = f"{floor['ratio']:g}x, {'met' if verdict else '**missed**'}"
        its = [peer["name"], format_seconds(_times(peer)[0]), ratio]
        rows.append([*lead, *its, error, _number(peer["error"]), of_limit, promise])
    return rows
