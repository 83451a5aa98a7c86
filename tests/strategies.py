"""Hypothesis strategies for arrays as hostile as callers make them."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

REAL = ("float32", "float64")
INEXACT = (*REAL, "complex64", "complex128")
ACCEPTED = (*INEXACT, "float16", "int8", "int64", "uint16", "bool")


def special_values(dtype):
    """Zeros of both signs, denormals, the largest and smallest numbers, infinities, NaN."""
    info = np.finfo(dtype)
    tiny, smallest = float(info.tiny), float(info.smallest_subnormal)
    values = [0.0, smallest, tiny, 1.0, 1 + float(info.eps), float(info.max), np.inf, np.nan]
    return st.sampled_from([*values, *(-value for value in values)])


def elements(dtype, *, special=True):
    """Numbers of the dtype; with `special`, often the values that break algorithms."""
    dtype = np.dtype(dtype)
    plain = hnp.from_dtype(dtype, allow_nan=False, allow_infinity=False)
    if not special or dtype.kind not in "fc":
        return plain
    if dtype.kind == "f":
        return st.one_of(plain, special_values(dtype))
    part = special_values(np.finfo(dtype).dtype)
    return st.one_of(plain, st.builds(complex, part, part))


@st.composite
def hostile_arrays(draw, dtypes=ACCEPTED, min_dims=0, max_dims=3, max_side=6, special=True):
    """Values of any layout: strided, reversed, transposed, swapped, unaligned, read-only."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = draw(hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=0,
                                  max_side=max_side))  # fmt: skip
    array = draw(hnp.arrays(dtype, shape, elements=elements(dtype, special=special)))
    return draw(layouts(array))


@st.composite
def layouts(draw, array):
    """The same values in another layout."""
    array = np.asarray(array)
    kind = draw(st.sampled_from(["plain", "view", "broadcast", "field", "unaligned"]))
    if kind == "view":
        array = _strided(draw, array)
    elif kind == "broadcast" and array.ndim and array.shape[0]:
        array = np.broadcast_to(array[:1], array.shape)
    elif kind == "field":
        record = np.zeros(array.shape, [("odd", "i1"), ("value", array.dtype)])
        record["value"] = array
        array = record["value"]
    elif kind == "unaligned":
        buffer = np.zeros(array.nbytes + 1, np.uint8)
        view = buffer[1:].view(array.dtype).reshape(array.shape)
        view[...] = array
        array = view
    if draw(st.booleans()):
        array = array.astype(array.dtype.newbyteorder())
    if draw(st.booleans()):
        array = array.view()
        array.flags.writeable = False
    return array


def _strided(draw, array):
    """A view with steps of either sign and any order of axes, inside a larger buffer."""
    order = draw(st.permutations(range(array.ndim)))
    steps = [draw(st.sampled_from([1, 2, 3, -1, -2])) for _ in range(array.ndim)]
    sizes = [array.shape[axis] * abs(steps[axis]) for axis in order]
    view = np.zeros(sizes, array.dtype).transpose(np.argsort(order).tolist())
    view = view[(*(slice(None, None, step) for step in steps), ...)]
    view[...] = array
    return view


HOSTILE_SCALARS = (
    None, True, -1, 0, 1, 2, 3, 7, 1009, 2**40, 2**63, 2**64, -(2**63), 0.0, -0.0, 0.5, 1.0, -1.5,
    5e-324, 1e-310, 1e308, np.inf, -np.inf, np.nan, 1j, "", "auto", "\ud800", b"\xff\x00", (), [],
    {}, object(), np.float16(1), np.longdouble(1), np.int8(-1), np.array(2),
)  # fmt: skip
REFUSED_KINDS = (np.longdouble, np.clongdouble, object, "U1", "M8[s]", "V3")


def hostile_scalars():
    """Numbers at every bound, and what is no number."""
    return st.sampled_from(HOSTILE_SCALARS)


@st.composite
def hostile_substitutes(draw, valid):
    """In place of a valid array: its shape with other values, another shape, or no array."""
    choice = draw(st.sampled_from(["scalar", "kind", "shape", "shape", "layout", *["values"] * 5]))
    if choice == "scalar":
        return draw(hostile_scalars())
    if choice == "kind":
        return np.zeros(valid.shape, draw(st.sampled_from(REFUSED_KINDS)))
    if choice == "shape":
        return draw(hostile_arrays(max_side=7))
    if choice == "layout":
        return draw(layouts(valid))
    dtype = draw(st.sampled_from(ACCEPTED))
    values = elements(dtype, special=draw(st.booleans()))
    return draw(layouts(draw(hnp.arrays(dtype, valid.shape, elements=values))))
