"""load_weights: a model's parameters from a file that another program wrote, such as PyTorch's state dict."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pybackprop.autograd.messages import describe
from pybackprop.autograd.tensor import Tensor
from pybackprop.core import files
from pybackprop.core.arrays import Array, converted
from pybackprop.core.errors import CheckpointError
from pybackprop.core.suggestions import suggest_among
from pybackprop.data.description import shortened
from pybackprop.engine.model import Model
from pybackprop.nn.layers import Lin

__all__ = ["load_weights"]

Names = Mapping[str, str] | Callable[[str], str | None] | None
FLOATS = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}
OTHERS = {
    "BOOL": "?",
    "I8": "i1",
    "U8": "u1",
    "I16": "<i2",
    "U16": "<u2",
    "I32": "<i4",
    "U32": "<u4",
    "I64": "<i8",
    "U64": "<u8",
}
TYPES = FLOATS | OTHERS  # numpy's for those of safetensors; the others may stand beside weights
LONGEST_HEADER = 100_000_000  # bytes, as in the safetensors library


def load_weights(model: Model, path: str | Path, map: Names = None, *, transpose: bool | None = None) -> None:
    """Copies arrays of a .safetensors or .npz file into a model's parameters, all of them or none.

    map        the parameters' names for the file's: a dict, or a function of the file's name. They are w1, b1, w2, ...
               by the order of the Lin layers. None, or no entry in a dict, leaves an array out. Without a map the file
               has the parameters' own names, or one weight (2 axes) and one bias (1 axis) for each Lin, in the order
               of the names' numbers, as PyTorch names them: 0.weight, 0.bias, 2.weight, ...
    transpose  whether weights are (outputs, inputs) in the file, as PyTorch's are, rather than (inputs, outputs).
               None: as their shapes say. Square weights do not tell, so they need True or False

    float16, bfloat16, float32 and float64 are converted to the parameters' dtype. Momentum is left as it is.
    Raises CheckpointError, before anything is written, for a file that cannot be read, for names that are missing,
    unknown or used twice, shapes that do not fit, and square weights without `transpose`; TypeError for what is no
    Model.
    """
    if not isinstance(model, Model):
        raise TypeError(f"load_weights: found {type(model).__name__}, expected a bp.Model")
    if transpose is not None and not isinstance(transpose, bool):
        raise TypeError(f"load_weights: transpose: found {transpose!r}, expected True, False or None")
    parameters = _parameters(path, model)
    arrays = _named(path, _read(Path(path)), parameters, map)
    turned = _is_transposed(path, arrays, parameters) if transpose is None else transpose
    found = {name: _fitting(path, name, arrays[name], p, turned) for name, p in parameters.items()}
    for name, p in parameters.items():
        np.copyto(p._array, found[name])
        p._version.wrote("load_weights")


def _parameters(path: str | Path, model: Model) -> dict[str, Tensor]:
    lins = [layer for layer in model.layers if isinstance(layer, Lin)]
    named = {
        f"{letter}{k}": p
        for k, lin in enumerate(lins, 1)
        for letter, p in (("w", lin.w), ("b", lin.b))
        if p is not None
    }
    missing = [describe(p) for p in model.parameters() if all(p is not other for other in named.values())]
    if missing or not named:
        raise CheckpointError(
            f"{path}: load_weights knows the parameters of Lin layers; the model has {shortened(missing) or 'none'}"
        )
    for name, p in named.items():
        if not p._array.flags.writeable:
            raise CheckpointError(f"{path}: {name} is read-only; make the layer from a copy")
    return named


# ---- names ----


def _named(
    path: str | Path, arrays: dict[str, Array], parameters: Mapping[str, Tensor], names: Names
) -> dict[str, Array]:
    """The file's arrays by the parameters' names."""
    if names is None:
        return arrays if arrays.keys() == parameters.keys() else _by_order(path, arrays, parameters)
    if isinstance(names, Mapping):
        absent = [name for name in names if name not in arrays]
        if absent:
            raise CheckpointError(f"{path}: map: has no {shortened(absent)}; it has {shortened(list(arrays))}")
    rename = names.get if isinstance(names, Mapping) else names
    found: dict[str, Array] = {}
    for name, array in arrays.items():
        new = rename(name)
        if new is None:
            continue
        if new not in parameters:
            raise CheckpointError(
                f"{path}: map: {name!r} became {new!r}, expected one of {', '.join(parameters)}, or None"
                f"{suggest_among(str(new), parameters)}"
            )
        if new in found:
            raise CheckpointError(f"{path}: map: {new} was given two arrays, one of them {name!r}")
        found[new] = array
    absent = [name for name in parameters if name not in found]
    if absent:
        raise CheckpointError(
            f"{path}: map: nothing became {', '.join(absent)}; the file has {shortened(list(arrays))}"
        )
    return found


def _by_order(path: str | Path, arrays: dict[str, Array], parameters: Mapping[str, Tensor]) -> dict[str, Array]:
    """PyTorch's names, PREFIX.weight and PREFIX.bias, of layers that are numbered in order."""
    prefixes = sorted({name.rpartition(".")[0] for name in arrays}, key=_numbers)
    found = {
        f"{letter}{k}": arrays[f"{prefix}.{ending}"]
        for k, prefix in enumerate(prefixes, 1)
        for letter, ending in (("w", "weight"), ("b", "bias"))
        if f"{prefix}.{ending}" in arrays
    }
    numbered = all(_numbers(prefix) for prefix in prefixes) and len({_numbers(p) for p in prefixes}) == len(prefixes)
    if len(found) != len(arrays) or found.keys() != parameters.keys() or not (numbered or len(prefixes) == 1):
        raise CheckpointError(
            f"{path}: cannot tell which array is which parameter: it has {shortened(list(arrays))}, the model "
            f"{', '.join(parameters)}; give map={{'name in the file': 'w1', ...}}"
        )
    return found


