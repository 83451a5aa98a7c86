"""Elementary functions against mpmath over the whole range, on every instruction set."""

import functools
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kexue_num import _core
from tests.oracles import elementary as oracle

FloatArray = NDArray[np.floating[Any]]

FUNCTIONS = ["exp", "expm1", "log", "log1p", "sinpi", "cospi"]
DTYPES = [np.float32, np.float64]
MAX_ULP = 1.5

every_function = pytest.mark.parametrize("name", FUNCTIONS)
every_isa = pytest.mark.usefixtures("isa")
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def evaluate(name: str, x: FloatArray, out: FloatArray | None = None) -> FloatArray:
    y: FloatArray = getattr(_core.elementary, name)(x, out)
    return y


def neighbours(points: FloatArray) -> FloatArray:
    """Each point and the three floating-point numbers on both sides."""
    columns = [points]
    for target in (-np.inf, np.inf):
        near = points
        for _ in range(3):
            near = np.nextafter(near, points.dtype.type(target))
            columns.append(near)
    return np.concatenate(columns)


def every_exponent(dtype: type[np.floating[Any]], rng: np.random.Generator) -> FloatArray:
    """Two random numbers of each sign per binade, the subnormal binades included."""
    info = np.finfo(dtype)
    exponents = np.arange(info.minexp - info.nmant, info.maxexp)
    mantissas = rng.uniform(1, 2, (2, exponents.size))
    x = np.ldexp(mantissas, exponents).astype(dtype).ravel()
    x = x[np.isfinite(x)]
    return np.concatenate([x, -x])


def breakpoints(name: str, dtype: type[np.floating[Any]]) -> FloatArray:
    """Where the kernels change branch, table entry, exponent or sign, and special results begin."""
    info = np.finfo(dtype)
    powers = np.arange(info.minexp, info.maxexp, 13)
    if name in ("exp", "expm1"):
        points = np.concatenate(
            [
                np.arange(-33, 34) * math.log(2) / 32,
                np.arange(-40, 41) * math.log(2) / 2,
                np.array([info.maxexp, info.minexp, info.minexp - info.nmant]) * math.log(2),
                np.array([info.minexp - info.nmant - 1, info.maxexp + 1]) * math.log(2),
                [-45.0, 89.0, -104.0, 710.0, -746.0],
            ]
        )
    elif name == "log":
        points = np.concatenate([np.ldexp(math.sqrt(0.5), powers), np.ldexp(1.0, powers), [1.0]])
    elif name == "log1p":
        points = np.concatenate([np.ldexp(math.sqrt(0.5), np.arange(0, 100)) - 1,
                                 np.ldexp(1.0, np.arange(-60, 64)),
                                 np.array([-1.0, math.sqrt(0.5) - 1, -0.5])])  # fmt: skip
    else:
        points = np.concatenate([np.arange(-34, 35) / 4, np.ldexp(1.0, np.arange(20, 64)) + 0.5])
    return neighbours(points.astype(dtype))


def working_range(name: str, dtype: type[np.floating[Any]], rng: np.random.Generator) -> FloatArray:
    """Uniform samples where the function is neither constant nor linear."""
    info = np.finfo(dtype)
    if name in ("exp", "expm1"):
        ranges = [((info.minexp - info.nmant) * 0.7, info.maxexp * 0.7), (-1.5, 1.5), (-40, 5)]
    elif name in ("log", "log1p"):
        ranges = [(0.4, 2.2), (-0.35, 0.45), (-1.0, 0.0), (0.0, 1e3)]
    else:
        ranges = [(-0.26, 0.26), (0.0, 2.0), (-1e3, 1e3), (1e5, 1e6)]
    return np.concatenate([rng.uniform(low, high, 1000) for low, high in ranges]).astype(dtype)


def random_bits(dtype: type[np.floating[Any]], rng: np.random.Generator) -> FloatArray:
    integers = np.uint32 if dtype is np.float32 else np.uint64
    x = rng.integers(0, np.iinfo(integers).max, 1000, dtype=integers, endpoint=True).view(dtype)
    return np.where(np.isnan(x), dtype(np.nan), x)


@functools.cache
def cases(name: str, dtype: type[np.floating[Any]]) -> tuple[FloatArray, ...]:
    """Samples (float64: about 14 000, float32: about 6 500) and their references."""
    rng = np.random.default_rng(20240521)
    x = np.concatenate(
        [
            every_exponent(dtype, rng),
            breakpoints(name, dtype),
            working_range(name, dtype, rng),
            random_bits(dtype, rng),
        ]
    )
    return (x, *oracle.reference(name, x))


