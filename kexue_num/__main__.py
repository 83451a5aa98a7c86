"""`python -m kexue_num` runs the tour; `python -m kexue_num config` prints the configuration."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kexue_num import _tour, show_config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status, 1 if a check of the tour failed."""
    parser = argparse.ArgumentParser(
        prog="python -m kexue_num",
        description="The tour: kexue_num on real data, beside the libraries that are installed.",
    )
    parser.add_argument(
        "command", nargs="?", choices=("tour", "config"), default="tour", help="default: tour"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("kexue-tour"), metavar="DIR", help="default: kexue-tour"
    )
    parser.add_argument("--quick", action="store_true", help="fewer points and shorter timings")
    parser.add_argument(
        "--area", action="append", choices=_tour.AREAS, help="only this area; may be repeated"
    )
    options = parser.parse_args(arguments)
    if options.command == "config":
        show_config()
        return 0
    return _tour.run(options.out, areas=options.area or _tour.AREAS, quick=options.quick)


if __name__ == "__main__":
    sys.exit(main())