def _numbers(prefix: str) -> tuple[int, ...]:
    """The numbers in a name: layers.10 is after layers.2."""
    return tuple(int(part) for part in "".join(c if c.isdecimal() else " " for c in prefix).split())


# ---- shapes ----


def _is_transposed(path: str | Path, arrays: Mapping[str, Array], parameters: Mapping[str, Tensor]) -> bool:
    """Whether the weights are (outputs, inputs). Raises CheckpointError where shapes do not tell."""
    weights = {name: (arrays[name].shape, p.shape) for name, p in parameters.items() if p.ndim == 2}
    square = [name for name, (_, expected) in weights.items() if expected[0] == expected[1]]
    if square:
        raise CheckpointError(
            f"{path}: {', '.join(square)}: square, so shapes do not say whether weights are (outputs, inputs), as "
            "PyTorch's; give transpose=True if they are, or transpose=False for (inputs, outputs)"
        )
    return all(found == expected[::-1] for found, expected in weights.values())


def _fitting(path: str | Path, name: str, array: Array, p: Tensor, transpose: bool) -> Array:
    turned = array.T if transpose and p.ndim == 2 else array
    if turned.shape != p.shape:
        after = " after transposing" if transpose and p.ndim == 2 else ""
        raise CheckpointError(f"{path}: {name}: found shape {turned.shape}{after}, expected {p.shape}")
    if turned.dtype.kind != "f":
        raise CheckpointError(f"{path}: {name}: found {turned.dtype}, expected floating-point numbers")
    return turned if turned.dtype == p.dtype else converted(turned, p.dtype, f"{path}: {name}")


# ---- reading ----


def _read(path: Path) -> dict[str, Array]:
    """The arrays of a .npz or a .safetensors file, whatever its name."""
    try:
        with open(path, "rb") as stream:
            is_zip = stream.read(2) == b"PK"
        return files.read_npz(path) if is_zip else _safetensors(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except files.NpyError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise CheckpointError(f"{path}: is damaged, or neither a .safetensors nor a .npz file: {error}") from error


def _safetensors(path: Path) -> dict[str, Array]:
    """Read without its library, which has no bfloat16 for numpy. Source: huggingface.co/docs/safetensors, "Format"."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(LONGEST_HEADER, len(data) - 8):
        raise ValueError(f"its header would take {length} bytes")
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    body = memoryview(data)[8 + length :]
    return {name: _tensor(name, told, body) for name, told in header.items()}


def _tensor(name: str, told: Mapping[str, Any], body: memoryview) -> Array:
    if told["dtype"] not in TYPES:
        raise ValueError(f"{name} is {told['dtype']}, expected one of {', '.join(TYPES)}")
    start, end = told["data_offsets"]
    if not 0 <= start <= end <= len(body):
        raise ValueError(f"{name} would lie at bytes {start} to {end} of {len(body)}")
    flat: Array = np.frombuffer(body[start:end], TYPES[told["dtype"]])
    if told["dtype"] == "BF16":
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    array: Array = flat.astype(flat.dtype.newbyteorder("="), copy=False).reshape(told["shape"])
    return array
