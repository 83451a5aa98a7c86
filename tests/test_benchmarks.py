"""The benchmark suite: what it times, how it judges, what it writes."""

import dataclasses
import json
import time

import numpy as np
import pytest

import kexue_num
from benchmarks import __main__ as program
from benchmarks import lowrank, matrices
from benchmarks._case import Case, Contender, Floor, Outcome, Problem
from benchmarks._documents import compare, write_json
from benchmarks._documents import document as document_of
from benchmarks._report import format_case, format_floors, format_seconds
from benchmarks._runner import QUICK, CaseResult, Measurement, limit_seconds, pinned, run_case
from benchmarks._table import BEGIN, END
from benchmarks.limits import Limits

LIMITS = Limits(
    threads=1,
    isa="baseline",
    read_bandwidth=1e9,
    triad_bandwidth=1e9,
    fma_float64=2e9,
    fma_float32=8e9,
    gemm_float64=1e9,
    gemm_float32=1e9,
)


def result_of(times, errors=(1.0, 1.0), floor=None, name="case"):
    """A result with given times of both sides."""
    measurements = [
        Measurement(who, list(seconds), Outcome(error=error))
        for who, seconds, error in zip(("kexue_num", "peer"), times, errors, strict=True)
    ]
    return CaseResult(name, "title", "unit", 1e-3, measurements, floor)


# Judging


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (40, 25), (120, 300)])
@pytest.mark.parametrize("decay", [0.0, 0.5, 3.0])
def test_spectral_norm_is_a_tight_lower_bound(shape, decay):
    rng = np.random.default_rng(1)
    size = min(shape)
    u = np.linalg.qr(rng.standard_normal((shape[0], size)))[0]
    v = np.linalg.qr(rng.standard_normal((shape[1], size)))[0]
    matrix = (u * np.arange(1.0, size + 1) ** -decay) @ v.T
    norm = matrices.spectral_norm(lambda x: matrix @ x, lambda y: matrix.T @ y, shape[1])
    assert 0.99 <= norm <= 1 + 1e-12


def test_spectral_norm_of_zero():
    zero = np.zeros((20, 30))
    assert matrices.spectral_norm(lambda x: zero @ x, lambda y: zero.T @ y, 30) == 0


def test_residual_norm_of_dense_and_sparse():
    sparse = matrices.sparse_matrix(300, 200, 0.05)
    dense = sparse.toarray()
    skeleton, coefficients = dense[:, :5], np.linalg.lstsq(dense[:, :5], dense)[0]
    exact = np.linalg.norm(dense - skeleton @ coefficients, 2)
    for matrix in (sparse, dense):
        assert matrices.residual_norm(matrix, skeleton, coefficients) == pytest.approx(exact, 1e-2)


@pytest.mark.parametrize("decay", ["slow", "fast"])
def test_test_matrices_have_the_spectrum_they_state(decay):
    matrix = matrices.spectral_matrix(decay, 60, 40)
    expected = matrices.spectrum(decay, 60, 40)
    np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False), expected, atol=1e-14)
    assert matrices.spectral_matrix(decay, 60, 40) is matrix


def test_outcome_of_scipy_rebuilds_the_matrix():
    matrix = matrices.spectral_matrix("fast", 60, 40)
    unit = float(matrices.spectrum("fast", 60, 40)[10])
    idx, proj = lowrank._scipy_id(matrix, 10, rand=False)
    outcome = lowrank._outcome_of_scipy(matrix, unit, 10, (idx, proj))
    exact = np.linalg.norm(matrix[:, idx] - matrix[:, idx[:10]] @ np.c_[np.eye(10), proj], 2)
    assert outcome.error == pytest.approx(exact / unit, rel=1e-2)
    assert outcome.rank == 10


# Running


def recording_case(calls, *, requires=None):
    """A case whose contenders note their calls."""

    def contender(name, requires=None):
        return Contender(name, lambda: calls.append(name), lambda _: Outcome(error=1.0), requires)

    problem = Problem((contender("kexue_num"), contender("peer", requires)), "unit", 8e6, 1e6)
    return Case("case", "title", lambda: problem)


def test_contenders_alternate():
    calls = []
    budget = dataclasses.replace(QUICK, seconds=10.0, min_rounds=4, max_rounds=4, settle=0.0)
    result = run_case(recording_case(calls), LIMITS, budget)
    ours, peer = (len(m.seconds) for m in result.measurements)
    assert (ours, peer) >= (4, 4)
    # Whoever ran last goes first in the next round: never two rounds of one side in a row by luck.
    order = [name for i, name in enumerate(calls) if i == 0 or calls[i - 1] != name]
    assert order.count("kexue_num") >= 3
    assert order.count("peer") >= 3


