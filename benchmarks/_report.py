"""What a run shows: a table on the screen and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks._runner import CaseResult

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
    if result.failure is not None:
        return f"{result.name}\n  {result.title}\n  FAILED: {result.failure}"
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
    verdict = result.judge_floor()
    if verdict is None:
        return f"  floor {floor.ratio:g}x: {floor.peer} did not run"
    met, ratio, error = verdict
    goal = "" if floor.goal is None else f" (goal {floor.goal:g}x)"
    of_peer = " of its unit" if floor.error is None else f" of {floor.peer}'s"
    return (
        f"  floor {floor.ratio:g}x{goal}, error at most {floor.error or 1:g}{of_peer}: "
        f"{'met' if met else 'MISSED'} ({ratio:.3g}x, {error:.3g})"
    )


def format_floors(results: list[CaseResult]) -> str:
    """Return one line that counts the floors that are met and names the others."""
    verdicts = [(result.name, result.judge_floor()) for result in results if result.floor]
    judged = [(name, verdict) for name, verdict in verdicts if verdict is not None]
    missed = [name for name, verdict in judged if not verdict[0]]
    line = f"floors met: {len(judged) - len(missed)} of {len(judged)}"
    if missed:
        line += f"; missed: {', '.join(missed)}"
    if len(judged) < len(verdicts):
        line += f"; not judged: {len(verdicts) - len(judged)}"
    return line


_OURS = "#c2410c"
_PEERS = ("#334155", "#64a0c8", "#94a3b8", "#7c9a5e", "#a78bba", "#d4a72c")


def write_figures(folder: Path, area: str, results: list[CaseResult]) -> Path:
    """Draw the time of every contender of every case on one logarithmic axis."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    results = [result for result in results if result.failure is None]
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
