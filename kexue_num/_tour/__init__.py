"""The tour: every area on real data, beside its peers, with figures and a report.

Data are those that ship inside installed packages; nothing is downloaded. Each area has a module
with a function `chapter(out, quick)` that returns what it showed and what it checked.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable
from pathlib import Path

from kexue_num._tour._page import write_page
from kexue_num._tour._report import circumstances, print_chapter, print_summary, write_report
from kexue_num._tour._timing import pinned

AREAS = ("lowrank", "simplex", "density", "lattice", "transport")


def run(out: Path, *, areas: Iterable[str] = AREAS, quick: bool = False) -> int:
    """Run the tour; write figures, report.md and report.html; return 1 if a check failed."""
    start = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    chapters = []
    with pinned() as threads:
        for area in areas:
            print(f"{area} ...", flush=True)
            module = importlib.import_module(f"kexue_num._tour.{area}")
            chapters.append(module.chapter(out, quick))
            print_chapter(chapters[-1])
    introduction = circumstances(threads)
    report = write_report(out, chapters, introduction)
    write_page(out, chapters, introduction)
    return print_summary(chapters, report, time.perf_counter() - start)
