"""Every message of kexue_num/_validation.py, and what it lets through."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given

from kexue_num import _core
from kexue_num import _validation as v
from tests import strategies


class Device:
    """An array of another library that lies on DLPack device number `kind`."""

    def __init__(self, kind, array=None):
        self._kind, self._array, self.device = kind, array, f"device:{kind}"

    def __dlpack_device__(self):
        return (self._kind, 0)

    def __dlpack__(self, **keywords):
        if self._array is None:
            raise BufferError("no export")
        return self._array.__dlpack__(**keywords)


class OnlyArray(Device):
    """Exports through `__array__` only, like a bfloat16 array."""

    def __array__(self, dtype=None, copy=None):
        return np.arange(3.0)


class NeedsDetach:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("call detach() first")


class Sparse:
    def tocsr(self):
        raise AssertionError("not called")


def named(name, module, base=Device):
    return type(name, (base,), {"__module__": module})


def array(value, **keywords):
    return v.as_array("f", "A", value, **keywords)


NUMBERS = "an array of real numbers of at most 64 bits"
MASK = "an array without a mask (use .filled() or .compressed())"
HOST = "in the memory of the CPU"
READ_ONLY = np.empty(3)
READ_ONLY.flags.writeable = False
STRIDES = "aligned, with strides that are nonzero multiples of the item size"
RNG = "None, an integer >= 0 or a numpy.random.Generator"
FIELD = np.zeros(3, dtype=[("a", "f8"), ("b", "i4")])["a"]
RAGGED = (
    "list (setting an array element with a sequence. The requested array has an inhomogeneous "
    "shape after 1 dimensions. The detected shape was (2,) + inhomogeneous part.)"
)
OVERLAPPING = np.lib.stride_tricks.as_strided(np.zeros(1), (3,), (0,))

# error, what was expected, what came, call
MESSAGES = [
    (TypeError, NUMBERS, "dtype complex128", lambda: array([1j])),
    (TypeError, NUMBERS, "dtype object", lambda: array([1, None])),
    (TypeError, NUMBERS, "dtype <U1", lambda: array(["a"])),
    (TypeError, NUMBERS, "dtype |S1", lambda: array([b"a"])),
    (TypeError, NUMBERS, "dtype datetime64[D]", lambda: array(np.array(["2024-01-01"], "M8[D]"))),
    (TypeError, NUMBERS, "dtype timedelta64[s]", lambda: array(np.zeros(1, "m8[s]"))),
    (TypeError, NUMBERS, f"dtype {np.dtype('g')}", lambda: array(np.zeros(1, np.longdouble))),
    (TypeError, NUMBERS, "dtype [('x', '<f8')]", lambda: array(np.zeros(1, [("x", "<f8")]))),
    (TypeError, NUMBERS, "None", lambda: array(None)),
    (TypeError, NUMBERS, "set", lambda: array({1.0})),
    (TypeError, NUMBERS, "generator", lambda: array(i for i in range(3))),
    (
        TypeError,
        "an array of real or complex numbers of at most 64 bits per component",
        f"dtype {np.dtype('G')}",
        lambda: array(np.zeros(1, np.clongdouble), dtypes="inexact"),
    ),
    (TypeError, MASK, "MaskedArray", lambda: array(np.ma.array([1.0]))),
    (TypeError, "a dense array (use .toarray())", "Sparse", lambda: array(Sparse())),
    (ValueError, "a rectangular array-like", RAGGED, lambda: array([[1], [1, 2]])),
    (
        TypeError,
        "convertible to a NumPy array",
        "NeedsDetach (call detach() first)",
        lambda: array(NeedsDetach()),
    ),
    (
        TypeError,
        f"{HOST} (pass A.cpu())",
        "Tensor on device:2",
        lambda: array(named("Tensor", "torch")(2)),
    ),
    (
        TypeError,
        f"{HOST} (pass A.get())",
        "ndarray on device:2",
        lambda: array(named("ndarray", "cupy")(2)),
    ),
    (
        TypeError,
        f"{HOST} (pass jax.device_get(A))",
        "ArrayImpl on device:2",
        lambda: array(named("ArrayImpl", "jaxlib._jax")(2)),
    ),
    (
        TypeError,
        f"{HOST} (pass A copied to the host)",
        "DeviceNDArray on another device",
        lambda: array(type("DeviceNDArray", (), {"__cuda_array_interface__": {}})()),
    ),
    (ValueError, "2-dimensional", "shape (3,)", lambda: array([1, 2, 3], ndim=2)),
    (ValueError, "2-dimensional", "shape (1, 1, 1)", lambda: array([[[1]]], ndim=2)),
    (ValueError, "at least 1 dimension", "shape ()", lambda: array(1.0, min_ndim=1)),
    (ValueError, "at least 2 dimensions", "shape (1,)", lambda: array([1.0], min_ndim=2)),
    (ValueError, "finite", "nan", lambda: array(np.nan, check_finite=True)),
    (ValueError, "finite", "-inf at [1]", lambda: array([1, -np.inf], check_finite=True)),
    (
        ValueError,
        "finite",
        "nan at [1, 2]",
        lambda: array([[1, 1, 1], [1, 1, np.nan]], check_finite=True),
    ),
    (
        ValueError,
        "finite",
        "(nan+1j) at [0]",
        lambda: array([complex(np.nan, 1)], dtypes="inexact", check_finite=True),
    ),
    (TypeError, "a numpy.ndarray or None", "list", lambda: v.check_out("f", [1.0], (1,), float)),
    (TypeError, "a numpy.ndarray or None", "MaskedArray",
     lambda: v.check_out("f", np.ma.zeros(1), (1,), float)),
    (TypeError, "dtype float64", "dtype float32",
     lambda: v.check_out("f", np.empty(3, "f4"), (3,), float)),
    (TypeError, "dtype float64", "dtype >f8",
     lambda: v.check_out("f", np.empty(3, ">f8"), (3,), float)),
    (ValueError, "shape (3,)", "shape (1, 3)",
     lambda: v.check_out("f", np.empty((1, 3)), (3,), float)),
    (ValueError, "writable", "a read-only array",
     lambda: v.check_out("f", READ_ONLY, (3,), float)),
    (ValueError, STRIDES, "strides (12,)", lambda: v.check_out("f", FIELD, (3,), float)),
    (ValueError, STRIDES, "strides (0,)", lambda: v.check_out("f", OVERLAPPING, (3,), float)),
    (TypeError, "a real number", "'1'", lambda: v.check_real("f", "A", "1")),
    (TypeError, "a real number", "None", lambda: v.check_real("f", "A", None)),
    (TypeError, "a real number", "True", lambda: v.check_real("f", "A", True)),
    (TypeError, "a real number", "1j", lambda: v.check_real("f", "A", 1j)),
    (TypeError, "a real number", "an array of shape (1,) and dtype float64",
     lambda: v.check_real("f", "A", np.ones(1))),
    (TypeError, "a real number", "[1.0]", lambda: v.check_real("f", "A", [1.0])),
    (ValueError, "finite", "nan", lambda: v.check_real("f", "A", np.nan)),
    (ValueError, "finite", f"1{'0' * 56}...", lambda: v.check_real("f", "A", 10**400)),
    (ValueError, "> 0", "-1.0", lambda: v.check_positive("f", "A", -1.0)),
    (ValueError, "> 0", "0", lambda: v.check_positive("f", "A", 0)),
    (ValueError, "> 0", "inf", lambda: v.check_positive("f", "A", np.inf)),
    (ValueError, "> 0", "nan", lambda: v.check_positive("f", "A", np.float32(np.nan))),
    (ValueError, ">= 1", "0.5", lambda: v.check_real("f", "A", np.float64(0.5), minimum=1)),
    (ValueError, "<= 1", "2", lambda: v.check_real("f", "A", 2, maximum=1)),
    (ValueError, ">= 2.22e-15 and < 1", "1e-20",
     lambda: v.check_real("f", "A", 1e-20, minimum=2.22e-15, below=1)),
    (ValueError, "> 0 and < 1", "1.0", lambda: v.check_fraction("f", "A", 1.0)),
    (ValueError, "> 0 and < 1", "0.0", lambda: v.check_fraction("f", "A", 0.0)),
    (TypeError, "an integer", "2.7", lambda: v.check_integer("f", "A", 2.7)),
    (TypeError, "an integer", "2.0", lambda: v.check_integer("f", "A", np.float64(2))),
    (TypeError, "an integer", "True", lambda: v.check_integer("f", "A", np.True_)),
    (TypeError, "an integer", "'3'", lambda: v.check_integer("f", "A", "3")),
    (TypeError, "an integer", "None", lambda: v.check_integer("f", "A", None)),
    (TypeError, "an integer", "an array of shape (1,) and dtype int64",
     lambda: v.check_integer("f", "A", np.ones(1, np.int64))),
    (ValueError, ">= 0", "-1", lambda: v.check_integer("f", "A", -1, minimum=0)),
    (ValueError, "<= 4", "5", lambda: v.check_integer("f", "A", np.uint8(5), maximum=4)),
    (ValueError, "in 0..4", "5", lambda: v.check_integer("f", "A", 5, minimum=0, maximum=4)),
    (ValueError, "one of 'a', 'b'", "'c'", lambda: v.check_choice("f", "A", "c", ("a", "b"))),
    (TypeError, "one of 'a', 'b'", "None", lambda: v.check_choice("f", "A", None, ["a", "b"])),
    (TypeError, "an integer", "None", lambda: v.check_axis("f", "A", None, 2)),
    (ValueError, "in -2..1 for 2 dimensions", "2", lambda: v.check_axis("f", "A", 2, 2)),
    (ValueError, "in -1..0 for 1 dimension", "-2", lambda: v.check_axis("f", "A", -2, 1)),
    (ValueError, "cannot name an axis of a 0-dimensional array", "0",
     lambda: v.check_axis("f", "A", 0, 0)),
    (TypeError, "an integer or None", "1.5", lambda: v.check_workers("f", 1.5)),
    (ValueError, "in 1..1024", "0", lambda: v.check_workers("f", 0)),
    (ValueError, "in 1..1024", "-1", lambda: v.check_workers("f", -1)),
    (ValueError, "in 1..1024", "1025", lambda: v.check_workers("f", 1025)),
    (TypeError, f"{RNG} (pass np.random.default_rng(...))", "RandomState",
     lambda: v.as_generator("f", np.random.RandomState(0))),
    (TypeError, f"{RNG} (pass np.random.default_rng(...))", "the module numpy.random",
     lambda: v.as_generator("f", np.random)),
    (TypeError, RNG, "True", lambda: v.as_generator("f", True)),
    (TypeError, RNG, "1.5", lambda: v.as_generator("f", 1.5)),
    (TypeError, RNG, "'seed'", lambda: v.as_generator("f", "seed")),
    (ValueError, RNG, "-1", lambda: v.as_generator("f", -1)),
]  # fmt: skip


@pytest.mark.parametrize(("error", "expected", "got", "call"), MESSAGES)
def test_message(error, expected, got, call):
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert type(caught.value) is error
    start, _, end = text.partition(", got ")
    assert end == got
    function, argument = start.split(": ", 1)
    name, _, expectation = argument.partition("' ")
    assert function == "f" and name[1:] in ("A", "out", "rng", "workers")
    verbs = ("must be ", "must have ", "must lie ", "")
    assert expectation in [verb + expected for verb in verbs]
    assert len(text) < 260 and "\n" not in text


def test_descriptions_stay_short():
    assert v.describe("x" * 1000) == "'" + "x" * 56 + "..."
    assert v.describe(np.float32(0.5)) == "0.5"
    assert v.describe(np.array(3)) == "3"
    assert v.describe("two\nlines") == r"'two\nlines'"
    assert v.describe(type("Odd", (), {"__repr__": lambda _: "a\n  b"})()) == "a b"


KEPT = [
    ("float32", "real", "float32"),
    ("float64", "real", "float64"),
    ("complex64", "inexact", "complex64"),
    ("complex128", "inexact", "complex128"),
    ("float16", "real", "float32"),
    *[(code, "real", "float64") for code in "?bBhHiIlLqQ"],
    *[(code, "inexact", "float64") for code in "?iQd"],
]


@pytest.mark.parametrize(("dtype", "dtypes", "expected"), KEPT)
def test_dtypes(dtype, dtypes, expected):
    got = array(np.ones((2, 3), dtype), dtypes=dtypes)
    assert got.dtype == expected
    assert got.dtype.isnative and (got == 1).all()


def test_array_likes():
    assert array([[1, 2], [3, 4]]).dtype == np.float64
    assert array([np.float32(1)]).dtype == np.float32
    assert array(range(3)).tolist() == [0, 1, 2]
    assert array(2.5).shape == ()
    assert array(memoryview(b"\x01\x02")).tolist() == [1, 2]
    matrix = np.arange(4.0).reshape(2, 2).view(np.matrix)
    assert type(array(matrix, ndim=2)) is np.ndarray
    assert array(np.empty((0, 3)), ndim=2, check_finite=True).shape == (0, 3)


def test_no_copy_when_none_is_needed():
    base = np.arange(24.0).reshape(4, 6)
    for view in (base, base.T, base[::-2, ::3], base[1:1], np.broadcast_to(base[0], (5, 6))):
        got = array(view, check_finite=True)
        assert got.__array_interface__["data"] == view.__array_interface__["data"]
        assert got.strides == view.strides


def test_exchange_with_other_libraries():
    values = np.arange(3.0)
    for kind in (1, 3, 11):
        assert array(OnlyArray(kind)).tolist() == [0, 1, 2]
    assert np.shares_memory(array(Device(1, values)), values)


@given(strategies.hostile_arrays())
def test_hostile_layouts_become_safe(value):
    got = array(value, dtypes="inexact")
    assert got.dtype in (np.float32, np.float64, np.complex64, np.complex128)
    assert got.dtype.isnative and got.flags.aligned
    assert all(step % got.itemsize == 0 for step in got.strides)
    assert got.shape == value.shape
    np.testing.assert_array_equal(got, value.astype(got.dtype))


@given(strategies.hostile_arrays())
def test_finiteness_agrees_with_numpy(value):
    if np.isfinite(value).all():
        array(value, dtypes="inexact", check_finite=True)
    else:
        with pytest.raises(ValueError, match=r"^f: 'A' must be finite, got .*(nan|inf)"):
            array(value, dtypes="inexact", check_finite=True)


def test_finite_values_whose_sum_overflows():
    for dtype in (np.float32, np.float64):
        array(np.full(4, np.finfo(dtype).max), check_finite=True)
        array(np.array([1, -1, 1, -1], dtype) * np.finfo(dtype).max, check_finite=True)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", ">f4"])
def test_result_dtype_is_kept(dtype):
    assert v.result_dtype(np.ones(1, dtype)) == np.dtype(dtype).newbyteorder("=")


def test_result_dtype_of_everything_else_is_float64():
    for value in ([1, 2], 3, True, np.ones(2, np.int8), np.ones(2, bool), None):
        assert v.result_dtype(value) == np.float64


def test_result_dtype_of_foreign_arrays():
    for name in ("float16", "float32", "complex64", "complex128"):
        foreign = type("Tensor", (), {"dtype": f"library.{name}"})()
        assert v.result_dtype(foreign) == np.dtype(name)


def test_float16_is_rounded_once():
    # 1 + 2^-11 is half-way between two float16 and a tie to even; the 2^-23 above it decides.
    single = np.array([1 + 2.0**-11 + 2.0**-23, 1e6], np.float32)
    rounded = v.round_result(single, v.result_dtype(np.ones(1, np.float16)))
    assert rounded.dtype == np.float16
    assert rounded.tolist() == [1 + 2.0**-10, np.inf]
    assert v.round_result(single, np.dtype(np.float32)) is single


def test_bfloat16_is_computed_in_float32():
    value = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    assert array(value).dtype == np.float32
    assert array(value).tolist() == [1.5, -2.0]
    back = v.round_result(array(value), v.result_dtype(value))
    assert back.dtype == value.dtype and (back == value).all()
    with pytest.raises(TypeError, match="dtype float8_e4m3fn"):
        array(np.ones(1, ml_dtypes.float8_e4m3fn))


def test_numbers_come_back_plain():
    for value in (3, np.int8(3), np.uint64(3), np.array(3)):
        got = v.check_integer("f", "A", value, minimum=3, maximum=3)
        assert type(got) is int and got == 3
    for value in (0.5, np.float16(0.5), np.array(0.5)):
        got = v.check_fraction("f", "A", value)
        assert type(got) is float and got == 0.5
    assert v.check_positive("f", "A", 2) == 2.0
    assert v.check_real("f", "A", -1e300) == -1e300
    assert v.check_real("f", "A", 1, minimum=1, maximum=1) == 1
    assert v.check_choice("f", "A", "b", ("a", "b")) == "b"
    assert [v.check_axis("f", "A", axis, 3) for axis in (-3, -1, 0, np.int64(2))] == [0, 2, 0, 2]


def test_workers_share_the_limit_of_the_core():
    assert v.check_workers("f", None) == 0
    assert v.check_workers("f", np.int32(v.MAX_WORKERS)) == v.MAX_WORKERS
    with pytest.raises(ValueError, match=str(v.MAX_WORKERS)):
        _core.set_workers(v.MAX_WORKERS + 1)
    before = _core.get_workers()
    _core.set_workers(v.MAX_WORKERS)
    _core.set_workers(before)


def test_out():
    fresh = v.check_out("f", None, (2, 3), np.float32)
    assert fresh.shape == (2, 3) and fresh.dtype == np.float32
    for out in (np.empty((2, 3)), np.empty((3, 2)).T, np.empty((4, 9))[::-2, ::3]):
        assert v.check_out("f", out, (2, 3), np.float64) is out
    empty = np.empty((0, 3))
    assert v.check_out("f", empty, (0, 3), np.float64) is empty


def test_generators():
    generator = np.random.default_rng(5)
    assert v.as_generator("f", generator) is generator
    seeds = (5, np.uint8(5), np.random.SeedSequence(5), [5], np.random.PCG64(5))
    keys = {v.draw_key(v.as_generator("f", seed)) for seed in seeds}
    assert keys == {v.draw_key(generator)}
    assert v.draw_key(v.as_generator("f", None)) != v.draw_key(v.as_generator("f", None))


def test_as_key():
    for seed in (0, 7, 2**100):
        key = v.draw_key(np.random.default_rng(seed))
        assert v.as_key("f", seed) == v.as_key("f", seed) == key
        assert v.as_key("f", np.random.default_rng(seed)) == key
    assert v.as_key("f", np.int64(7)) == v.as_key("f", 7)
    assert v.as_key("f", None) != v.as_key("f", None)
    generator = np.random.default_rng(3)
    assert v.as_key("f", generator) != v.as_key("f", generator)
    with pytest.raises(ValueError, match="'rng' must be None, an integer >= 0"):
        v.as_key("f", -1)
    with pytest.raises(TypeError, match="'rng' must be None, an integer >= 0"):
        v.as_key("f", True)


@pytest.mark.parametrize("bits", [np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_keys_use_all_128_bits(bits):
    # False alarm: a bit that is constant in 64 draws has probability 2^-63; 128 bits: 2^-56.
    generator = np.random.Generator(bits(1))
    words = [v.draw_key(generator) for _ in range(64)]
    for half in zip(*words, strict=True):
        assert all(0 <= word < 2**64 for word in half)
        assert np.bitwise_or.reduce(np.array(half, np.uint64)) == 2**64 - 1
        assert np.bitwise_and.reduce(np.array(half, np.uint64)) == 0
