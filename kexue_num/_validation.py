"""Arguments: the one place that accepts, converts or refuses what a caller passes.

Every message reads ``function: 'argument' must be ..., got ...``. A wrong kind (type, dtype,
device) is a TypeError; a wrong shape, range or content is a ValueError; both are raised before any
work. NumPy is all this module knows.

Every check takes the name of the public function and of its argument first, and returns the value
in the form the core wants, so that one check is one line::

    A = as_array("interp_decomp", "A", A, ndim=2, dtypes="inexact")
    k = check_integer("interp_decomp", "rank", rank, minimum=0, maximum=min(A.shape))
    key = as_key("interp_decomp", rng)
"""

from __future__ import annotations

import functools
import math
import operator
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    Array: TypeAlias = NDArray[Any]

MAX_WORKERS = 1024
LARGEST_INTEGER = 2**63 - 1  # that the core takes

# DLPack's device numbers whose memory the processor can read: CPU, CUDA pinned, ROCm pinned.
_HOST_DEVICES = (1, 3, 11)
_HOW_TO_MOVE = {"torch": ".cpu()", "cupy": ".get()", "tensorflow": ".numpy()"}


def message(function: str, argument: str, expected: str, got: object) -> str:
    """The text of every error about an argument; `got` is shown by `describe`."""
    return f"{function}: '{argument}' {expected}, got {describe(got)}"


class Phrase(str):
    """Text that stands in a message as it is, without quotes."""

    __slots__ = ()


def describe(value: object) -> str:
    """A value in at most one short line."""
    if isinstance(value, Phrase):
        return str(value)
    if isinstance(value, np.ndarray) and value.ndim > 0:
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.item()
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


# Arrays


def as_array(
    function: str,
    argument: str,
    value: object,
    *,
    ndim: int | None = None,
    min_ndim: int = 0,
    dtypes: Literal["real", "inexact"] = "real",
    check_finite: bool = False,
) -> Array:
    """The value as a native, aligned float32 or float64 array (complex too if "inexact").

    float32, float64, complex64 and complex128 keep their dtype; float16 and bfloat16 become
    float32 (round the result once, with `round_result`); integers and bool become float64. No copy
    is made unless the dtype, the byte order, the alignment or strides that are no multiple of the
    item size demand one. Arrays of other libraries come in through DLPack or ``__array__``.
    """
    array = to_numpy(function, argument, value)
    target = _compute_dtype(function, argument, value, array, dtypes)
    if array.dtype != target or not array.dtype.isnative:
        array = array.astype(target)
    elif not array.flags.aligned or any(step % target.itemsize for step in array.strides):
        array = array.copy(order="K")
    if ndim is not None and array.ndim != ndim:
        expected = f"must be {ndim}-dimensional"
        raise ValueError(message(function, argument, expected, Phrase(f"shape {array.shape}")))
    if array.ndim < min_ndim:
        expected = f"must have at least {_count(min_ndim, 'dimension')}"
        raise ValueError(message(function, argument, expected, Phrase(f"shape {array.shape}")))
    if check_finite:
        require_finite(function, argument, array)
    return array


def result_dtype(value: object) -> np.dtype[Any]:
    """The dtype a result computed from `value` has: its own if inexact, float64 otherwise."""
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, np.dtype):
        if dtype.kind in "fc" or dtype.name == "bfloat16":
            return dtype.newbyteorder("=")
        return np.dtype(np.float64)
    name = str(dtype).rpartition(".")[2]  # "torch.float32" and the like
    known = ("float16", "float32", "complex64", "complex128")
    return np.dtype(name) if name in known else np.dtype(np.float64)


def round_result(result: Array, dtype: np.dtype[Any]) -> Array:
    """The result in `dtype`, rounded once; the same array if it has that dtype already."""
    if result.dtype == dtype:
        return result
    with np.errstate(over="ignore", under="ignore"):
        return result.astype(dtype)


def require_finite(function: str, argument: str, array: Array) -> None:
    """ValueError naming the first NaN or infinity."""
    # A finite sum proves finite terms in one pass without a temporary; the converse needs the
    # second look, because finite terms may overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum()):
            return
    finite = np.isfinite(array)
    if finite.all():
        return
    first = np.unravel_index(int(np.argmin(finite)), array.shape)
    place = ", ".join(str(int(i)) for i in first)
    got = Phrase(f"{describe(array[first])} at [{place}]" if place else describe(array[first]))
    raise ValueError(message(function, argument, "must be finite", got))


