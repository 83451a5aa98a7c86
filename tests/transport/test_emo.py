"""The EMO loss against its definition, by its identities and on hostile input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kexue_num
from kexue_num import transport
from tests.interpreter import run
from tests.oracles import emo as oracle
from tests.strategies import layouts

MODES = oracle.MODES
RNG = np.random.default_rng(9797)
# Of the largest entry; the oracle knows the rounded inputs.
TOLERANCE = {"float32": 1e-6, "float64": 2e-15}


def problem(n=5, size=13, depth=7, dtype=np.float64, rng=RNG):
    logits = (rng.standard_normal((n, size)) * 2).astype(dtype)
    labels = rng.integers(0, size, n)
    soft = rng.dirichlet(np.full(size, 0.3), n).astype(dtype)
    return logits, labels, soft, rng.standard_normal((size, depth)).astype(dtype)


def loss(logits, labels, embeddings, **options):
    return transport.emo_loss(
        logits, labels, embeddings, reduction="none", return_grad=True, **options
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", MODES)
def test_definition(isa, mode, dtype):
    logits, labels, soft, embeddings = problem(dtype=dtype)
    for target, weights in ((labels, np.eye(13)[labels]), (soft, soft)):
        values, gradients = oracle.emo(logits, weights, embeddings, mode)
        result = loss(logits, target, embeddings, mode=mode)
        assert result.grad.dtype == dtype and result.value.dtype == np.float64
        np.testing.assert_allclose(result.value, values, rtol=TOLERANCE[dtype])
        atol = TOLERANCE[dtype] * np.abs(gradients).max()
        np.testing.assert_allclose(result.grad, gradients, rtol=0, atol=atol)


@pytest.mark.parametrize("mode", MODES)
def test_finite_differences(mode):
    logits, labels, soft, embeddings = problem(n=2)
    for target, weights in ((labels, np.eye(13)[labels]), (soft, soft)):
        result = loss(logits, target, embeddings, mode=mode)
        for z, tau, gradient in zip(logits, weights, result.grad, strict=True):
            value = oracle.frozen(z, tau, embeddings, mode)
            steps = 1e-5 * np.eye(13)
            numerical = [(value(z + s) - value(z - s)) / 2e-5 for s in steps]
            np.testing.assert_allclose(gradient, numerical, atol=1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_automatic_differentiation(mode):
    torch = pytest.importorskip("torch")
    logits, labels, soft, embeddings = problem(n=6, size=40)
    rows = torch.tensor(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))
    for target, weights in ((labels, np.eye(40)[labels]), (soft, soft)):
        z, tau = torch.tensor(logits, requires_grad=True), torch.tensor(weights)
        logs = torch.log_softmax(z, -1)
        p = logs.exp()
        entropy = -(tau * logs).sum(-1)
        seen = p - (p * tau).detach() if mode.startswith("patch") else p
        distance = 1 - ((seen @ rows) * (tau @ rows)).sum(-1)
        if mode == "emo":
            value = distance
        elif mode in ("paper", "patch1"):
            value = (entropy + (entropy / (distance + 1e-10)).detach() * distance) / 2
        elif mode == "wheel1":
            ratio = (entropy / (distance + 1e-10)).detach().clamp(max=3)
            value = (entropy + ratio * distance) / 2
        else:
            value = (distance / (entropy + 1e-10)).detach() * entropy + distance
        value.mean().backward()
        result = transport.emo_loss(logits, target, embeddings, mode=mode, return_grad=True)
        np.testing.assert_allclose(result.value, value.mean().item(), rtol=1e-13)
        np.testing.assert_allclose(result.grad, z.grad.numpy(), atol=1e-15)


# ---- Accuracy where p_t nears one ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lead", [15.0, 30.0, 60.0])
def test_confident_rows_keep_their_accuracy(mode, dtype, lead):
    logits, labels, _, embeddings = problem(n=3, dtype=dtype)
    logits[np.arange(3), labels] += lead if dtype == "float32" else lead * 3
    onehot = np.eye(13, dtype=dtype)[labels]
    values, gradients = oracle.emo(logits, onehot, embeddings, mode)
    for target in (labels, onehot):
        result = loss(logits, target, embeddings, mode=mode)
        tolerance = 30 * np.finfo(dtype).eps
        np.testing.assert_allclose(result.value, values, rtol=tolerance)
        atol = tolerance * np.abs(gradients).max(axis=1, keepdims=True) + np.finfo(dtype).tiny
        assert (np.abs(result.grad - gradients) <= atol).all()


def test_a_nearly_certain_distribution():
    _, labels, soft, embeddings = problem(n=3)
    logits = np.log(1e-9 * soft + np.eye(13)[labels])
    tau = 1e-12 * soft[::-1] + np.eye(13)[labels]
    values, gradients = oracle.emo(logits, tau, embeddings, "emo")
    result = loss(logits, tau, embeddings)
    np.testing.assert_allclose(result.value, values, rtol=1e-13)
    np.testing.assert_allclose(result.grad, gradients, rtol=0, atol=1e-13 * values.max())


def test_saturation():
    # On any token, not only on the true one.
    logits = np.full((2, 4), -np.inf)
    logits[:, 1] = 3
    embeddings = RNG.standard_normal((4, 5))
    result = loss(logits, [1, 2], embeddings)
    np.testing.assert_allclose(
        result.value, [0, transport.embedding_cost(embeddings)[1, 2]], atol=1e-15
    )
    assert np.abs(result.grad).max() <= 1e-16


@pytest.mark.parametrize("offset", [-1e5, 1e3, 2.5e4])
def test_rows_far_from_zero(offset):
    logits, labels, _, embeddings = problem(dtype=np.float32)
    logits = np.round(logits * 16) / 16
    near, far = (loss(z, labels, embeddings, mode="paper") for z in (logits, logits + offset))
    np.testing.assert_allclose(far.value, near.value, rtol=5e-7)
    np.testing.assert_allclose(far.grad, near.grad, atol=1e-7)


# ---- Identities and symmetries ------------------------------------------------------------------


def test_orthonormal_embeddings_give_smooth_accuracy():
    logits, labels, _, _ = problem()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    values = transport.emo_loss(logits, labels, np.eye(13), reduction="none")
    np.testing.assert_allclose(values, 1 - p[np.arange(5), labels], rtol=1e-15)


@given(st.integers(0, 2**32 - 1), st.sampled_from(MODES), st.booleans())
@settings(max_examples=25, deadline=None)
def test_symmetries(seed, mode, hard):
    rng = np.random.default_rng(seed)
    n, size, depth = rng.integers(1, 9), rng.integers(2, 60), rng.integers(1, 9)
    logits, labels, soft, embeddings = problem(n, size, depth, rng=rng)
    target = labels if hard else soft
    result = loss(logits, target, embeddings, mode=mode)

    def same(other, rows=slice(None), columns=slice(None)):
        np.testing.assert_allclose(other.value, result.value[rows], rtol=1e-12)
        gradient = result.grad[rows][:, columns]
        np.testing.assert_allclose(other.grad, gradient, atol=1e-12)

    assert np.abs(result.grad.sum(axis=1)).max() < 1e-13 * max(1, result.value.max())
    rows, columns = rng.permutation(n), rng.permutation(size)
    same(loss(logits[rows], target[rows], embeddings, mode=mode), rows)
    moved = np.argsort(columns)[labels] if hard else soft[:, columns]
    same(loss(logits[:, columns], moved, embeddings[columns], mode=mode), columns=columns)
    same(loss(logits + rng.uniform(-9, 9, (n, 1)), target, embeddings, mode=mode))
    lengths = 2.0 ** rng.integers(-30, 30, (size, 1))
    same(loss(logits, target, lengths * embeddings, mode=mode))
    twice = loss(np.tile(logits, (2, 1)), np.concatenate([target, target]), embeddings, mode=mode)
    if not hard:
        # The product of distributions and embeddings may add in an order that depends on n.
        same(twice, np.tile(np.arange(n), 2))
        return
    np.testing.assert_array_equal(twice.value, np.tile(result.value, 2))
    np.testing.assert_array_equal(twice.grad, np.tile(result.grad, (2, 1)))
    same(loss(logits, np.eye(size)[labels], embeddings, mode=mode))
    for reduction, scale in (("sum", 1.0), ("mean", 1 / n)):
        total = transport.emo_loss(logits, target, embeddings, mode=mode, reduction=reduction,
                                   return_grad=True)  # fmt: skip
        np.testing.assert_allclose(total.value, result.value.sum() * scale, rtol=1e-14)
        np.testing.assert_allclose(total.grad, result.grad * scale, atol=1e-14)


def test_distance_of_distributions_is_demd():
    logits, _, soft, embeddings = problem()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    values = transport.emo_loss(logits, soft, embeddings, reduction="none")
    np.testing.assert_allclose(values, transport.demd(p, soft, embeddings), rtol=1e-14)


# ---- Large problems: panels, blocks of targets, threads -----------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_targets_and_rows(dtype):
    # More targets and more rows of one target than a block holds, several chunks of panels.
    rng = np.random.default_rng(1)
    n, size, depth = 2600, 3000, 9
    logits, labels, _, embeddings = problem(n, size, depth, dtype, rng)
    labels[1300:] = 17
    rows = embeddings / np.linalg.norm(embeddings.astype(float), axis=1, keepdims=True)
    p = np.exp(logits.astype(float))
    p /= p.sum(1, keepdims=True)
    cost = 1 - rows[labels] @ rows.T
    distance = (p * cost).sum(1)
    gradient = p * (cost - distance[:, None])
    results = [loss(logits, labels, embeddings, workers=workers) for workers in (1, 2, 5)]
    tolerance = 1e-12 if dtype == "float64" else 1e-6
    np.testing.assert_allclose(results[0].value, distance, rtol=tolerance)
    atol = tolerance * np.abs(gradient).max()
    np.testing.assert_allclose(results[0].grad, gradient, rtol=0, atol=atol)
    for other in results[1:]:
        np.testing.assert_array_equal(other.value, results[0].value)
        np.testing.assert_array_equal(other.grad, results[0].grad)


@pytest.mark.parametrize("mode", ["emo", "patch1"])
def test_distributions_do_not_depend_on_workers(mode):
    rng = np.random.default_rng(2)
    logits, _, soft, embeddings = problem(200, 700, 300, np.float32, rng)
    with kexue_num.worker_limit(1):
        first = loss(logits, soft, embeddings, mode=mode)
    second = loss(logits, soft, embeddings, mode=mode, workers=2)
    np.testing.assert_array_equal(second.value, first.value)
    np.testing.assert_array_equal(second.grad, first.grad)


def test_memory():
    # Beside the inputs: the gradient and 16 MiB.
    script = """
