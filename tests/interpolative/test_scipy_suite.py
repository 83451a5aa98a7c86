"""SciPy's own tests of its interpolative module, with the module swapped."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import scipy.linalg


def test_suite_of_the_installed_scipy_passes(tmp_path):
    source = Path(scipy.linalg.__file__).parent / "tests" / "test_interpolative.py"
    text = source.read_text(encoding="utf-8")
    swapped = text.replace("scipy.linalg.interpolative", "kexue_num.interpolative")
    assert swapped.count("kexue_num.interpolative") >= 2  # both of its imports
    (tmp_path / "test_swapped.py").write_text(swapped, encoding="utf-8")

    report = tmp_path / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", f"--junitxml={report}"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_swapped.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    counts = next(ElementTree.parse(report).getroot().iter("testsuite")).attrib
    assert int(counts["skipped"]) == 0
    # 15 functions, 48 cases in SciPy 1.15 to 1.17; fewer than 40 would mean a file gone astray.
    assert int(counts["tests"]) >= 40
