"""The README's example prints what it says, and its two commands are the ones that are tested."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BOTH = pytest.mark.parametrize("readme", [README, ROOT / "README.zh-CN.md"], ids=lambda p: p.name)


@BOTH
def test_example(readme):
    failed, attempted = doctest.testfile(
        str(readme), module_relative=False, encoding="utf-8", optionflags=doctest.ELLIPSIS
    )
    assert failed == 0
    assert attempted >= 8


@BOTH
def test_two_commands_that_set_themselves_up(readme):
    text = readme.read_text(encoding="utf-8")
    commands = re.findall(r"^ *(python3 -m venv .*)$", text, re.MULTILINE)
    install = 'python3 -m venv .venv && .venv/bin/pip install -e ".[{}]" && .venv/bin/python -m {}'
    assert commands == [install.format("bench", "kexue_num"), install.format("test", "pytest")]


@BOTH
def test_links_to_files_exist(readme):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", readme.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (readme.parent / link).is_file(), link
