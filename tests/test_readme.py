"""The README's example prints what it says, and its two commands are the ones that are tested."""

import doctest
import re
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def test_example():
    failed, attempted = doctest.testfile(
        str(README), module_relative=False, encoding="utf-8", optionflags=doctest.ELLIPSIS
    )
    assert failed == 0
    assert attempted >= 8


def test_two_commands_that_set_themselves_up():
    text = README.read_text(encoding="utf-8")
    commands = re.findall(r"^ *(python3 -m venv .*)$", text, re.MULTILINE)
    install = 'python3 -m venv .venv && .venv/bin/pip install -e ".[{}]" && .venv/bin/python -m {}'
    assert commands == [install.format("bench", "kexue_num"), install.format("test", "pytest")]


def test_links_to_files_exist():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (README.parent / link).is_file(), link
