"""Configuration of the documentation: `python -m sphinx -W docs docs/_build`."""

from __future__ import annotations

import re
from typing import Any

import kexue_num

project = "kexue_num"
author = "the kexue_num authors; formulas by Jianlin Su (苏剑林), 科学空间"
project_copyright = "2026, the kexue_num authors"
release = version = kexue_num.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}
html_title = "kexue_num"

# Every name in `__all__` is documented where the reader looks for it: in its area.
autodoc_member_order = "groupwise"
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 60,
    "abort_on_example_error": True,
    "doc_module": ("kexue_num",),
}


def escape_bars(*event: Any) -> None:
    """Keep |x| in a docstring from being taken for a substitution; literals stay as they are."""
    lines: list[str] = event[-1]
    for number, line in enumerate(lines):
        if "|" in line and not line.lstrip().startswith((">>>", "...", ".. ")):
            parts = re.split(r"(``.*?``|:math:`.*?`)", line)
            parts[::2] = [re.sub(r"(?<!\\)\|", r"\\|", part) for part in parts[::2]]
            lines[number] = "".join(parts)


def setup(app: Any) -> None:
    """Run after numpydoc, which asks for the docstring as it is written."""
    app.connect("autodoc-process-docstring", escape_bars, priority=900)
