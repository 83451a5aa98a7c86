"""The tour: what it checks, what it says when something is missing, its exit status.

The photographs come with scikit-learn; here synthetic ones of the same kind stand in for them.
"""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from kexue_num import __main__ as program
from kexue_num import _tour
from kexue_num import lowrank as library
from kexue_num._tour import _report, _timing
from kexue_num._tour import density as density_chapter
from kexue_num._tour import lattice as lattice_chapter
from kexue_num._tour import lowrank as chapter
from kexue_num._tour import simplex as simplex_chapter
from kexue_num._tour import transport as transport_chapter


def photograph(name):
    """A smooth picture with some noise, 60 x 200."""
    rng = np.random.default_rng(len(name))
    y, x = np.mgrid[0:1:60j, 0:1:200j]
    planes = [np.sin(9 * x * (1 + channel) + 5 * y**2) for channel in range(3)]
    picture = 128 + 100 * np.dstack(planes) + rng.normal(0, 4, (60, 200, 3))
    return picture.clip(0, 255).astype(np.uint8)


def kernel():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((240, 3))
    matrix = np.exp(-((x[:, None] - x) ** 2).sum(axis=2) / 8)
    return chapter.Data("digits kernel", matrix, float(np.linalg.norm(matrix, 2)))


def digits():
    """Blurred squares in ten places, 8 x 8 with values up to 16 as the real ones have."""
    rng = np.random.default_rng(5)
    labels = np.arange(120) % 10
    images = rng.integers(0, 4, (120, 8, 8)).astype(float)
    for image, label in zip(images, labels, strict=True):
        image[label // 2 : label // 2 + 3, 4 * (label % 2) : 4 * (label % 2) + 3] += 12
    return images.reshape(120, 64), labels


def hues():
    picture = photograph("flower")
    return picture, density_chapter.hues_of(picture)


def measurements():
    rng = np.random.default_rng(7)
    return [
        density_chapter.Measured("petal lengths", "cm", rng.normal(3.0, 1.0, 90), "real"),
        density_chapter.Measured("tumour areas", "pixels", rng.gamma(3.0, 200.0, 120), "positive"),
    ]


def pictures():
    rng = np.random.default_rng(4)
    ramp = np.linspace(0, 200, 40)[None, :, None] * rng.random((30, 1, 3))
    return tuple(
        np.uint8(np.clip(base + rng.normal(0, 12, ramp.shape), 0, 255))
        for base in (ramp, 255 - ramp)
    )


@pytest.fixture
def small_data(monkeypatch):
    monkeypatch.setattr(chapter, "_load_photograph", photograph)
    monkeypatch.setattr(chapter, "_digits_kernel", kernel)
    monkeypatch.setattr(simplex_chapter, "_load_digits", digits)
    monkeypatch.setattr(density_chapter, "_load_hues", hues)
    monkeypatch.setattr(density_chapter, "_load_measurements", measurements)
    lines = lattice_chapter._load_lines()[:900]
    monkeypatch.setattr(lattice_chapter, "_load_lines", lambda: lines)
    monkeypatch.setattr(lattice_chapter, "VOCABULARY", 400)
    monkeypatch.setattr(lattice_chapter, "SAMPLES", 20_000)
    monkeypatch.setattr(transport_chapter, "_load_pictures", pictures)
    prototypes = np.random.default_rng(5).normal(size=(10, 64))
    monkeypatch.setattr(transport_chapter, "_load_prototypes", lambda: prototypes)
    chapters = (chapter, simplex_chapter, density_chapter, lattice_chapter, transport_chapter)
    for module in chapters:
        monkeypatch.setattr(
            module, "alternate", lambda ours, peer, seconds: (seconds, ours(), 2 * seconds, peer())
        )


@pytest.fixture
def no_figures(monkeypatch):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("small_data")
def test_tour_writes_figures_and_a_report(tmp_path, capsys):
    out = tmp_path / "tour"
    assert program.main(["--quick", "--out", str(out)]) == 0
    names = ["china", "flower", "error-by-rank", "promises", "attention", "supports", "hues"]
    names += ["measurements", "claw", "lattice", "frequencies", "kinds", "bounds"]
    names += ["colours", "emo"]
    for name in (f"{stem}.png" for stem in names):
        assert (out / name).stat().st_size > 10_000
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "(promises.png)" in report
    assert "- [x] china.jpg, 160 columns: the error" in report
    assert "- [ ]" not in report
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == len(names)
    output = capsys.readouterr().out
    assert "china.jpg, 160 columns" in output
    assert f"{len(names)} figures and" in output


_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
_PROBE = """<script>addEventListener("load", () => { document.title = JSON.stringify({
  images: [...document.images].map(image => image.naturalWidth),
  tables: document.querySelectorAll("table").length,
  wide: document.documentElement.scrollWidth > innerWidth,
  asked: performance.getEntriesByType("resource").map(r => r.name).filter(n => !/^data:/.test(n)),
}) })</script>"""


@pytest.mark.usefixtures("small_data")
@pytest.mark.skipif(_BROWSER is None, reason="no browser to open the page with")
def test_the_page_in_a_browser(tmp_path):
    assert program.main(["--quick", "--area", "density", "--out", str(tmp_path)]) == 0
    page = tmp_path / "report.html"
    page.write_text(page.read_text(encoding="utf-8") + _PROBE, encoding="utf-8")
    command = [_BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    # What a sanitizer's build preloads is not for the browser.
    environ = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    shown = subprocess.run(command, capture_output=True, timeout=60, check=True, env=environ)
    found = json.loads(re.search("<title>(.*)</title>", shown.stdout.decode()).group(1))
    assert len(found["images"]) == 3
    assert min(found["images"]) > 600
    assert found["tables"] == 1
    assert found["asked"] == []
    assert not found["wide"]


@pytest.mark.usefixtures("small_data", "no_figures")
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"error_bound": 0.0}, "is within its bound 0 %"),
        ({"indices": np.arange(160)}, "the skeleton holds columns of the matrix"),
    ],
)
def test_a_broken_promise_fails_the_tour(tmp_path, capsys, monkeypatch, change, complaint):
    decompose = library.interp_decomp

    def broken(A, rank=None, **options):
        found = decompose(A, rank, **options)
        return dataclasses.replace(found, **change) if rank == 160 else found

    monkeypatch.setattr(library, "interp_decomp", broken)
    assert program.main(["--quick", "--area", "lowrank", "--out", str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert any("FAILED" in line and complaint in line for line in output.splitlines()), output


@pytest.mark.usefixtures("small_data", "no_figures")
def test_biased_samples_fail_the_tour(tmp_path, capsys, monkeypatch):
    sample = lattice_chapter.UnigramTokenizer.sample

    def biased(self, text, alpha=1.0, **options):
        return sample(self, text, alpha + 0.1, **options)

    monkeypatch.setattr(lattice_chapter.UnigramTokenizer, "sample", biased)
    assert program.main(["--quick", "--area", "lattice", "--out", str(tmp_path)]) == 1
    assert "draws follow them" in capsys.readouterr().out


@pytest.mark.usefixtures("small_data", "no_figures")
def test_a_wrong_projection_fails_the_tour(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(simplex_chapter.simplex, "sparsemax", simplex_chapter.simplex.softmax)
    assert program.main(["--quick", "--area", "simplex", "--out", str(tmp_path)]) == 1
    assert "sparsemax: the support is that of the exact map" in capsys.readouterr().out


def test_without_scikit_learn_the_table_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with_scikit_learn = [area for area in _tour.AREAS if area != "lattice"]
    assert _tour.run(tmp_path, areas=with_scikit_learn) == 0
    assert "scikit-learn is not installed" in capsys.readouterr().out
    assert "scikit-learn is not installed" in (tmp_path / "report.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("small_data")
def test_without_extras_the_tour_still_runs(tmp_path, capsys, monkeypatch):
    missing = ("matplotlib", "rich", "sentencepiece", "sklearn", "sklearn.utils.extmath")
    for name in (*missing, "threadpoolctl", "tokenizers"):
        monkeypatch.setitem(sys.modules, name, None)
    assert _tour.run(tmp_path, quick=True) == 0
    output = capsys.readouterr().out
    assert "matplotlib is not installed: no figures" in output
    assert "scikit-learn is not installed" in output
    assert "sentencepiece is not installed" in output
    assert "0 figures and" in output
    assert not list(tmp_path.glob("*.png"))
    assert "threadpoolctl is not installed" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_plain_table_lines_up():
    rows = [
        _report.Row("a long task", "SciPy", 1e-3, 2e-1, 0.01, 0.02, 0.005),
        _report.Row("b", "peer", missing="peer is not installed"),
        _report.Row("c", "SciPy", 2.0, 1.0, 1e-9, None, 0.0),
    ]
    lines = _report._plain_table(rows).splitlines()
    assert lines[1].split("  ")[0] == "a long task"
    assert "200x" in lines[1]
    assert lines[2].endswith("peer is not installed")
    assert lines[1].index("200x") + 4 == lines[3].index("0.5x") + 4


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(None, ""), (0.0, "0 %"), (0.02391, "2.39 %"), (1e-5, "0.001 %"), (2.04e-9, "2.0e-7 %")],
)
def test_percent(fraction, text):
    assert _report.percent(fraction) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (3.0, "3 s"), (0.05, "50 ms"), (2.5e-5, "25 µs")]
)
def test_duration(seconds, text):
    assert _report.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "turns"),
    [(0.0, 2), (1e-2, 3)],  # a peer slower than the time allowed; one that fits into it
    ids=["slow peer", "fast peer"],
)
def test_alternate_runs_both_sides_in_turns(monkeypatch, seconds, turns):
    monkeypatch.setattr(_timing, "_SETTLE_SECONDS", 0.0)
    calls = []
    _, ours, _, peer = _timing.alternate(
        lambda: calls.append("ours") or "our result",
        lambda: calls.append("peer") or "their result",
        seconds=seconds,
    )
    assert (ours, peer) == ("our result", "their result")
    order = [name for i, name in enumerate(calls) if i == 0 or calls[i - 1] != name]
    assert len(order) >= 2 * turns
    assert order == ["ours", "peer"] * (len(order) // 2)


def test_config_prints_the_configuration(capsys):
    assert program.main(["config"]) == 0
    assert "kexue_num" in capsys.readouterr().out


def test_unknown_area(capsys):
    with pytest.raises(SystemExit, match="2"):
        program.main(["--area", "nowhere"])
    assert "nowhere" in capsys.readouterr().err
