"""Checkpoints: named arrays and metadata, in a .safetensors or .npz file.

A file is written under a temporary name (.NAME.PID-….tmp) in the same folder, flushed to the disk and renamed:
whenever the process is killed, either the old or the new file is there, complete. What a killed process leaves under
the temporary name is never read, and can be deleted. A file carries a sha256 of its content.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from pybackprop.core import files
from pybackprop.core.arrays import Array
from pybackprop.core.errors import CheckpointError
from pybackprop.core.files import replace
from pybackprop.core.native import FLOAT32, FLOAT64

__all__ = ["check_place", "digest", "load", "save"]

FORMAT, VERSION = "pybackprop checkpoint", "1"
HEADER = "__pybackprop__"  # the member of a .npz that holds what safetensors keeps as metadata
RESERVED = (HEADER, "__metadata__")  # the latter is where safetensors keeps it
LONGEST_NAME = 1000  # characters of an array's name; a .npz holds up to 65535 bytes
NO_SAFETENSORS = "needs the library safetensors (pip install 'pybackprop[safetensors]'); or use a .npz"


def digest(arrays: Mapping[str, Array]) -> str:
    """sha256 in hex over names, dtypes, shapes and little-endian bytes, by name: the same on every machine.

    arrays are float32 or float64, of any shape and in any byte order. All NaNs count as equal.
    """
    return _hash(arrays, one_nan=True)


def check_place(path: str | Path) -> None:
    """Raises CheckpointError for a path that `save` could not write to, as far as that can be known in advance."""
    _writer(path)
    _target(path)


def save(path: str | Path, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Writes arrays of float32 and float64 by name, and meta, which must be serializable as JSON.

    path ends in .safetensors (with that library) or .npz; a link is followed, and the permissions of an
    existing file are kept. Raises CheckpointError, and leaves an existing file unchanged, if it cannot be written.
    """
    write = _writer(path)
    checked = {name: _checked(path, name, array) for name, array in arrays.items()}
    text = _as_json(path, meta)
    header = {"format": FORMAT, "version": VERSION, "meta": text, "sha256": _integrity(checked, text)}
    try:
        replace(_target(path), lambda stream: write(stream, checked, header))
    except OSError as error:
        raise _cannot_be("written", path, error) from error


def load(path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """(arrays by name, meta) of a file that `save` wrote, whatever its name.

    The arrays are float32 or float64 with the bits that were saved; native, contiguous, writable, and the
    caller's own. Raises CheckpointError for a file that is missing, damaged, or not a checkpoint.
    """
    path = Path(path)
    try:
        arrays, header = _reader(path)(path)
    except OSError as error:
        raise _cannot_be("read", path, error) from error
    except CheckpointError:
        raise
    except MemoryError as error:
        raise CheckpointError(f"{path}: its arrays take more memory than there is; close other programs") from error
    except Exception as error:  # zipfile, json, numpy and safetensors raise almost anything for malicious bytes
        raise CheckpointError(f"{path}: is damaged or not a checkpoint: {error}") from error
    for name, array in arrays.items():
        _check_dtype(path, name, array)
        arrays[name] = np.require(array, array.dtype.newbyteorder("="), ["C", "O", "W"])
    text = str(header.get("meta"))
    if header.get("sha256") != _integrity(arrays, text):
        raise CheckpointError(f"{path}: is damaged: its content does not have the sha256 that it was written with")
    return arrays, _parsed(path, text)


# ---- what goes into a file ----


def _hash(arrays: Mapping[str, Array], one_nan: bool) -> str:
    state = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], arrays[name].dtype.newbyteorder("<"), order="C")
        if one_nan and np.isnan(array).any():
            array = array.copy()
            array[np.isnan(array)] = np.nan
        # escaped, as a name with a newline could otherwise pass for two arrays
        state.update(name.encode("unicode_escape") + f" {array.dtype.str} {array.shape}\n".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def _integrity(arrays: Mapping[str, Array], text: str) -> str:
    """Unlike the digest it distinguishes NaNs: a damaged one must not pass."""
    content = f"{_hash(arrays, one_nan=False)} {text}"
    return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()


def _checked(path: str | Path, name: str, array: Array) -> Array:
    """array in native byte order and C order. Raises CheckpointError for what a file cannot hold."""
    if name in RESERVED or not name.isprintable() or "\\" in name or len(name) > LONGEST_NAME:
        shown = ascii(name[:50])
        raise CheckpointError(f"{path}: cannot hold an array named {shown}: reserved, unprintable, with \\ or too long")
    array = np.asarray(array)
    _check_dtype(path, name, array)
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def _check_dtype(path: str | Path, name: str, array: Array) -> None:
    if array.dtype.newbyteorder("=") not in (FLOAT32, FLOAT64):
        raise CheckpointError(f"{path}: {name}: found {array.dtype}, expected float32 or float64")


def _as_json(path: str | Path, meta: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(meta))
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: meta: found what JSON cannot hold ({error})") from error


def _parsed(path: Path, text: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: meta: found invalid JSON ({error})") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: meta: found JSON of {type(value).__name__}, expected an object")
    return value


def _check_header(path: Path, header: Mapping[str, Any]) -> None:
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path}: is not a checkpoint of bp.save or 'pybackprop train --save'")
    if header.get("version") != VERSION:
        raise CheckpointError(f"{path}: version: found {header.get('version')}, expected {VERSION}")


