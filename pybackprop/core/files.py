"""Reading .npy and .npz files that are not trusted, and replacing a file atomically.

Nothing is unpickled, and no array is allocated that is larger than the file can hold.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.core.checks import check_folder

T = TypeVar("T")
PIECE = 2**20  # bytes that are read at once into an array
MOST_DEFLATED = 1040  # the largest ratio that deflate can compress by; a header that claims more is false


class NpyError(ValueError):
    """An invalid file. The message names the field, what was found and what was expected; the caller adds the file."""


def npy_header(stream: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """(shape, whether it is stored by columns, dtype) of a .npy stream of size bytes, which then stands at the data.

    Raises NpyError, also if the data are not as long as the header promises.
    """
    try:
        version = np.lib.format.read_magic(stream)
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, by_columns, dtype = reader(stream)
    except KeyError as error:
        raise NpyError(f"version: found {error}, expected 1.0 or 2.0") from error
    except (zipfile.BadZipFile, zlib.error):
        raise  # it is the archive that is damaged
    except Exception as error:  # numpy evaluates a Python literal here, and does not catch what that raises
        raise NpyError(f"header: {error}") from error
    if dtype.hasobject:
        raise NpyError("dtype: found Python objects, which only unpickling could read; expected numbers")
    promised, remaining = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if promised != remaining or min(shape, default=0) < 0:
        raise NpyError(f"shape: {shape} of {dtype} takes {promised} bytes, found {remaining}")
    return shape, by_columns, dtype


def read_npy(stream: IO[bytes], size: int) -> Array:
    """The array in a .npy stream of size bytes, in native byte order. Raises NpyError."""
    shape, by_columns, dtype = npy_header(stream, size)
    promised = math.prod(shape) * dtype.itemsize
    data = stream.read(promised)
    if len(data) != promised or stream.read(1):
        raise NpyError(f"data: found {len(data)} bytes, expected {promised}")
    flat = np.frombuffer(bytearray(data), dtype)
    array = flat.reshape(shape[::-1]).T if by_columns else flat.reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def read_into(stream: IO[bytes], array: Array) -> None:
    """Fills a contiguous array with the next bytes of a stream, without a copy of them all. Raises NpyError."""
    view = memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    done = 0
    while done < len(view):
        count = stream.readinto(view[done : done + PIECE])  # type: ignore[attr-defined]
        if not count:
            raise NpyError(f"data: found {done} bytes, expected {len(view)}")
        done += count


def read_npz(path: Path, stored_only: bool = False) -> dict[str, Array]:
    """The arrays of a .npz by name. stored_only: refuse compressed members. Raises NpyError, OSError."""
    return npz_members(path, lambda name, stream, size: read_npy(stream, size), stored_only)


def npz_members(path: Path, read: Callable[[str, IO[bytes], int], T], stored_only: bool = False) -> dict[str, T]:
    """What `read(name, stream, size)` gives for each array of a .npz, by name. Raises NpyError, OSError."""
    found: dict[str, T] = {}
    member = "archive"
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                member = info.filename
                _check_member(info, stored_only, path.stat().st_size)
                with archive.open(info) as stream:
                    name = member.removesuffix(".npy")
                    found[name] = read(name, stream, info.file_size)
    except NpyError as error:
        raise NpyError(f"{member}: {error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise NpyError(f"{member}: {error}") from error
    return found


def _check_member(info: zipfile.ZipInfo, stored_only: bool, file_size: int) -> None:
    if stored_only and info.compress_type != zipfile.ZIP_STORED:
        raise NpyError("compression: found a compressed member, expected a stored one")
    if info.compress_size > file_size or info.file_size > MOST_DEFLATED * info.compress_size:
        raise NpyError(f"size: {info.file_size} bytes from {info.compress_size} in a file of {file_size} is impossible")


def write_npz(stream: IO[bytes], arrays: dict[str, Any]) -> None:
    """Writes an uncompressed .npz with fixed dates: the same arrays give the same bytes."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


# ---- atomic replacement ----


def replace(target: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Replaces target by what write writes, or leaves it unchanged. Raises OSError."""
    check_folder(str(target), target)
    # only part of the name, which may already have all of the 255 bytes that most file systems allow
    temporary = target.with_name(f".{target.name[:50]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    mode = target.stat().st_mode & 0o777 if target.exists() else None
    # created with its final permissions: between creation and a chmod another user could open it
    create = partial(os.open, mode=0o666 if mode is None else mode)
    try:
        with open(temporary, "xb", opener=create) as stream:
            if mode is not None:
                with contextlib.suppress(OSError):  # some file systems have no permissions
                    os.chmod(temporary, mode)  # restores bits that the umask removed
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
        _sync(target.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Makes the rename itself durable, where folders can be synced."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