def test_who_is_slow_is_timed_once_and_all_have_the_same_threads():
    seen = []
    quick = Contender(
        "kexue_num", lambda: seen.append(kexue_num.get_workers()), lambda _: Outcome()
    )
    slow = Contender("peer", lambda: time.sleep(0.02), lambda _: Outcome())
    case = Case("case", "title", lambda: Problem((quick, slow), "unit", 8e6, 1e6))
    budget = dataclasses.replace(QUICK, seconds=0.005, settle=0.0)
    result = run_case(case, LIMITS, budget)
    ours, peer = result.measurements
    rounds, rest = divmod(len(ours.seconds), budget.runs_per_round)
    assert rest == 0 and rounds >= budget.min_rounds
    # Before it is timed in a round, who is short runs twice.
    assert len(seen) == 1 + rounds * (2 + budget.runs_per_round)
    assert len(peer.seconds) == 1
    assert set(seen) == {LIMITS.threads} and result.threads == LIMITS.threads


def test_missing_peer_is_named_and_not_run():
    calls = []
    case = recording_case(calls, requires="no-such-distribution")
    result = run_case(case, LIMITS, dataclasses.replace(QUICK, seconds=0.0, settle=0.0))
    assert "peer" not in calls
    assert result.measurements[1].missing == "no-such-distribution is not installed"
    assert "no-such-distribution is not installed" in format_case(result)


@pytest.mark.parametrize(
    ("bytes_moved", "flops", "dtype", "seconds"),
    [(2e9, 1e9, "float64", 2.0), (1e9, 8e9, "float64", 4.0), (1e6, 8e9, "float32", 1.0)],
)
def test_limit_is_memory_or_arithmetic(bytes_moved, flops, dtype, seconds):
    problem = Problem((), "unit", bytes_moved, flops, dtype)
    assert limit_seconds(problem, LIMITS) == seconds


def test_pinned_limits_our_pool_and_restores_it():
    before = kexue_num.get_workers()
    with pinned(1):
        assert kexue_num.get_workers() == 1
    assert kexue_num.get_workers() == before


# Reporting


@pytest.mark.parametrize(
    ("times", "errors", "floor", "met"),
    [
        (([1.0], [10.0]), (1.5, 1.0), Floor("peer", 10, 1.7), True),
        (([1.0], [9.9]), (1.5, 1.0), Floor("peer", 10, 1.7), False),
        (([1.0], [10.0]), (1.8, 1.0), Floor("peer", 10, 1.7), False),
        (([1.0], [10.0]), (0.9, 0.1), Floor("peer", 10, None), True),
        (([1.0], [10.0]), (1.1, 9.0), Floor("peer", 10, None), False),
    ],
)
def test_floors(times, errors, floor, met):
    result = result_of(times, errors, floor)
    assert result.judge_floor()[0] is met
    assert ("met" if met else "MISSED") in format_case(result)
    assert format_floors([result]).startswith(f"floors met: {int(met)} of 1")


def test_median_spread_and_ratio():
    result = result_of(([1.0, 2.0, 3.0, 2.0, 2.0], [8.0]))
    assert result.ours.median == 2.0
    assert result.ours.spread == 0.0
    assert result.ratio(result.measurements[1]) == 4.0
    assert result.percent_of_limit == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.0, "2 s"), (0.0123, "12.3 ms"), (4.5e-6, "4.5 us"), (1e-8, "10 ns")]
)
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text


def document(**cases):
    """A file of a run with the given times of both sides."""
    return {
        "format": 1,
        "cases": [
            {
                "name": name,
                "measurements": [
                    {"name": who, "seconds": seconds}
                    for who, seconds in zip(("kexue_num", "peer"), times, strict=True)
                ],
            }
            for name, times in cases.items()
        ],
    }


def test_compare_tells_faster_slower_and_missing():
    same = ([1.0, 1.1, 1.2], [10.0])
    old = document(a=same, b=same, c=same, gone=same)
    new = document(a=([0.5, 0.5], [10.0]), b=([2.0, 2.0], []), c=same, fresh=same)
    lines = {line.split()[0]: line for line in compare(old, new).splitlines()}
    assert lines["a"].endswith("faster")
    assert "9.09x -> 20x" in lines["a"]
    assert lines["b"].endswith("slower")
    assert not lines["c"].endswith(("faster", "slower"))
    assert lines["gone"].endswith("only in the old file")
    assert lines["fresh"].endswith("only in the new file")


def test_compare_refuses_other_files():
    with pytest.raises(ValueError, match="expected format 1, got None"):
        compare({}, document())


# The program