# ---- where it goes ----


def _target(path: str | Path) -> Path:
    """The file that path stands for, links followed. Raises CheckpointError if it cannot be written."""
    try:
        target = Path(os.path.realpath(path))
        reason = _obstacle(target)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _cannot_be("written", path, error) from error
    if reason:
        raise CheckpointError(f"{path}: cannot be written: {reason}")
    return target


def _obstacle(target: Path) -> str:
    if not target.parent.is_dir():
        return f"there is no folder {target.parent}"
    if target.is_symlink():
        return "it is a link that leads to itself"
    if target.is_dir():
        return "it is a folder"
    exists = target.exists()
    if exists and not target.is_file():
        return "it is not a regular file"  # a rename would replace a device or pipe by a file
    if not os.access(target.parent, os.W_OK) or (exists and not os.access(target, os.W_OK)):
        return "no permission"
    return ""


def _cannot_be(done: str, path: str | Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: cannot be {done}: {getattr(error, 'strerror', None) or error}")


# ---- the two formats ----


def _writer(path: str | Path) -> Callable[[IO[bytes], dict[str, Array], dict[str, str]], None]:
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        return _write_npz
    if suffix == ".safetensors":
        _safetensors(path)
        return _write_safetensors
    raise CheckpointError(f"{path}: found a name that ends in {suffix!r}, expected .safetensors or .npz")


def _write_npz(stream: IO[bytes], arrays: dict[str, Array], header: dict[str, str]) -> None:
    files.write_npz(stream, {HEADER: np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays})


def _write_safetensors(stream: IO[bytes], arrays: dict[str, Array], header: dict[str, str]) -> None:
    from safetensors.numpy import save as as_bytes

    stream.write(as_bytes(arrays, header))


def _reader(path: Path) -> Callable[[Path], tuple[dict[str, Array], Mapping[str, Any]]]:
    with open(path, "rb") as stream:
        start = stream.read(9)
    if start.startswith(b"PK"):
        return _read_npz
    if start[8:] == b"{":  # after the 8 bytes of the header's length
        return _read_safetensors
    found = f"a file that starts with {start!r}" if start else "an empty file"
    raise CheckpointError(f"{path}: found {found}, expected a checkpoint (.safetensors or .npz)")


def _read_npz(path: Path) -> tuple[dict[str, Array], Mapping[str, Any]]:
    with open(path, "rb") as stream, zipfile.ZipFile(stream) as archive:
        promised, size = sum(info.file_size for info in archive.infolist()), os.fstat(stream.fileno()).st_size
    if promised > size:
        raise ValueError(f"its members hold {promised} bytes, the file {size}; they are compressed or overlap")
    arrays = files.read_npz(path, stored_only=True)
    written = arrays.pop(HEADER, None)
    header = {} if written is None else _parsed(path, written.tobytes())
    _check_header(path, header)
    return arrays, header


def _read_safetensors(path: Path) -> tuple[dict[str, Array], Mapping[str, Any]]:
    with _safetensors(path).safe_open(path, framework="np") as opened:
        header = opened.metadata() or {}
        _check_header(path, header)
        return {name: np.array(opened.get_tensor(name)) for name in opened.keys()}, header  # noqa: SIM118


def _safetensors(path: str | Path) -> Any:
    try:
        import safetensors
    except ImportError as error:
        raise CheckpointError(f"{path}: {NO_SAFETENSORS}") from error
    return safetensors
