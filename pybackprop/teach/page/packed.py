"""Numbers as a page holds them: few as decimals that people can read, many packed, with all their bits.

Packed are the bytes of the numbers, little endian: all first bytes, then all second bytes, and so on, because those are
alike. Of numbers with few different values (pixels) there are the values, packed like that, and after them a byte for
each number, which says the value. All of it is deflated (RFC 1951) and written as base64. unpack.js reads it.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.teach.render.json_numbers import shortest

__all__ = ["READABLE", "size", "written"]

READABLE = 300  # numbers of a tensor that are decimals; more are packed
STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY)
VALUES = 256  # different values that a byte can name


def written(array: Array) -> list[float | int | str] | dict[str, Any]:
    """An array of float32 or float64 for JSON: `shortest`'s list, or of more than READABLE numbers
    {"values": how many values come first, 0 without them, "packed": base64}."""
    return shortest(array) if array.size <= READABLE else _packed(array)


def size(array: Array) -> int:
    """Bytes of `written` as JSON."""
    return len(json.dumps(written(array), separators=(",", ":")))


def _packed(array: Array) -> dict[str, Any]:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).ravel()
    bits = little.view(f"<u{little.itemsize}")  # NaN is no value of its own, its bits are
    values, places = np.unique(bits, return_inverse=True)
    if len(values) > VALUES:
        return {"values": 0, "packed": _deflated(_shuffled(bits))}
    return {"values": len(values), "packed": _deflated(_shuffled(values) + places.astype(np.uint8).tobytes())}


def _shuffled(bits: Array) -> bytes:
    shuffled: bytes = bits.view(np.uint8).reshape(bits.size, bits.itemsize).T.tobytes()
    return shuffled


def _deflated(raw: bytes) -> str:
    """The shorter of two ways: where there is nothing to repeat, looking for it makes the codes longer."""
    return base64.b64encode(min((_deflate(raw, way) for way in STRATEGIES), key=len)).decode()


def _deflate(raw: bytes, strategy: int) -> bytes:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS, strategy=strategy)  # no header, as the browser's "deflate-raw"
    return deflate.compress(raw) + deflate.flush()