@pytest.mark.parametrize("quick", [False, True])
def test_cases_have_distinct_names_and_floors_where_promised(quick):
    cases = list(lowrank.cases(quick))
    assert len({case.name for case in cases}) == len(cases) >= 14
    assert sum(case.floor is not None for case in cases) == (0 if quick else 15)


@pytest.mark.parametrize("case", list(lowrank.cases(quick=True)), ids=lambda case: case.name)
def test_every_case_can_be_judged(case):
    for contender in case.prepare().contenders:
        if contender.requires is None:
            outcome = contender.judge(contender.run())
            assert np.isfinite(outcome.error)
            assert outcome.bound is None or outcome.error <= outcome.bound


def test_run_writes_json_and_figures_and_compares(tmp_path, capsys):
    file, figures = tmp_path / "run.json", tmp_path / "figures"
    pattern = "rank/200x200/k20/default"
    arguments = ["lowrank", "--quick", "--threads", "1", "--case", pattern]
    assert program.main([*arguments, "--json", str(file), "--figures", str(figures)]) == 0
    output = capsys.readouterr().out
    assert "read bandwidth" in output
    assert pattern in output
    assert (figures / "lowrank.png").stat().st_size > 10_000

    written = json.loads(file.read_text())
    assert written["quick"] is True
    assert written["machine"]["versions"]["kexue_num"] == kexue_num.__version__
    assert written["limits"][0]["read_bandwidth"] > 0
    [case] = written["cases"]
    assert case["threads"] == 1
    ours, scipy = case["measurements"][:2]
    assert case["limit_seconds"] > 0
    assert len(ours["seconds"]) >= len(scipy["seconds"]) >= 2
    assert scipy["error"] >= 1
    assert 1 <= ours["error"] <= ours["bound"]

    assert program.main(["compare", str(file), str(file)]) == 0
    assert f"{pattern} " in capsys.readouterr().out


def test_list_prints_names_only(capsys):
    assert program.main(["lowrank", "--list", "--case", "tol"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("tol/") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "unknown area 'nowhere': expected one of lowrank"),
        (["--case", "nothing-like-this"], "no case matches 'nothing-like-this'"),
        (["--threads", "0"], "--threads must be at least 1, got 0"),
    ],
)
def test_bad_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        program.main(arguments)
    assert message in capsys.readouterr().err


# Failures, histories, tables


def test_a_failing_peer_or_case_loses_nothing_else():
    def fail():
        raise RuntimeError("no\nluck")

    good = Contender("kexue_num", lambda: 1, lambda _: Outcome(error=1.0))
    bad = Contender("peer", fail, lambda _: Outcome())
    budget = dataclasses.replace(QUICK, seconds=0.0, settle=0.0)
    result = run_case(
        Case("case", "title", lambda: Problem((good, bad), "unit", 8e6, 1e6), Floor("peer", 2, 1)),
        LIMITS,
        budget,
    )
    assert result.failure is None
    assert result.ours.seconds
    assert result.measurements[1].missing == "failed: RuntimeError: no"
    assert "peer did not run" in format_case(result)
    assert format_floors([result]) == "floors met: 0 of 0; not judged: 1"
    for broken in (fail, lambda: Problem((bad, good), "unit", 8e6, 1e6)):
        result = run_case(Case("case", "title", broken), LIMITS, budget)
        assert "FAILED: RuntimeError: no" in format_case(result)


def test_history_and_table(tmp_path, capsys):
    results = {
        "area": [
            result_of(([0.001], [0.01]), floor=Floor("peer", 5, 1.0), name="a"),
            result_of(([0.001], [0.01]), floor=Floor("peer", 50, 1.0), name="b"),
            CaseResult("c", "title", "", 0.0, [], failure="ValueError: wrong"),
        ]
    }
    content = document_of(results, [LIMITS], quick=False)
    for number in range(2):
        write_json(tmp_path / "runs" / f"{number}.json", content)
    assert not list(tmp_path.glob("**/*.part"))
    assert program.main(["history", str(tmp_path / "runs")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["a", "10x", "10x"]
    assert lines[3].split() == ["c"]
    assert compare(content, content).splitlines()[-1].endswith("failed in the old file")

    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    file = str(tmp_path / "runs" / "0.json")
    assert program.main(["table", file, "--into", str(readme)]) == 0
    text = readme.read_text()
    assert text.startswith("before") and text.endswith("after\n") and "old" not in text
    assert "Floors met: 1 of 2." in text
    assert "| `a` | 1 | 1 ms | 0 % | peer | 10 ms | 10x | 1 | 1 | 1e+02 % | 5x, met |" in text
    assert "**missed**" in text and "failed: ValueError: wrong" in text
    readme.write_text("no marks")
    with pytest.raises(ValueError, match="expected one line"):
        program.main(["table", file, "--into", str(readme)])
