"""Trellises against the enumeration of all paths."""

import itertools
import re

import numpy as np
import pytest
import scipy.sparse
from scipy.stats import chi2

from kexue_num import _core
from kexue_num._validation import draw_key
from kexue_num.lattice import trellis
from tests.oracles import lattice as oracle

RTOL = 1e-12


def chain(steps, states, *, seed=0, spread=2.0, varying=False, holes=0.0):
    """Scores of one sequence; `holes` is the share of impossible transitions."""
    rng = np.random.default_rng([seed, steps, states])
    shape = (max(steps - 1, 0), states, states) if varying else (states, states)
    matrix = spread * rng.normal(size=shape)
    gone = rng.random(shape) < holes
    gone[..., 0] = False
    matrix[gone] = -np.inf
    emissions = spread * rng.normal(size=(steps, states))
    return emissions, matrix, spread * rng.normal(size=states), spread * rng.normal(size=states)


CASES = [
    {"steps": 1, "states": 1},
    {"steps": 1, "states": 3},
    {"steps": 2, "states": 9},
    {"steps": 5, "states": 4, "holes": 0.5},
    {"steps": 4, "states": 5, "varying": True, "holes": 0.2},
    {"steps": 7, "states": 3},
    {"steps": 6, "states": 3, "spread": 400.0},  # the log domain
    {"steps": 6, "states": 3, "spread": 1e-9, "varying": True},
    {"steps": 6, "states": 3, "spread": 1e6},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_enumeration(case, isa):
    emissions, matrix, start, stop = chain(**case)
    ends = {"start": start, "stop": stop}
    every = oracle.Chain(emissions, matrix, start, stop)
    scale = max(1.0, float(abs(every.log_partition)))
    log_z = trellis.log_partition(emissions, matrix, **ends)
    assert log_z == pytest.approx(float(every.log_partition), abs=RTOL * scale)
    found = trellis.marginals(emissions, matrix, **ends)
    states, pairs = every.marginals()
    # Logarithms of size |score| carry an error of 1e-16 |score| into each probability.
    atol = 1e-13 + 4e-15 * case.get("spread", 1.0)
    np.testing.assert_allclose(found.states, states, atol=atol)
    uses = pairs if case.get("varying") else pairs.sum(axis=0)
    np.testing.assert_allclose(found.transitions, uses, atol=atol)
    messages = trellis.forward_backward(emissions, matrix, **ends)
    both = np.logaddexp.reduce(messages.log_forward + messages.log_backward, axis=1)
    np.testing.assert_allclose(both, log_z, atol=RTOL * scale)
    best = trellis.viterbi(emissions, matrix, **ends)
    assert best.score == pytest.approx(float(max(every.scores)), rel=1e-14, abs=1e-14)
    assert tuple(best.states) == every.paths[int(np.argmax([float(s) for s in every.scores]))]
    few = trellis.kbest(emissions, matrix, 7, **ends)
    ranked = sorted((float(s) for s in every.scores), reverse=True)[:7]
    np.testing.assert_allclose(few.score[: len(ranked)], ranked, rtol=1e-13, atol=1e-13)
    assert (few.score[len(ranked) :] == -np.inf).all()
    assert len({tuple(path) for path in few.states[: len(ranked)]}) == len(ranked)


def test_probabilities_are_exponentials():
    emissions, matrix, start, stop = chain(6, 3, holes=0.3)
    logs = {"start": start, "stop": stop}
    weights = {"start": np.exp(start), "stop": np.exp(stop), "domain": "prob"}
    a = trellis.log_partition(emissions, matrix, **logs)
    b = trellis.log_partition(np.exp(emissions), np.exp(matrix), **weights)
    assert a == pytest.approx(b, rel=1e-14)
    best = trellis.viterbi(np.exp(emissions), np.exp(matrix), **weights)
    assert best.states.tolist() == trellis.viterbi(emissions, matrix, **logs).states.tolist()


@pytest.mark.parametrize("states", [1, 3, 10, 33])
def test_ragged_batches_equal_single_sequences(states, isa):
    rng = np.random.default_rng(states)
    emissions, matrix = rng.normal(size=(11, 30, states)), rng.normal(size=(states, states))
    lengths = [30, 0, 1, 17, 30, 2, 9, 30, 29, 28, 5]
    best = trellis.viterbi(emissions, matrix, lengths=lengths)
    found = trellis.marginals(emissions, matrix, lengths=lengths)
    samples = trellis.sample(emissions, matrix, size=2, rng=1, lengths=lengths)
    first = trellis.sample(emissions[:4], matrix, size=2, rng=1, lengths=lengths[:4])
    np.testing.assert_array_equal(samples[:4], first)
    for i, n in enumerate(lengths):
        single = trellis.viterbi(emissions[i, :n], matrix)
        np.testing.assert_array_equal(best.states[i, :n], single.states)
        assert (best.states[i, n:] == -1).all() and (samples[i, :, n:] == -1).all()
        assert best.score[i] == single.score
        alone = trellis.marginals(emissions[i, :n], matrix)
        np.testing.assert_array_equal(found.states[i, :n], alone.states)
        np.testing.assert_array_equal(found.transitions[i], alone.transitions)
        assert found.log_partition[i] == alone.log_partition
        assert (found.states[i, n:] == 0).all()
    assert best.score[1] == 0 and found.log_partition[1] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("states", [*range(1, 18), 40, 150, 530])
def test_best_paths_are_the_first_of_equals(states, dtype, isa):
    # A batch of seven is advanced by four, two and one; whole numbers tie at every step.
    rng = np.random.default_rng(states)
    for draw in (lambda *size: rng.integers(-3, 4, size), lambda *size: rng.normal(size=size)):
        emissions, matrix = draw(7, 9, states).astype(dtype), draw(states, states).astype(dtype)
        start, stop = draw(states).astype(dtype), draw(states).astype(dtype)
        found = trellis.viterbi(emissions, matrix, start=start, stop=stop).states
        for sequence, path in zip(emissions, found, strict=True):
            due = oracle.first_best_sequence(sequence, matrix, start, stop)
            assert path.tolist() == due
        alone = trellis.viterbi(emissions[6], matrix, start=start, stop=stop).states
        assert alone.tolist() == due


def large_matrices(states, rng):
    """Matrices where few, many or all rows can win, and where some states are out of reach."""
    yield "exponential", np.log(rng.exponential(size=(states, states)))
    yield "ties", rng.integers(-3, 4, (states, states)).astype(float)
    yield "equal", np.zeros((states, states))
    holes = rng.normal(size=(states, states))
    holes[rng.random(holes.shape) < 0.9] = -np.inf
    holes[:, states // 3] = -np.inf
    yield "holes", holes
    yield "a row wins", rng.normal(size=(states, states)) + 9.0 * (np.arange(states) == 5)[:, None]
    yield "diagonal", np.where(np.eye(states) > 0, 0.0, -30 + rng.normal(size=(states, states)))
    yield "huge", 1e30 * rng.normal(size=(states, states))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
# Rows of 192 states are whole blocks of columns; the others end in blocks of all widths.
@pytest.mark.parametrize("states", [192, 385, 449, 496, 943])
def test_rows_that_cannot_win_are_left_out_without_a_trace(states, dtype, isa):
    rng = np.random.default_rng(states)
    steps = 40
    emissions = rng.normal(size=(steps, states)).astype(dtype)
    emissions[20, 1:] = -np.inf  # all but one state are impossible
    emissions[25:30] = 0  # all are equal
    start, stop = rng.normal(size=(2, states)).astype(dtype)
    for name, matrix in large_matrices(states, rng):
        if name == "diagonal":
            emissions[20] = 0
        given = matrix.astype(dtype)
        due = oracle.first_best_sequence(emissions, given, start, stop)
        found = trellis.viterbi(emissions, given, start=start, stop=stop)
        assert found.states.tolist() == due, name
        # Nor do the sequences beside it or a second thread leave one.
        batch = np.stack((emissions, emissions[::-1], emissions))
        both = trellis.viterbi(batch, given, start=start, stop=stop, workers=2)
        np.testing.assert_array_equal(both.states[[0, 2]], np.stack([found.states] * 2), name)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_results_do_not_depend_on_the_workers(workers):
    rng = np.random.default_rng(2)
    emissions, matrix = rng.normal(size=(9, 40, 12)), rng.normal(size=(12, 12))
    for function in (
        lambda w: trellis.viterbi(emissions, matrix, workers=w).states,
        lambda w: trellis.marginals(emissions, matrix, workers=w).transitions,
        lambda w: trellis.sample(emissions, matrix, size=3, rng=5, workers=w),
        lambda w: trellis.kbest(emissions, matrix, 3, workers=w).states,
    ):
        np.testing.assert_array_equal(function(workers), function(1))


@pytest.mark.parametrize("states", [512, 530])
def test_workers_that_share_a_step_do_not_change_the_result(states, isa):
    rng = np.random.default_rng(states)
    emissions = rng.normal(size=(40, states))
    for matrix in (rng.normal(size=(states, states)), rng.normal(size=(4, states, states))):
        given = emissions if matrix.ndim == 2 else emissions[:5]
        for function in (
            lambda e, w, m=matrix: trellis.viterbi(e, m, workers=w).states,
            lambda e, w, m=matrix: trellis.marginals(e, m, workers=w).states,
            lambda e, w, m=matrix: trellis.sample(e, m, rng=5, workers=w),
        ):
            np.testing.assert_array_equal(function(given, 2), function(given, 1))
        pair = trellis.log_partition(np.stack((given, -given)), matrix, workers=2)
        assert trellis.log_partition(given, matrix, workers=2) == pair[0]


def test_sparse_transitions_equal_dense_ones():
    emissions, _, start, stop = chain(12, 20)
    band = scipy.sparse.diags([0.5, -0.25, 1.0], [-1, 0, 2], shape=(20, 20)).tocsr()
    dense = np.full((20, 20), -np.inf)
    dense[band.nonzero()] = band.data
    ends = {"start": start, "stop": stop}
    for matrix in (band, band.tocoo(), scipy.sparse.csc_array(band)):
        a, b = (trellis.viterbi(emissions, m, **ends) for m in (matrix, dense))
        np.testing.assert_array_equal(a.states, b.states)
        c, d = (trellis.marginals(emissions, m, **ends) for m in (matrix, dense))
        np.testing.assert_allclose(c.states, d.states, atol=1e-14)
        np.testing.assert_allclose(c.transitions, d.transitions[band.nonzero()], atol=1e-14)
        e, f = (trellis.sample(emissions, m, size=20, rng=3, **ends) for m in (matrix, dense))
        np.testing.assert_array_equal(e, f)
        g, h = (trellis.kbest(emissions, m, 5, **ends) for m in (matrix, dense))
        np.testing.assert_array_equal(g.states, h.states)


@pytest.mark.parametrize("steps", [1025, 1026, 1536, 1537, 3000])
@pytest.mark.parametrize("varying", [False, True])
def test_long_sequences_in_blocks(steps, varying, isa):
    # Sequences in a batch are kept whole, a single one is made again block by block.
    emissions, matrix, start, stop = chain(steps, 9, varying=varying, holes=0.3)
    single = trellis.viterbi(emissions, matrix, start=start, stop=stop)
    several = trellis.viterbi(np.stack([emissions] * 2), matrix, start=start, stop=stop)
    np.testing.assert_array_equal(several.states[1], single.states)
    assert several.score[1] == single.score


@pytest.mark.parametrize("varying", [False, True])
def test_short_sequences_of_many_states(varying):
    emissions, matrix, start, stop = chain(5, 70, varying=varying, holes=0.3)
    short = trellis.viterbi(emissions, matrix, start=start, stop=stop)
    many = trellis.viterbi(np.stack([emissions] * 100), matrix, start=start, stop=stop)
    np.testing.assert_array_equal(many.states[99], short.states)
    exact = oracle.sequence_score(short.states, emissions, matrix, start, stop)
    assert short.score == pytest.approx(float(exact), rel=1e-14) and many.score[5] == short.score


def test_float32_stays_float32():
    emissions, matrix, _, _ = (x.astype(np.float32) for x in chain(20, 40))
    found = trellis.marginals(emissions, matrix)
    wide = trellis.marginals(emissions.astype(float), matrix.astype(float))
    assert found.states.dtype == np.float32 and wide.states.dtype == np.float64
    np.testing.assert_array_equal(found.states, wide.states.astype(np.float32))
    best = trellis.viterbi(emissions, matrix)
    exact = oracle.sequence_score(best.states, emissions, matrix, np.zeros(40), np.zeros(40))
    assert best.score == pytest.approx(float(exact), rel=1e-14)


@pytest.mark.parametrize("n", [8, 12, 60])
def test_left_to_right_models_do_not_underflow(n, isa):
    # State k is reached in k steps at least: forward messages down to 1e-1000 decide the result.
    matrix = np.full((n, n), -np.inf)
    np.fill_diagonal(matrix, 0.0)
    matrix[np.arange(n - 1), np.arange(1, n)] = -60.0
    start, stop = np.full(n, -np.inf), np.full(n, -np.inf)
    start[0] = stop[-1] = 0
    emissions = np.zeros((n, n))
    log_z = trellis.log_partition(emissions, matrix, start=start, stop=stop)
    assert log_z == pytest.approx(-60.0 * (n - 1), rel=1e-14)
    found = trellis.marginals(emissions, matrix, start=start, stop=stop)
    np.testing.assert_allclose(found.states, np.eye(n), atol=1e-12)
    drawn = trellis.sample(emissions, matrix, start=start, stop=stop, rng=0)
    assert drawn[0].tolist() == list(range(n))


@pytest.mark.parametrize("n", [2, 10, 13, 16, 40])
def test_long_sequences_neither_overflow_nor_underflow(n, isa):
    # Transitions are scaled by their largest entry, so that messages grow; sums of probabilities
    # above 1 make them grow faster, emissions of 1e-3 shrink.
    rng = np.random.default_rng(n)
    matrix = np.log(rng.dirichlet(np.ones(n), n))
    emissions = np.log(rng.uniform(1e-3, 1, (6000, n)))
    for e in (emissions, emissions[:3000] - 30.0, 0.01 * emissions[:3000]):
        log_z, last, _ = oracle.long_chain(e, matrix, np.zeros(len(e)))
        assert trellis.log_partition(e, matrix) == pytest.approx(log_z, rel=1e-12)
        found = trellis.marginals(e, matrix).states
        np.testing.assert_allclose(found[-1], last, rtol=1e-10)
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("n", [*range(1, 18), 40, 300, 530])
def test_sums_over_any_number_of_states(n, isa):
    rng = np.random.default_rng(n)
    matrix = np.log(rng.dirichlet(np.ones(n), n))
    emissions = np.log(rng.uniform(0.1, 1, (120, n)))
    log_z, last, _ = oracle.long_chain(emissions, matrix, np.zeros(120))
    assert trellis.log_partition(emissions, matrix) == pytest.approx(log_z, rel=1e-12)
    found = trellis.marginals(emissions, matrix).states
    np.testing.assert_allclose(found[-1], last, rtol=1e-11)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("n", [3, 8, 10, 13, 16, 40, 100])
@pytest.mark.parametrize("meets", [True, False])
def test_samples_of_long_sequences_are_drawn_step_by_step(n, meets, isa):
    # Stretches that are drawn at once, from guesses, must give what one step after the other gives;
    # chains of a permutation never meet.
    rng = np.random.default_rng(n)
    matrix = np.log(rng.dirichlet(np.ones(n), n))
    if not meets:
        matrix = np.where(np.eye(n)[rng.permutation(n)] > 0, 0.0, -np.inf)
    emissions = np.log(rng.uniform(0.1, 1, (1003, n)))
    key = draw_key(np.random.default_rng(n))
    key = _core.random.subkey(*_core.random.subkey(*key, 0), 0)
    uniform = [_core.random.uniform(*key, t) for t in range(len(emissions))]
    _, _, due = oracle.long_chain(emissions, matrix, np.array(uniform))
    drawn = trellis.sample(emissions, matrix, rng=np.random.default_rng(n))
    np.testing.assert_array_equal(drawn[0] if drawn.ndim == 2 else drawn, due)


def test_samples_have_the_posterior():
    # A chi-square test of 81 paths, 200000 samples: fails by chance once in a million.
    emissions, matrix, start, stop = chain(4, 3)
    every = oracle.Chain(emissions, matrix, start, stop)
    samples = trellis.sample(emissions, matrix, size=200_000, rng=7, start=start, stop=stop)
    code = samples @ 3 ** np.arange(4)
    observed = np.bincount(code, minlength=81)
    due = np.zeros(81)
    for path, p in zip(every.paths, every.probabilities, strict=True):
        due[np.dot(path, 3 ** np.arange(4))] = 200_000 * float(p)
    rare = due < 10
    seen, expected = (np.append(x[~rare], x[rare].sum()) for x in (observed, due))
    statistic = ((seen - expected) ** 2 / expected).sum()
    assert chi2.sf(statistic, len(expected) - 1) > 1e-6


@pytest.mark.parametrize("varying", [False, True])
def test_crf_gradient(varying):
    rng = np.random.default_rng(1)
    shape = (4, 3, 3) if varying else (3, 3)
    arrays = [rng.normal(size=(3, 5, 3)), rng.normal(size=shape), *rng.normal(size=(2, 3))]
    labels, lengths = rng.integers(0, 3, (3, 5)), [5, 0, 3]
    labels[2, 3:] = 99  # beyond the length

    def loss(emissions, matrix, start, stop, grad=False):
        return trellis.crf_nll(
            emissions, matrix, labels, start=start, stop=stop, lengths=lengths, return_grad=grad
        )

    result = loss(*arrays, grad=True)
    assert (result.loss >= 0).all() and result.loss[1] == 0
    np.testing.assert_array_equal(loss(*arrays).loss, result.loss)
    grads = (result.emissions, result.transitions, result.start, result.stop)
    h = 1e-5
    for i, grad in enumerate(grads):
        assert grad.shape == arrays[i].shape
        direction = rng.normal(size=grad.shape)
        up, down = (
            loss(*(a + t * direction if j == i else a for j, a in enumerate(arrays))).loss.sum()
            for t in (h, -h)
        )
        assert (up - down) / (2 * h) == pytest.approx((grad * direction).sum(), abs=1e-8)


def test_semi_markov_matches_enumeration():
    rng = np.random.default_rng(4)
    scores, matrix = rng.normal(size=(6, 3, 2)), rng.normal(size=(2, 2))
    scores[2, 0] = -np.inf

    def score(segments):
        total = sum(scores[b + n - 1, n - 1, s] for b, n, s in segments)
        return total + sum(matrix[a[2], b[2]] for a, b in itertools.pairwise(segments))

    every = oracle.segmentations(6, 3, 2)
    best = max(every, key=score)
    found = trellis.viterbi_semi_markov(scores, matrix)
    assert found.score == pytest.approx(score(best), rel=1e-14)
    assert list(zip(found.starts, found.labels, strict=True)) == [(b, s) for b, _, s in best]
    assert len(trellis.viterbi_semi_markov(np.zeros((0, 2, 2)), matrix).starts) == 0
    with pytest.raises(ValueError, match="'segment_scores' must allow a segmentation"):
        trellis.viterbi_semi_markov(np.full((3, 1, 2), -np.inf), matrix)


def test_sequences_without_steps():
    empty = np.zeros((0, 3))
    assert trellis.viterbi(empty, np.zeros((3, 3))).states.shape == (0,)
    assert trellis.log_partition(empty, np.zeros((3, 3))) == 0
    assert trellis.sample(empty, np.zeros((3, 3)), size=2).shape == (2, 0)
    assert trellis.marginals(empty, np.zeros((3, 3))).transitions.tolist() == [[0] * 3] * 3
    assert trellis.kbest(empty, np.zeros((3, 3)), 2).score.tolist() == [0, -np.inf]
    assert trellis.viterbi(np.zeros((0, 4, 3)), np.zeros((3, 3))).states.shape == (0, 4)


def test_ties_go_to_the_smaller_state():
    best = trellis.viterbi(np.zeros((5, 20)), np.zeros((20, 20)))
    assert best.states.tolist() == [0] * 5


def test_impossible_sequences():
    emissions = np.zeros((2, 3, 2))
    emissions[1, 1] = -np.inf
    matrix = np.zeros((2, 2))
    assert trellis.log_partition(emissions, matrix)[1] == -np.inf
    for function in (trellis.viterbi, trellis.marginals, trellis.sample):
        with pytest.raises(ValueError, match="must allow a path through every sequence, got none"):
            function(emissions, matrix)
    with pytest.raises(ValueError, match="got none for sequence 1"):
        trellis.kbest(emissions, matrix, 2)


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        ((np.zeros(3), np.zeros((3, 3))), {}, "'emissions' must have shape (T, S) or (B, T, S)"),
        ((np.zeros((3, 0)), np.zeros((0, 0))), {}, "'emissions' must have shape"),
        (([[0.0, np.nan]], np.zeros((2, 2))), {}, "'emissions' must be finite, or -inf"),
        (([[0.0, np.inf]], np.zeros((2, 2))), {}, "'emissions' must be finite, or -inf"),
        (([[0.0, -1.0]], np.ones((2, 2))), {"domain": "prob"}, "'emissions' must be finite and >="),
        ((np.zeros((5, 2)), np.zeros((3, 3))), {}, "'transitions' must have shape (2, 2) or, one"),
        ((np.zeros((5, 2)), np.zeros((3, 2, 2))), {}, "'transitions' must have shape (2, 2) or"),
        ((np.zeros((5, 2)), scipy.sparse.eye(3)), {}, "'transitions' must have shape (2, 2), got"),
        ((np.zeros((5, 2)), np.zeros((2, 2))), {"start": [1]}, "'start' must have one entry for"),
        ((np.zeros((5, 2)), np.zeros((2, 2))), {"lengths": [6]}, "'lengths' must be numbers of"),
        ((np.zeros((5, 2)), np.zeros((2, 2))), {"lengths": [1, 2]}, "'lengths' must have one"),
        ((np.zeros((5, 2)), np.zeros((2, 2))), {"domain": "odds"}, "'domain' must be one of"),
        ((np.full((5, 2), 1e308), np.zeros((2, 2))), {}, "'emissions' must be so small that"),
    ],
)
def test_errors(arguments, options, text):
    with pytest.raises(ValueError, match="^" + re.escape(f"viterbi: {text}")):
        trellis.viterbi(*arguments, **options)


