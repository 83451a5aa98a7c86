"""What a chapter of the tour holds, the table on the screen and the report in Markdown."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import kexue_num
from kexue_num import _core


def duration(seconds: float | None) -> str:
    """Return a time with three digits and its unit."""
    if seconds is None:
        return ""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def percent(fraction: float | None) -> str:
    """Return a fraction in percent with three digits."""
    if fraction is None:
        return ""
    value = 100 * fraction
    if 0 < value < 1e-3:
        return f"{value:.1e} %".replace("e-0", "e-")
    return f"{value:.3g} %"


def plain(value: float | None) -> str:
    """Return a small number with two digits."""
    if value is None:
        return ""
    return "0" if value == 0 else f"{value:.1e}"


@dataclass(frozen=True)
class Row:
    """One task through kexue_num and a peer; the chapter says what its errors are."""

    task: str
    peer: str
    seconds: float | None = None
    peer_seconds: float | None = None
    error: float | None = None
    bound: float | None = None
    peer_error: float | None = None
    missing: str | None = None
    number: Callable[[float | None], str] = percent
    """How errors are written."""

    def cells(self) -> list[str]:
        """Return the row as text, in the order of `HEADER`."""
        if self.missing is not None:
            return [self.task, self.peer, self.missing, "", "", "", "", ""]
        ratio = ""
        if self.seconds and self.peer_seconds:
            ratio = f"{self.peer_seconds / self.seconds:.3g}x"
        return [
            self.task,
            self.peer,
            duration(self.seconds),
            duration(self.peer_seconds),
            ratio,
            self.number(self.error),
            self.number(self.bound),
            self.number(self.peer_error),
        ]


HEADER = (
    "task",
    "peer",
    "our time",
    "its time",
    "faster",
    "our error",
    "our bound",
    "its error",
)


@dataclass(frozen=True)
class Check:
    """A statement about a result, and whether it held."""

    statement: str
    holds: bool


@dataclass
class Chapter:
    """What one area showed: text, table, figures with captions, remarks, and checks."""

    title: str
    introduction: str
    rows: list[Row] = field(default_factory=list)
    figures: list[tuple[Path, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def check(self, statement: str, holds: bool) -> None:
        """Note whether a statement held."""
        self.checks.append(Check(statement, bool(holds)))

    @property
    def failures(self) -> list[str]:
        """Return the statements that did not hold."""
        return [check.statement for check in self.checks if not check.holds]


def print_chapter(chapter: Chapter) -> None:
    """Print title, table and remarks; with rich where it is installed."""
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(f"\n{chapter.title}\n\n{_plain_table(chapter.rows)}")
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 130
        table = Table(
            title=chapter.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
        )
        for number, name in enumerate(HEADER):
            table.add_column(
                name.replace(" ", "\n"),
                justify="left" if number < 2 else "right",
                style="bold" if name == "faster" else None,
                no_wrap=number > 0,
            )
        for row in chapter.rows:
            table.add_row(*row.cells())
        console.print(table)
    for remark in chapter.remarks:
        print(f"  {remark}")


def _plain_table(rows: list[Row]) -> str:
    cells = [list(HEADER), *(row.cells() for row in rows)]
    # A row that only says what is missing may run over the columns that follow.
    widths = [
        max(len(line[i]) for line, row in zip(cells, [None, *rows], strict=True) if not _gap(row))
        for i in range(len(HEADER))
    ]
    lines = []
    for line in cells:
        left = [line[i].ljust(widths[i]) for i in range(2)]
        right = [line[i].rjust(widths[i]) for i in range(2, len(HEADER))]
        lines.append("  ".join(left + right).rstrip())
    return "\n".join(lines)


def _gap(row: Row | None) -> bool:
    return row is not None and row.missing is not None


def circumstances(threads: str) -> str:
    """Say what was run, where and how."""
    method = "Times are medians of runs that alternate between the two sides in one process."
    return f"{_software()}. {_machine()}. Threads: {threads}. {method}"


def write_report(out: Path, chapters: list[Chapter], introduction: str) -> Path:
    """Write report.md beside the figures."""
    lines = ["# A tour of kexue_num", "", introduction, ""]
    for chapter in chapters:
        lines += [f"## {chapter.title}", "", chapter.introduction, ""]
        lines += [
            "| " + " | ".join(HEADER) + " |",
            "|:--|:--" + "|--:" * (len(HEADER) - 2) + "|",
            *("| " + " | ".join(row.cells()) + " |" for row in chapter.rows),
            "",
        ]
        for path, caption in chapter.figures:
            lines += [f"![{caption}]({path.name})", "", f"*{caption}*", ""]
        lines += [f"- {remark}" for remark in chapter.remarks]
        lines += ["", "Checks:", ""]
        lines += [f"- [{'x' if c.holds else ' '}] {c.statement}" for c in chapter.checks]
        lines.append("")
    report = out / "report.md"
    report.write_text("\n".join(lines), encoding="utf-8")
    return report


def _software() -> str:
    parts = [f"kexue_num {kexue_num.__version__} ({_core.active_isa()} kernels)"]
    for name in ("numpy", "scipy", "scikit-learn"):
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            parts.append(f"{name} not installed")
    return ", ".join([*parts, f"Python {platform.python_version()}"])


def _machine() -> str:
    return f"{platform.system()} on {platform.machine()}"


def print_summary(chapters: list[Chapter], report: Path, seconds: float) -> int:
    """Print where everything is and what failed; return the exit status."""
    failures = [statement for chapter in chapters for statement in chapter.failures]
    total = sum(len(chapter.checks) for chapter in chapters)
    figures = sum(len(chapter.figures) for chapter in chapters)
    print(f"\n{figures} figures and {report} written in {seconds:.0f} s.")
    print(f"{total - len(failures)} of {total} checks hold.")
    for statement in failures:
        print(f"  FAILED: {statement}")
    return 1 if failures else 0
