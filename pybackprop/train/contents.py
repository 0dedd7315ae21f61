"""Checks of what a checkpoint tells: names and shapes of its arrays, the description of the data, the progress.

A file with a right sha256 may still be another program's, edited, or from another version. All raise CheckpointError.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pybackprop.core.arrays import Array
from pybackprop.core.checks import is_whole, whole
from pybackprop.core.errors import CheckpointError
from pybackprop.data import MISSING, Description
from pybackprop.data.description import shortened
from pybackprop.nn.optim import OPTIMIZERS, optimizer_of

REMEDY = "save it again, with bp.save or 'pybackprop train --save', or take another copy of the file"
STATES = {name for kind in OPTIMIZERS.values() for name in kind.STATE}
UNUSABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)  # what wrong JSON raises


def unusable(path: str | Path, why: str) -> CheckpointError:
    """The error for a file whose content cannot be used, with the remedy."""
    return CheckpointError(f"{path}: {why}; {REMEDY}")


def count_weights(arrays: Mapping[str, Array]) -> int:
    """How many arrays are named as weights: w1, w2, ..."""
    return sum(re.fullmatch("w[1-9][0-9]*", name) is not None for name in arrays)


def check_arrays(path: str | Path, arrays: Mapping[str, Array], lins: int) -> None:
    """Checks that the arrays are the w (m,h), b (h) or no b, and the momentum of so many Lins that fit each other."""
    parameters = {f"{letter}{k}" for k in range(1, lins + 1) for letter in "wb"}
    unknown = [name for name in arrays if _parameter_of(name) not in parameters]
    if unknown:
        raise unusable(
            path, f"found {shortened(unknown)}, which no layer has: {lins} Lin have w1, b1 to w{lins}, b{lins}"
        )
    inputs, dtype = None, None
    for k in range(1, lins + 1):
        w, b = arrays.get(f"w{k}"), arrays.get(f"b{k}")
        if w is None:
            raise unusable(path, f"w{k}: found nothing, expected the weights of a Lin")
        dtype = dtype or w.dtype
        if w.ndim != 2 or not w.size or w.shape[0] != (inputs or w.shape[0]):
            raise unusable(path, f"w{k}: found shape {w.shape}, expected ({inputs or 'inputs'}, outputs), from 1")
        inputs = w.shape[1]
        if b is not None and b.shape != (inputs,):
            raise unusable(path, f"b{k}: found shape {b.shape}, expected {(inputs,)}")
    for name, array in arrays.items():
        p = arrays.get(_parameter_of(name))
        if p is None or array.shape != p.shape or array.dtype != dtype:
            expected = "no momentum of what is not there" if p is None else f"{dtype} {p.shape}"
            raise unusable(path, f"{name}: found {array.dtype} {array.shape}, expected {expected}")


def _parameter_of(name: str) -> str:
    """The parameter that an array is, or that it is the momentum or a moment of."""
    kind, dot, rest = name.partition(".")
    return rest if dot and kind in STATES else name


OPTIMIZER_NAMES = {name.lower(): name for name in OPTIMIZERS}  # as the command line writes them


def optimizer_of_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The kind and all options of the optimizer that the command line's settings describe. Raises ValueError."""
    kind = OPTIMIZER_NAMES[settings.get("optimizer", "sgd")]
    given = {"lr": settings["lr"], "weight_decay": settings.get("weight_decay", 0.0)}
    given |= {"momentum": settings["momentum"], "nesterov": settings.get("nesterov", False)}
    options = {name: value for name, value in given.items() if name in OPTIMIZERS[kind].OPTIONS}
    return {"kind": kind, **optimizer_of(kind, None, options).options()}


def whole_steps(value: Any) -> int:
    """An optimizer's count of steps. Raises ValueError for what is none."""
    return whole("steps", value, 0, 2**63)


def check_description(path: str | Path, d: Description, inputs: int, outputs: int) -> None:
    """Checks that a description is of data with so many features, for a model with so many outputs."""
    wide = {"columns": (d.columns, d.cells), "means": (d.scaling.mean, inputs), "fillings": (d.fill, inputs)}
    faults = [f"{len(found)} {name}" for name, (found, count) in wide.items() if len(found) not in (0, count)]
    encoded = sum(len(known) or 1 for known in d.categories) or d.features
    if d.features != inputs or encoded != inputs:
        faults.append(f"{encoded} features")
    if d.missing not in (None, *MISSING):
        faults.append(f"{d.missing!r} for missing cells")
    if d.classifies and len(d.labels) > outputs:
        faults.append(f"{len(d.labels)} labels")
    if d.scaling.kind == "standard" and not d.scaling.mean:
        faults.append("no means")
    if d.target_scaling.kind == "standard" and len(d.target_scaling.mean) not in (1, outputs):
        faults.append(f"{len(d.target_scaling.mean)} means of targets")
    if not all(isinstance(label, (str, int)) for label in d.labels):
        faults.append("labels that are neither texts nor whole numbers")
    numbers = (*d.scaling.mean, *d.scaling.deviation, *d.target_scaling.mean, *d.target_scaling.deviation, *d.fill)
    if not all(map(math.isfinite, numbers)):
        faults.append("numbers that are not finite")
    if faults:
        raise unusable(
            path,
            f"its description of the data has {', '.join(faults)}, its model {inputs} inputs and {outputs} outputs",
        )


def check_progress(path: str | Path, meta: Mapping[str, Any]) -> tuple[int, list[float], list[float | None]]:
    """(epochs done, losses, accuracies) of a training, one of each for each epoch."""
    told: list[Any] = [meta.get(name) for name in ("epoch", "losses", "accuracies")]
    epoch, losses, accuracies = told
    lists = isinstance(losses, list) and isinstance(accuracies, list)
    if not lists or not is_whole(epoch, 0) or not len(losses) == len(accuracies) == epoch:
        raise unusable(path, "epoch, losses, accuracies: expected the number of epochs, and as many of the others")
    if not all(isinstance(number, (int, float)) for number in (*losses, *(a for a in accuracies if a is not None))):
        raise unusable(path, "losses, accuracies: expected numbers")
    return epoch, losses, accuracies