def check_out(function: str, out: object, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """A new array if `out` is None, else `out` once it is fit to be written by the core."""
    dtype = np.dtype(dtype)
    if out is None:
        return np.empty(shape, dtype)
    if type(out) is not np.ndarray:
        raise TypeError(message(function, "out", "must be a numpy.ndarray or None", _type(out)))
    if out.dtype != dtype or not out.dtype.isnative:
        got = Phrase(f"dtype {out.dtype.str if out.dtype == dtype else out.dtype}")
        raise TypeError(message(function, "out", f"must have dtype {dtype}", got))
    if out.shape != shape:
        expected = f"must have shape {shape}"
        raise ValueError(message(function, "out", expected, Phrase(f"shape {out.shape}")))
    if not out.flags.writeable:
        raise ValueError(message(function, "out", "must be writable", Phrase("a read-only array")))
    steps = [s for s, n in zip(out.strides, out.shape, strict=True) if n > 1 and out.size]
    if not out.flags.aligned or any(s == 0 or s % dtype.itemsize for s in steps):
        expected = "must be aligned, with strides that are nonzero multiples of the item size"
        raise ValueError(message(function, "out", expected, Phrase(f"strides {out.strides}")))
    return out


def to_numpy(function: str, argument: str, value: object) -> Array:
    """The value as an ndarray of whatever dtype, for checks of its own; no copy if it is one."""
    if isinstance(value, np.ma.MaskedArray):
        expected = "must be an array without a mask (use .filled() or .compressed())"
        raise TypeError(message(function, argument, expected, _type(value)))
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    if hasattr(value, "tocsr"):
        expected = "must be a dense array (use .toarray())"
        raise TypeError(message(function, argument, expected, _type(value)))
    _refuse_device_memory(function, argument, value)
    try:
        if hasattr(value, "__dlpack__"):
            try:
                return np.asarray(np.from_dlpack(value))
            except (BufferError, RuntimeError, TypeError, ValueError):
                pass  # for instance bfloat16, which only `__array__` can deliver
        return np.asarray(value)
    except ValueError as error:
        expected = "must be a rectangular array-like"
        raise ValueError(message(function, argument, expected, _reason(value, error))) from error
    except (TypeError, RuntimeError, BufferError) as error:
        expected = "must be convertible to a NumPy array"
        raise TypeError(message(function, argument, expected, _reason(value, error))) from error


def _refuse_device_memory(function: str, argument: str, value: object) -> None:
    place = getattr(value, "__dlpack_device__", None)
    on_device = (
        int(place()[0]) not in _HOST_DEVICES
        if place is not None
        else hasattr(value, "__cuda_array_interface__")
    )
    if on_device:
        library = type(value).__module__.partition(".")[0]
        if library in ("jax", "jaxlib"):
            advice = f"jax.device_get({argument})"
        else:
            advice = argument + _HOW_TO_MOVE.get(library, " copied to the host")
        device = getattr(value, "device", "another device")
        expected = f"must be in the memory of the CPU (pass {advice})"
        got = Phrase(f"{type(value).__name__} on {device}")
        raise TypeError(message(function, argument, expected, got))


def _compute_dtype(
    function: str, argument: str, value: object, array: Array, dtypes: str
) -> np.dtype[Any]:
    dtype = array.dtype
    if dtype.kind in "iub":
        return np.dtype(np.float64)
    if dtype.char in "fd" or (dtype.char in "FD" and dtypes == "inexact"):
        return dtype.newbyteorder("=")
    if dtype.char == "e" or dtype.name == "bfloat16":
        return np.dtype(np.float32)
    numbers = "real numbers" if dtypes == "real" else "real or complex numbers"
    got = Phrase(f"dtype {dtype}")
    if dtype.kind == "O" and array.ndim == 0:
        got = Phrase("None") if value is None else _type(value)
    expected = f"must be an array of {numbers} of at most 64 bits"
    if dtypes == "inexact":
        expected += " per component"
    raise TypeError(message(function, argument, expected, got))


# Scalars


def check_real(
    function: str,
    argument: str,
    value: object,
    *,
    above: float | None = None,
    minimum: float | None = None,
    below: float | None = None,
    maximum: float | None = None,
) -> float:
    """A finite real number within the bounds; `above` and `below` are exclusive."""
    number = _real(function, argument, value)
    inside = (
        math.isfinite(number)
        and (above is None or number > above)
        and (minimum is None or number >= minimum)
        and (below is None or number < below)
        and (maximum is None or number <= maximum)
    )
    if not inside:
        bounds = ((">", above), (">=", minimum), ("<", below), ("<=", maximum))
        parts = [f"{sign} {bound:g}" for sign, bound in bounds if bound is not None]
        expected = f"must be {' and '.join(parts) if parts else 'finite'}"
        raise ValueError(message(function, argument, expected, value))
    return number


def check_positive(function: str, argument: str, value: object) -> float:
    """A finite real number above zero."""
    return check_real(function, argument, value, above=0)


def check_fraction(function: str, argument: str, value: object) -> float:
    """A real number strictly between 0 and 1."""
    return check_real(function, argument, value, above=0, below=1)


def check_integer(
    function: str,
    argument: str,
    value: object,
    *,
    minimum: int | None = None,
    maximum: int | None = None,
) -> int:
    """A Python or NumPy integer (no bool, no 2.0) within the inclusive bounds."""
    number = _integer(function, argument, value, "an integer")
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        if minimum is None:
            expected = f"must be <= {maximum}"
        elif maximum is None or (maximum == LARGEST_INTEGER and number < minimum):
            expected = f"must be >= {minimum}"
        else:
            expected = f"must lie in {minimum}..{maximum}"
        raise ValueError(message(function, argument, expected, value))
    return number


def check_choice(function: str, argument: str, value: object, choices: Iterable[str]) -> str:
    """One of the given strings."""
    choices = tuple(choices)
    if isinstance(value, str) and value in choices:
        return value
    expected = f"must be one of {', '.join(repr(c) for c in choices)}"
    kind = ValueError if isinstance(value, str) else TypeError
    raise kind(message(function, argument, expected, value))


def check_axis(function: str, argument: str, value: object, ndim: int) -> int:
    """An axis of an `ndim`-dimensional array, counted from the front."""
    axis = _integer(function, argument, value, "an integer")
    if not -ndim <= axis < ndim:
        if ndim == 0:
            expected = "cannot name an axis of a 0-dimensional array"
        else:
            expected = f"must lie in {-ndim}..{ndim - 1} for {_count(ndim, 'dimension')}"
        raise ValueError(message(function, argument, expected, value))
    return axis % ndim


def check_workers(function: str, workers: object) -> int:
    """The number of threads for the core: 0, the library's setting, for None."""
    if workers is None:
        return 0
    number = _integer(function, "workers", workers, "an integer or None")
    if not 1 <= number <= MAX_WORKERS:
        raise ValueError(message(function, "workers", f"must lie in 1..{MAX_WORKERS}", workers))
    return number


def _real(function: str, argument: str, value: object) -> float:
    is_array = isinstance(value, np.ndarray) and value.ndim > 0
    refused = isinstance(value, (bool, np.bool_, str, bytes, complex, np.complexfloating))
    if not is_array and not refused and value is not None:
        try:
            return float(value)  # type: ignore[arg-type]
        except OverflowError:
            return math.inf
        except (TypeError, ValueError):
            pass
    raise TypeError(message(function, argument, "must be a real number", value))


def _integer(function: str, argument: str, value: object, kind: str) -> int:
    if not isinstance(value, (bool, np.bool_)):
        try:
            return operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            pass
    raise TypeError(message(function, argument, f"must be {kind}", value))


# Memory


def check_memory(function: str, argument: str, value: object, size: float) -> None:
    """MemoryError before work that needs `size` bytes, where the machine has fewer."""
    try:
        installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return  # not known on this platform
    if size > installed > 0:
        expected = f"needs {size / 2**30:.3g} GiB of the {installed / 2**30:.3g} GiB there are"
        raise MemoryError(message(function, argument, expected, value))


# Randomness


def as_generator(function: str, rng: object) -> np.random.Generator:
    """`numpy.random.default_rng(rng)` (SPEC 7); legacy random states are refused."""
    if isinstance(rng, np.random.Generator):
        return rng
    expected = "must be None, an integer >= 0 or a numpy.random.Generator"
    if isinstance(rng, np.random.RandomState) or rng is np.random:
        expected += " (pass np.random.default_rng(...))"
        got = _type(rng) if rng is not np.random else Phrase("the module numpy.random")
        raise TypeError(message(function, "rng", expected, got))
    if isinstance(rng, (bool, np.bool_)):
        raise TypeError(message(function, "rng", expected, rng))
    try:
        return np.random.default_rng(rng)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(message(function, "rng", expected, rng)) from error
    except TypeError as error:
        raise TypeError(message(function, "rng", expected, rng)) from error


def draw_key(generator: np.random.Generator) -> tuple[int, int]:
    """The 128-bit key of one call's counter-based generator, drawn once from the user's."""
    low, high = generator.integers(0, 2**64, size=2, dtype=np.uint64)
    return int(low), int(high)


def as_key(function: str, rng: object) -> tuple[int, int]:
    """The key for an argument `rng`; the last seeds' are kept: to make a generator takes 0.1 ms."""
    plain = type(rng) is int and rng >= 0
    return _key_of_seed(rng) if plain else draw_key(as_generator(function, rng))


@functools.lru_cache(maxsize=64)
def _key_of_seed(seed: int) -> tuple[int, int]:
    return draw_key(np.random.default_rng(seed))


def _type(value: object) -> Phrase:
    return Phrase(type(value).__name__)


def _reason(value: object, error: Exception) -> Phrase:
    text = " ".join(str(error).split())
    return Phrase(f"{type(value).__name__} ({text})")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
