"""Axes, layouts, dtypes, out, where and messages: the same for every map."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue_num import simplex
from kexue_num.simplex import _rows
from tests.strategies import hostile_arrays

X = np.random.default_rng(0).standard_normal((3, 4, 5))


def reference(x, axes):
    moved = np.moveaxis(x, axes, range(-len(axes), 0))
    flat = moved.reshape(-1, int(np.prod([x.shape[a] for a in axes])))
    return np.moveaxis(simplex.sparsemax(flat).reshape(moved.shape), range(-len(axes), 0), axes)


@pytest.mark.parametrize("axis", [0, 1, -1, (0, 2), (2, 0), (1, -1), None])
def test_axes(axis):
    axes = (0, 1, 2) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = tuple(a % 3 for a in axes)
    for x in (X, np.asfortranarray(X), X[::-1, ::2, ::-1], X.astype(">f8")):
        p = simplex.sparsemax(x, axis=axis)
        assert p.shape == x.shape
        np.testing.assert_array_equal(p, reference(x, axes))
        np.testing.assert_allclose(p.sum(axis=axis), 1, rtol=1e-14)
        level = simplex.logsumexp(x, axis=axis)
        np.testing.assert_allclose(level, np.log(np.exp(x).sum(axis=axis)), rtol=1e-13)
        out = np.asfortranarray(np.empty(x.shape))
        assert simplex.sparsemax(x, axis=axis, out=out) is out
        np.testing.assert_array_equal(out, p)


def test_rows_in_place_are_not_copied():
    x = np.random.default_rng(0).standard_normal((50, 8)).T
    expected = simplex.softmax(x, axis=0)
    assert simplex.softmax(x, axis=0, out=x) is x
    np.testing.assert_array_equal(x, expected)


def test_scalars_and_empty_batches():
    assert simplex.softmax(3.0) == 1 and simplex.softmax(3.0).shape == ()
    assert simplex.softmax(3, axis=None).dtype == np.float64
    assert simplex.sparsemax(np.zeros((0, 4))).shape == (0, 4)
    assert simplex.logsumexp(np.zeros((0, 4))).shape == (0,)
    for axis in (0, None, (0, 1)):
        with pytest.raises(ValueError, match=r"softmax: 'x' must not be empty along 'axis', got"):
            simplex.softmax(np.zeros((0, 4)), axis=axis)


@settings(max_examples=60, deadline=None)
@given(hostile_arrays(dtypes=("float32", "float64", "float16", "int8", "bool"), min_dims=1),
       st.sampled_from([simplex.softmax, simplex.entmax15, simplex.log_softmax]))  # fmt: skip
def test_any_layout(x, map_):
    if x.shape[-1] == 0:
        return
    before = x.copy()
    p = map_(x)
    np.testing.assert_array_equal(x, before)
    dtype = x.dtype.newbyteorder("=") if x.dtype.kind == "f" else np.dtype(np.float64)
    assert p.dtype == dtype and p.shape == x.shape
    np.testing.assert_array_equal(p, map_(np.ascontiguousarray(x.astype(dtype))))
    out = np.empty(x.shape, dtype)
    assert map_(x, out=out) is out
    np.testing.assert_array_equal(out, p)


def test_where():
    mask = np.array([True, False, True, True, False])
    p = simplex.softmax(X, where=mask)
    assert (p[..., ~mask] == 0).all()
    np.testing.assert_allclose(p[..., mask], simplex.softmax(X[..., mask]), rtol=1e-15)
    assert (simplex.softmax(X, where=np.zeros(5, bool)) == 0).all()
    with pytest.raises(TypeError, match=r"softmax: 'where' must be an array of booleans, got"):
        simplex.softmax(X, where=[1, 0, 1, 1, 1])
    with pytest.raises(ValueError, match=r"softmax: 'where' must broadcast to shape \(3, 4, 5\)"):
        simplex.softmax(X, where=np.ones(4, bool))


def test_out_is_checked():
    buffer = np.zeros(12)
    x = buffer[:10]
    with pytest.raises(ValueError, match=r"'out' must be 'x' itself or not overlap it, got"):
        simplex.softmax(x, out=buffer[2:])
    with pytest.raises(ValueError, match=r"'out' must be 'x' itself or not overlap it, got"):
        simplex.softmax(x, out=x[::-1])
    assert simplex.softmax(buffer[::2], out=buffer[1::2]).shape == (6,)
    with pytest.raises(ValueError, match=r"softmax: 'out' must have shape \(10,\), got"):
        simplex.softmax(x, out=np.zeros(9))
    with pytest.raises(TypeError, match=r"softmax: 'out' must have dtype float64, got"):
        simplex.softmax(x, out=np.zeros(10, np.float32))


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"axis": 3}, ValueError, r"'axis' must lie in -3..2 for 3 dimensions, got 3"),
        ({"axis": (0, 0)}, ValueError, r"'axis' must name at least one axis, none of them twice"),
        ({"axis": ()}, ValueError, r"'axis' must name at least one axis"),
        ({"axis": 1.0}, TypeError, r"'axis' must be an integer, got 1.0"),
        ({"empty": "ignore"}, ValueError, r"'empty' must be one of 'zero', 'nan', 'raise'"),
        ({"workers": 0}, ValueError, r"'workers' must lie in"),
    ],
)
def test_messages(options, kind, message):
    for map_ in (simplex.softmax, simplex.sparsemax, simplex.log_softmax, simplex.normmax):
        with pytest.raises(kind, match=rf"{map_.__name__}: {message}"):
            map_(X, **options)
    with pytest.raises(TypeError, match=r"softmax: 'x' must be an array of real numbers"):
        simplex.softmax(np.array(["a"]))


@pytest.mark.parametrize("n", [3, 150, 1 << 18])
@pytest.mark.parametrize("shift", [1e6, 1e12, 1e17, 1e37, 1e300])
def test_rows_far_from_zero(n: int, shift: float) -> None:
    rest = [0.0] * (n - 3)
    x = np.array([[shift, 1, 0, *rest], [shift, shift, 0, *rest]])
    expected = np.zeros((2, n))
    expected[0, 0] = 1
    expected[1, :2] = 0.5
    for dtype in (np.float64, np.float32) if shift < 1e38 else (np.float64,):
        for alpha in (1.3, 1.5, 2.0, 3.0, 9.0):
            p = simplex.entmax(x.astype(dtype), alpha)
            np.testing.assert_allclose(p, expected, rtol=4 * np.finfo(dtype).eps)
        for q in (
            simplex.normmax(x.astype(dtype), np.inf),
            simplex.project_simplex(x.astype(dtype)),
            simplex.project_simplex(x.astype(dtype), upper=2.0),
        ):
            np.testing.assert_allclose(q, expected, rtol=8 * np.finfo(dtype).eps)
    # tau lies between two neighbouring doubles.
    p = simplex.project_simplex([shift, shift, shift], upper=0.75)
    np.testing.assert_allclose(p, 1 / 3, rtol=1e-15)
    p = simplex.project_simplex([shift, 1.0, 0.0], upper=0.75)
    np.testing.assert_allclose(p, [0.75, 0.25, 0.0], rtol=1e-15)


def test_sparse_of_half_precision_is_single() -> None:
    assert simplex.sparse(np.eye(2, dtype=np.float16)).dtype == np.float32


@pytest.mark.parametrize("shape", [(7,), (1, 50), (50, 1), (9, 11), (3, 20, 2)])
def test_large_arrays_are_converted_in_pieces(monkeypatch, shape):
    array = np.arange(np.prod(shape)).reshape(shape)
    for source in (array, array.T, np.broadcast_to(array, (2, *shape))):
        for size in (1, 4, 10**6):
            monkeypatch.setattr(_rows, "_PIECE", size)
            result = _rows.contiguous(source, np.float32)
            np.testing.assert_array_equal(result, source.astype(np.float32), strict=True)
            assert result.flags.c_contiguous
            assert _rows.contiguous(result, np.float32) is result
