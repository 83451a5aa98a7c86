"""Densities as bytes: a magic word, a JSON header with its length, little-endian arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexue_num._validation import Phrase, message
from kexue_num.density._frames import Frame, Table

Array = NDArray[Any]

_MAGIC = b"kexue-fourier-density-1\n"


def pack(frame: Frame, b: Array, facts: Mapping[str, Any]) -> bytes:
    """Frame, coefficients and facts as bytes."""
    table = frame.table
    head = {
        "support": frame.support if isinstance(frame.support, str) else list(frame.support),
        "base": frame.base,
        "loc": frame.loc.hex(),
        "scale": frame.scale.hex(),
        "order": len(b) - 1,
        "facts": dict(facts),
        "table": None
        if table is None
        else [table.spill, table.first, table.last, table.knots.size],
    }
    text = json.dumps(head).encode()
    body = np.asarray(b, "<c16").tobytes()
    if table is not None:
        body += np.asarray(table.knots, "<f8").tobytes()
    return _MAGIC + len(text).to_bytes(8, "little") + text + body


def unpack(data: bytes) -> tuple[Frame, Array, dict[str, Any]]:
    """What `pack` wrote; ValueError for anything else."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        got = Phrase(type(data).__name__)
        raise TypeError(message("from_bytes", "data", "must be bytes", got))
    data = bytes(data)
    start = len(_MAGIC) + 8
    try:
        if not data.startswith(_MAGIC):
            raise ValueError
        size = int.from_bytes(data[len(_MAGIC) : start], "little")
        head = json.loads(data[start : start + size])
        table_info = head["table"]
        n, knots = head["order"] + 1, 0 if table_info is None else table_info[3]
        body = data[start + size :]
        if len(body) != 16 * n + 8 * knots:
            raise ValueError
        b = np.frombuffer(body, "<c16", n).astype(np.complex128)
        table = None
        if table_info is not None:
            values = np.frombuffer(body, "<f8", knots, 16 * n).astype(np.float64)
            spill, first, last = table_info[:3]
            table = Table(spill, first, last, values)
        support = head["support"]
        frame = Frame(
            support if isinstance(support, str) else (float(support[0]), float(support[1])),
            head["base"],
            float.fromhex(head["loc"]),
            float.fromhex(head["scale"]),
            table,
        )
        return frame, b, head["facts"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        got = Phrase(f"{len(data)} bytes")
        raise ValueError(message("from_bytes", "data", "must come from to_bytes", got)) from error
