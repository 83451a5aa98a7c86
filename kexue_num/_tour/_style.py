"""The look of the tour's figures: one palette, one type size, nothing that is not data."""

from __future__ import annotations

from typing import Any

OURS = "#c2410c"
PEER = "#334155"
PEER_LIGHT = "#64a0c8"
OPTIMUM = "#94a3b8"
INK = "#1e293b"
GRID = "#e2e8f0"

_RC: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.edgecolor": "#94a3b8",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": "#475569",
    "ytick.color": "#475569",
    "legend.frameon": False,
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "savefig.facecolor": "white",
}


def style() -> Any:
    """Return a context manager that sets the look and restores what was."""
    import matplotlib as mpl

    settings: Any = _RC  # matplotlib types each key
    return mpl.rc_context(settings)


def new_figure(width: float, height: float) -> Any:
    """Return a figure that belongs to no window system."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