import resource, numpy as np
from kexue_num import transport
rng = np.random.default_rng(0)
logits = rng.standard_normal((400, 32000), dtype=np.float32)
embeddings = rng.standard_normal((32000, 96), dtype=np.float32)
labels = rng.integers(0, 32000, 400)
transport.emo_loss(logits[:2, :64], labels[:2] % 64, embeddings[:64], return_grad=True)
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
before = peak()
value = transport.emo_loss(logits, labels, embeddings, mode="paper")
middle = peak()
grad = transport.emo_loss(logits, labels, embeddings, mode="paper", return_grad=True).grad
print(middle - before, peak() - before - grad.nbytes // 1024)
"""
    without, beside = (int(kib) for kib in run(script).split())
    assert without <= 16 << 10
    assert beside <= 16 << 10


# ---- Rows left out, layouts, kinds --------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_ignored_rows(mode):
    logits, labels, _, embeddings = problem(n=6)
    labels[[1, 4]] = -100
    kept = labels != -100
    logits[1] = np.nan  # nobody looks at them
    result = transport.emo_loss(logits, labels, embeddings, mode=mode, return_grad=True)
    same = transport.emo_loss(logits[kept], labels[kept], embeddings, mode=mode, return_grad=True)
    assert result.value == same.value
    np.testing.assert_array_equal(result.grad[kept], same.grad)
    assert (result.grad[~kept] == 0).all()
    # A class id may be left out, too.
    named = transport.emo_loss(logits, np.where(kept, labels, 3), embeddings, ignore_index=3)
    other = transport.emo_loss(logits, np.where(labels == 3, -100, labels), embeddings)
    np.testing.assert_allclose(named, other, rtol=1e-14)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_layouts(data):
    logits, labels, soft, embeddings = problem(dtype=data.draw(st.sampled_from(["f4", "f8"])))
    target = data.draw(st.sampled_from([labels, soft]))
    expected = loss(logits, target, embeddings, mode="patch1")
    given = (logits, target, embeddings)
    arrays = [data.draw(layouts(array)) for array in given]
    # Broadcasting repeats the first row: those arrays are others.
    arrays = [a if np.array_equal(a, b) else b for a, b in zip(arrays, given, strict=True)]
    result = loss(*arrays, mode="patch1")
    np.testing.assert_array_equal(result.value, expected.value)
    np.testing.assert_array_equal(result.grad, expected.grad)


def test_kinds():
    logits, labels, soft, embeddings = problem()
    half = loss(logits.astype(np.float16), labels, embeddings.astype(np.float16))
    single = loss(*(logits.astype(np.float16).astype(np.float32), labels),
                  embeddings.astype(np.float16).astype(np.float32))  # fmt: skip
    assert half.grad.dtype == np.float16
    np.testing.assert_array_equal(half.grad, single.grad.astype(np.float16))
    mixed = loss(logits.astype(np.float32), labels, embeddings)
    assert mixed.grad.dtype == np.float32
    onehot = np.eye(13, dtype=int)[labels]
    narrow = (logits.astype(np.float32), embeddings.astype(np.float32))
    hard, whole = (loss(narrow[0], t, narrow[1], mode="paper") for t in (labels, onehot))
    assert whole.grad.dtype == np.float32
    np.testing.assert_allclose(whole.grad, hard.grad, atol=1e-7)
    assert loss(narrow[0], soft, narrow[1]).grad.dtype == np.float32
    integers = loss(np.arange(8).reshape(2, 4), [0, 3], np.eye(4, dtype=int))
    assert integers.grad.dtype == np.float64
    assert loss(logits, labels.tolist(), embeddings.tolist()).value.shape == (5,)
    assert loss(logits, labels.astype(np.uint8), embeddings).value.shape == (5,)
    assert loss(logits, soft.astype(np.float16), embeddings).value.shape == (5,)
    text = repr(transport.emo_loss(logits, labels, embeddings, return_grad=True))
    assert text.startswith("EMOLoss(value=") and text.endswith("grad=shape (5, 13))")


def test_nothing():
    embeddings = np.eye(3)
    for labels in ([], [-100, -100]):
        logits = np.zeros((len(labels), 3))
        result = transport.emo_loss(logits, labels, embeddings, return_grad=True)
        assert result.value == 0 and result.grad.shape == logits.shape and not result.grad.any()
    single = transport.emo_loss([[5.0]], [0], [[2.0]], mode="paper", return_grad=True)
    assert single.value == 0 and single.grad == 0


@pytest.mark.parametrize("length", [1e-300, 1e-42, 1e30, 1e300])
def test_lengths_of_embeddings(length):
    logits, labels, _, embeddings = problem()
    dtype = np.float64 if not 1e-200 < length < 1e200 else np.float32
    logits, embeddings = logits.astype(dtype), np.round(embeddings * 8).astype(dtype) + 9
    result = loss(logits, labels, embeddings * dtype(length))
    expected = loss(logits, labels, embeddings)
    rtol = 1e-2 if length == 1e-42 else 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(result.value, expected.value, rtol=rtol)


# ---- Bad input ----------------------------------------------------------------------------------


def _with(array, place, value):
    array = array.copy()
    array[place] = value
    return array


def test_messages():
    logits, labels, soft, embeddings = problem()
    masked = _with(logits, (2, labels[2]), -np.inf)
    for arguments, options, text in (
        ((logits, labels, embeddings[:-1]), {}, r"'embeddings' must have 13 rows, one per class"),
        ((logits, labels[:-1], embeddings), {}, r"'labels' must be integers of shape \(5,\) or"),
        ((logits, _with(labels, 3, 13), embeddings), {},
         r"'labels' must hold class ids in 0..12, got 13 at \[3\]"),
        ((logits, _with(labels, 0, -1), embeddings), {}, r"0..12, got -1 at \[0\]"),
        ((logits, labels, _with(embeddings, 4, 0)), {},
         r"'embeddings' must have a nonzero entry in every row, got zeros in row 4"),
        ((logits, labels, _with(embeddings, (7, 1), np.inf)), {},
         r"'embeddings' must be finite, got NaN or infinity in row 7"),
        ((_with(logits, (1, 2), np.nan), labels, embeddings), {},
         r"'logits' must be finite, or -inf for a mask, got NaN or \+inf in row 1"),
        ((_with(logits, (1, 2), np.inf), labels, embeddings), {}, r"got NaN or \+inf in row 1"),
        ((_with(logits, 3, -np.inf), labels, embeddings), {},
         r"'logits' must have a finite entry in every row, got none in row 3"),
        ((masked, labels, embeddings), {"mode": "paper"},
         r"'labels' must not name masked classes, got a logit of -inf in row 2"),
        ((logits, _with(soft, (2, 0), -0.5), embeddings), {},
         r"'labels' must be distributions, got a negative entry or NaN in row 2"),
        ((logits, _with(soft, (2, 0), np.nan), embeddings), {},
         r"a negative entry or NaN in row 2"),
        ((logits, 2 * soft, embeddings), {},
         r"'labels' must be distributions, got a sum other than 1 in row 0"),
        ((logits, labels, embeddings), {"mode": "best"}, r"'mode' must be"),
        ((logits, labels, embeddings), {"reduction": "max"}, r"'reduction' must be"),
        ((logits, labels, embeddings), {"workers": 0}, r"'workers' must lie in"),
        ((logits[0], labels, embeddings), {}, r"'logits' must be 2-dimensional"),
        ((np.zeros((2, 0)), [0, 0], np.zeros((0, 3))), {}, r"'embeddings' must have at least one"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"emo_loss: .*{text}"):
            transport.emo_loss(*arguments, **options)
    with pytest.raises(TypeError, match=r"emo_loss: 'labels' must be integers"):
        transport.emo_loss(logits, labels + 0.5, embeddings)
    with pytest.raises(TypeError, match=r"emo_loss: 'logits' must be an array of real numbers"):
        transport.emo_loss(logits + 0j, labels, embeddings)
    # The distance itself is bounded: a masked label costs what the other tokens cost.
    assert 0 < transport.emo_loss(masked, labels, embeddings) < 2
