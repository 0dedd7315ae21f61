"""Checkpoints: named arrays and what to know about them, in a .safetensors or .npz file.

A file is written under a temporary name (.NAME.….tmp) beside its place, flushed to the disk and renamed:
whenever the process is killed, the old or the new file is there, whole. It carries a sha256 of its content.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from pybackprop import npy
from pybackprop._native import FLOAT32, FLOAT64
from pybackprop.convert import Array
from pybackprop.errors import CheckpointError

__all__ = ["check_place", "digest", "load", "save"]

FORMAT, VERSION = "pybackprop checkpoint", "1"
HEADER = "__pybackprop__"  # the member of a .npz that holds what safetensors keeps as metadata
NO_SAFETENSORS = "needs the library safetensors (pip install 'pybackprop[safetensors]'); or use a .npz"


def digest(arrays: Mapping[str, Array]) -> str:
    """sha256 over names, dtypes, shapes and little-endian bytes, by name: the same on every machine.

    Every NaN counts as the same one.
    """
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.array(arrays[name], arrays[name].dtype.newbyteorder("<"), order="C")
        array[np.isnan(array)] = np.nan
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def check_place(path: str | Path) -> None:
    """Raises CheckpointError for a path that `save` could not write to, as far as can be known before."""
    _writer(path)
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise CheckpointError(f"{path}: cannot be written: there is no folder {target.parent}")
    if target.is_dir() or not os.access(target.parent, os.W_OK):
        raise CheckpointError(f"{path}: cannot be written: {'it is a folder' if target.is_dir() else 'no permission'}")


def save(path: str | Path, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Writes arrays of float32 and float64 by name, and meta, which JSON must be able to say.

    path ends in .safetensors (with that library) or .npz; a link is followed. Raises CheckpointError, and
    leaves what was there, if it cannot be written.
    """
    write = _writer(path)
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    told = json.dumps(meta)
    header = {"format": FORMAT, "version": VERSION, "meta": told, "sha256": _integrity(whole, told)}
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "wb") as stream:
            write(stream, whole, header)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
        _sync(target.parent)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def load(path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """(arrays by name, meta) of a file that `save` wrote, whatever its name. Raises CheckpointError."""
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            start = stream.read(2)
        arrays, header = _read_npz(path) if start == b"PK" else _read_safetensors(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path}: is no checkpoint of 'pybackprop train --save'")
    if header.get("version") != VERSION:
        raise CheckpointError(f"{path}: version: found {header.get('version')}, expected {VERSION}")
    for name, array in arrays.items():
        if array.dtype not in (FLOAT32, FLOAT64):
            raise CheckpointError(f"{path}: {name}: found {array.dtype}, expected float32 or float64")
    told = str(header.get("meta"))
    if header.get("sha256") != _integrity(arrays, told):
        raise CheckpointError(f"{path}: is damaged: its content does not have the sha256 that it was written with")
    meta: dict[str, Any] = json.loads(told)
    return arrays, meta


def _integrity(arrays: Mapping[str, Array], told: str) -> str:
    return hashlib.sha256(f"{digest(arrays)} {told}".encode()).hexdigest()


def _sync(folder: Path) -> None:
    """Makes the rename itself durable, where folders can be flushed."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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
    npy.write_npz(stream, {HEADER: np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays})


def _write_safetensors(stream: IO[bytes], arrays: dict[str, Array], header: dict[str, str]) -> None:
    from safetensors.numpy import save as as_bytes

    stream.write(as_bytes(arrays, header))


def _read_npz(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    try:
        arrays = npy.read_npz(path, stored_only=True)
        header = json.loads(arrays.pop(HEADER, np.zeros(0, np.uint8)).tobytes() or b"{}")
    except ValueError as error:
        raise CheckpointError(f"{path}: is damaged or no checkpoint: {error}") from error
    return arrays, header if isinstance(header, dict) else {}


def _read_safetensors(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    library = _safetensors(path)
    try:
        with library.safe_open(path, framework="np") as opened:
            return {name: np.array(opened.get_tensor(name)) for name in opened.keys()}, opened.metadata() or {}  # noqa: SIM118
    except (library.SafetensorError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: is damaged or no checkpoint: {error}") from error


def _safetensors(path: str | Path) -> Any:
    try:
        import safetensors
    except ImportError as error:
        raise CheckpointError(f"{path}: {NO_SAFETENSORS}") from error
    return safetensors
