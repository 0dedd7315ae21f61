"""IDX, the format of MNIST's files: two zero bytes, the element type, the number of dimensions, the dimensions
as big-endian 32-bit numbers, then the elements, big-endian, row by row. Also compressed with gzip (.gz)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.core.files import MOST_DEFLATED
from pybackprop.data.errors import DataError

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_DIMENSIONS = 8
GZIP = b"\x1f\x8b"


def read_idx(path: Path, dimensions: int | None = None) -> Array:
    """The array in an IDX file, in native byte order. dimensions: how many are expected.

    Raises DataError for a file that is damaged or no IDX; allocates no more than the file can hold.
    """
    size = path.stat().st_size
    with open(path, "rb") as raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        if not packed:
            return _read(path, raw, size, dimensions, exact=True)
        try:
            with gzip.GzipFile(fileobj=raw) as stream:
                return _read(path, stream, MOST_DEFLATED * size, dimensions, exact=False)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{path}: gzip: {error}") from error


def _read(path: Path, stream: Any, most: int, dimensions: int | None, exact: bool) -> Array:
    kind, shape = _read_header(path, stream, dimensions)
    needed = math.prod(shape) * kind.itemsize
    available = most - 4 - 4 * len(shape)
    if needed > available or (exact and needed != available):
        limit = available if exact else f"at most {available}"
        raise DataError(f"{path}: dimensions: {shape} of {kind.name} promise {needed} bytes, found {limit} after them")
    data = stream.read(needed)
    if len(data) != needed or stream.read(1):
        length = str(len(data)) if len(data) < needed else f"more than {needed}"
        raise DataError(f"{path}: elements: found {length} bytes, expected {needed}")
    return np.frombuffer(data, kind).reshape(shape).astype(kind.newbyteorder("="))


def _read_header(path: Path, stream: IO[bytes], dimensions: int | None) -> tuple[np.dtype[np.generic], tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(f"{path}: magic: found {magic.hex(' ') or 'nothing'}, expected 00 00, a type and a rank")
    if magic[2] not in TYPES:
        raise DataError(f"{path}: element type: found 0x{magic[2]:02x}, expected one of 08 09 0b 0c 0d 0e")
    rank = magic[3]
    if rank != dimensions if dimensions is not None else not 1 <= rank <= MOST_DIMENSIONS:
        raise DataError(
            f"{path}: number of dimensions: found {rank}, expected {dimensions or f'1 to {MOST_DIMENSIONS}'}"
        )
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise DataError(f"{path}: dimensions: found {len(sizes)} bytes, expected {4 * rank}")
    return np.dtype(TYPES[magic[2]]), struct.unpack(f">{rank}I", sizes)


def write_idx(path: str | Path, array: Array) -> None:
    """Writes an array as IDX, compressed if path ends in .gz. Raises DataError for a type that IDX lacks."""
    path, array = Path(path), np.asarray(array)
    codes = {np.dtype(name): code for code, name in TYPES.items()}
    code = codes.get(array.dtype.newbyteorder(">"))
    if code is None or not 1 <= array.ndim <= MOST_DIMENSIONS:
        raise DataError(f"{path}: found {array.dtype} of {array.ndim} dimensions, which IDX cannot hold")
    content = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content += array.astype(TYPES[code]).tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
