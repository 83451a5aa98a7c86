"""Tables of BLAS routines made of SciPy's capsules, as they are or with their integers widened."""

from __future__ import annotations

import ctypes
import re
from typing import Any

from scipy.linalg import cython_blas, cython_lapack

Capi = dict[str, Any]

ROUTINES = {
    "blas": ["gemm", "trsm", "trmm"],
    "lapack": ["geqrf", "geqp3", "getrf", "potrf", "trtri", "gesdd", "gesvd"],
}
REAL_ROUTINES = {"blas": ["syrk"], "lapack": ["orgqr", "ormqr", "syevd"]}
COMPLEX_ROUTINES = {"blas": ["herk"], "lapack": ["ungqr", "unmqr", "heevd"]}

_get_name = ctypes.pythonapi.PyCapsule_GetName
_get_name.restype, _get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype, _get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]

# What capsules point at must outlive every call through the table that was made of them.
_immortal: list[Any] = []


def capsule(pointer: int, signature: str) -> Any:
    name = ctypes.create_string_buffer(signature.encode())
    _immortal.append(name)
    return _new_capsule(pointer, ctypes.cast(name, ctypes.c_char_p), None)


def signature_of(entry: Any) -> str:
    return _get_name(entry).decode()


def pointer_of(entry: Any) -> int:
    return int(_get_pointer(entry, _get_name(entry)))


def native(room: str) -> Capi:
    """SciPy's entries for the routines in use, of one module."""
    capi = {"blas": cython_blas, "lapack": cython_lapack}[room].__pyx_capi__
    names = [t + r for r in ROUTINES[room] for t in "sdcz"]
    names += [t + r for r in REAL_ROUTINES[room] for t in "sd"]
    names += [t + r for r in COMPLEX_ROUTINES[room] for t in "cz"]
    return {name: capi[name] for name in names}


def renamed(capi: Capi, integer: str) -> Capi:
    """The same entries, their integers under another name."""
    return {
        name: capsule(pointer_of(entry), re.sub(r"\b(int|int64_t) \*", f"{integer} *", signature))
        for name, entry in capi.items()
        for signature in [signature_of(entry)]
    }


def pivots_of(name: str, sizes: list[int]) -> dict[int, int]:
    """Index and length of an integer array that is an input or output, not scratch."""
    if name.endswith("geqp3"):
        return {4: sizes[1]}
    if name.endswith("getrf"):
        return {4: min(sizes[0], sizes[1])}
    return {}


SCRATCH = {"gesdd": -2, "syevd": -3, "heevd": -3}  # iwork; its length is counted in elements


def widened(name: str, entry: Any) -> Any:
    """A 64-bit entry point that calls the one of SciPy with its integers narrowed."""
    arguments = signature_of(entry).split("(")[1].rstrip(")").split(", ")
    is_integer = [bool(re.fullmatch(r"(int|int64_t) \*", argument)) for argument in arguments]
    narrow = ctypes.c_int64 if "int64_t *" in arguments else ctypes.c_int32
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(arguments))
    target = prototype(pointer_of(entry))
    scratch = len(arguments) + SCRATCH[name[1:]] if name[1:] in SCRATCH else -1

    def shim(*addresses: int) -> None:
        sizes = [
            ctypes.c_int64.from_address(address).value
            for address, integer in zip(addresses, is_integer, strict=True)
            if integer
        ]
        pivots = pivots_of(name, sizes)
        passed: list[Any] = list(addresses)
        copies = []
        for i, address in enumerate(addresses):
            if is_integer[i] and i != scratch:
                length = pivots.get(i, 1)
                wide = (ctypes.c_int64 * length).from_address(address)
                copies.append((wide, (narrow * length)(*wide)))
                passed[i] = ctypes.addressof(copies[-1][1])
        target(*passed)
        for wide, copy in copies:
            wide[:] = copy[:]

    callback = prototype(shim)
    _immortal.append((callback, target))
    address = ctypes.cast(callback, ctypes.c_void_p).value
    return capsule(address or 0, re.sub(r"\bint \*", "int64_t *", signature_of(entry)))


def widened_table() -> dict[str, Capi]:
    """SciPy's routines in use, every integer of 64 bits."""
    return {
        room: {name: widened(name, entry) for name, entry in native(room).items()}
        for room in ("blas", "lapack")
    }