def test_errors_of_labels_and_counts():
    with pytest.raises(ValueError, match="kbest: 'k' must be >= 1, got 0"):
        trellis.kbest(np.zeros((2, 2)), np.zeros((2, 2)), 0)
    with pytest.raises(ValueError, match="sample: 'size' must be >= 0, got -1"):
        trellis.sample(np.zeros((2, 2)), np.zeros((2, 2)), size=-1)
    for function in (trellis.viterbi, trellis.sample, trellis.marginals):
        with pytest.raises(ValueError, match=r"'workers' must lie in 1..1024, got 0"):
            function(np.zeros((2, 2)), np.zeros((2, 2)), workers=0)
    with pytest.raises(ValueError, match=r"crf_nll: 'labels' must be states in 0..1, got 2"):
        trellis.crf_nll(np.zeros((2, 2)), np.zeros((2, 2)), [0, 2])
    with pytest.raises(ValueError, match=r"crf_nll: 'labels' must have shape \(2,\), got"):
        trellis.crf_nll(np.zeros((2, 2)), np.zeros((2, 2)), [0])


def test_arrays_that_cannot_be():
    with pytest.raises(ValueError, match=r"must have shape \(T, D, S\) with D and S >= 1"):
        trellis.viterbi_semi_markov(np.zeros((2, 0, 3)), np.zeros((3, 3)))
    with pytest.raises(TypeError, match="'transitions' must be a dense array"):
        trellis.crf_nll(np.zeros((4, 2)), scipy.sparse.csr_array(np.eye(2)), np.zeros(4, int))
    assert repr(trellis.viterbi_semi_markov(np.zeros((2, 1, 1)), np.zeros((1, 1)))) == (
        "Segmentation(n_segments=2, score=0)"
    )