@every_function
@every_dtype
@every_isa
def test_error_at_most_one_and_a_half_ulp(name: str, dtype: type[np.floating[Any]]) -> None:
    x, rounded, remainder = cases(name, dtype)
    assert x.size > (13_000 if dtype is np.float64 else 5_500)
    y = evaluate(name, x)
    assert y.dtype == dtype
    errors = oracle.ulp_errors(y, rounded, remainder.astype(float))
    worst = int(np.argmax(errors))
    assert errors[worst] <= MAX_ULP, f"{errors[worst]:.3f} ulp at {x[worst]!r}: {y[worst]!r}"
    zero = rounded == 0
    np.testing.assert_array_equal(np.signbit(y[zero]), np.signbit(rounded[zero]))


SPECIAL = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (np.inf, np.inf), (-np.inf, 0.0), (1e4, np.inf), (-1e4, 0.0)],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (np.inf, np.inf), (-np.inf, -1.0), (1e4, np.inf),
              (-1e4, -1.0)],
    "log": [(1.0, 0.0), (0.0, -np.inf), (-0.0, -np.inf), (np.inf, np.inf), (-1.0, np.nan),
            (-1e-45, np.nan), (-np.inf, np.nan)],
    "log1p": [(0.0, 0.0), (-0.0, -0.0), (-1.0, -np.inf), (np.inf, np.inf), (-1.5, np.nan),
              (-np.inf, np.nan)],
    "sinpi": [(0.0, 0.0), (-0.0, -0.0), (1.0, 0.0), (-1.0, -0.0), (2.0, 0.0), (-7.0, -0.0),
              (0.5, 1.0), (-0.5, -1.0), (1.5, -1.0), (2.5, 1.0), (1e30, 0.0), (-1e30, -0.0),
              (8388607.5, -1.0), (16777215.0, 0.0), (np.inf, np.nan), (-np.inf, np.nan)],
    "cospi": [(0.0, 1.0), (-0.0, 1.0), (1.0, -1.0), (-1.0, -1.0), (2.0, 1.0), (0.5, 0.0),
              (-0.5, 0.0), (1.5, 0.0), (-1.5, 0.0), (1e30, 1.0), (-1e30, 1.0), (8388607.5, 0.0),
              (16777215.0, -1.0), (np.inf, np.nan), (-np.inf, np.nan)],
}  # fmt: skip


@every_function
@every_dtype
@every_isa
def test_special_values(name: str, dtype: type[np.floating[Any]]) -> None:
    pairs = [*SPECIAL[name], (np.nan, np.nan)]
    x = np.array([x for x, _ in pairs], dtype)
    expected = np.array([y for _, y in pairs], dtype)
    y = evaluate(name, x)
    np.testing.assert_array_equal(y, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(y[number]), np.signbit(expected[number]))


@every_isa
def test_largest_odd_and_half_integers() -> None:
    x = np.array([2.0**53 - 1, 2.0**53, 2.0**52 - 0.5, 2.0**51 + 0.5, 2.0**52 + 1])
    np.testing.assert_array_equal(evaluate("cospi", x), [-1.0, 1.0, 0.0, 0.0, -1.0])
    np.testing.assert_array_equal(evaluate("sinpi", x), [0.0, 0.0, -1.0, 1.0, 0.0])


@every_dtype
@every_isa
def test_gradual_underflow_of_exp(dtype: type[np.floating[Any]]) -> None:
    info = np.finfo(dtype)
    k = np.arange(info.minexp - info.nmant, info.minexp + 3)
    x = ((k + 0.25) * math.log(2)).astype(dtype)
    y = evaluate("exp", x)
    assert np.all(y > 0)
    errors = oracle.ulp_errors(y, *oracle.reference("exp", x))
    assert errors.max() <= MAX_ULP


@every_function
@every_dtype
@every_isa
def test_value_does_not_depend_on_position(name: str, dtype: type[np.floating[Any]]) -> None:
    x = np.linspace(0.01, 3.0, 150, dtype=dtype)
    whole = evaluate(name, x)
    for size in range(70):
        for start in (0, 1, 5):
            piece = evaluate(name, x[start : start + size])
            np.testing.assert_array_equal(piece, whole[start : start + size])


@every_function
@every_dtype
@every_isa
def test_in_place_and_no_write_beyond(name: str, dtype: type[np.floating[Any]]) -> None:
    x = np.linspace(0.01, 3.0, 37, dtype=dtype)
    expected = evaluate(name, x)
    buffer = np.full(64, -7, dtype)
    buffer[10:47] = x
    assert evaluate(name, buffer[10:47], buffer[10:47]).base is buffer
    np.testing.assert_array_equal(buffer[10:47], expected)
    assert np.all(buffer[:10] == -7)
    assert np.all(buffer[47:] == -7)


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="contiguous"):
        evaluate("exp", np.zeros(8)[::2])
    with pytest.raises(ValueError, match="one size"):
        evaluate("exp", np.zeros(8), np.zeros(7))
    with pytest.raises(ValueError, match="dtype"):
        evaluate("exp", np.zeros(8), np.zeros(8, np.float32))
