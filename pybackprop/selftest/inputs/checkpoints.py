"""Checkpoints: damaged bytes, which must not pass for the file that was written, and whole files that hold nonsense."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pybackprop.core.errors import CheckpointError, OutOfMemoryError
from pybackprop.engine.model import Model, mlp
from pybackprop.nn.layers import CrossEntropy, Tanh
from pybackprop.nn.optim import SGD, Adam, Optimizer
from pybackprop.selftest.case import INPUTS, Case, kind
from pybackprop.selftest.draw import Draw
from pybackprop.selftest.inputs.expect import ended
from pybackprop.selftest.inputs.mutate import damaged
from pybackprop.train import checkpoint, model_file
from pybackprop.train.trainer import settings_of

ERRORS = (CheckpointError, OutOfMemoryError)
NAMES = (
    "w1", "b1", "w2", "b2", "w3", "w03", "w²", "w", "b", "velocity.w1", "velocity.b9", "exp_avg.w1", "exp_avg_sq.b2",
    "x", "", "w1 ", "w-1", "é",
)  # fmt: skip
KEYS = ("settings", "description", "layers", "loss", "optimizer", "frozen", "kind")
ODD: tuple[Any, ...] = (
    None, True, 0, 1, -1, 2**70, 1.5, float("nan"), float("inf"), "", "mlp", "layers", "Lin", "float16", [], {}, [[]],
    {"layer": "Lin"}, {"layer": "Relu"}, {"layer": "Activation", "operation": "relu"}, ["w1"], ["w9"], "w1",
    "Mse", "CrossEntropy", "Loss", "Tanh",
)  # fmt: skip


def _whole(folder: Path, of_classes: bool = False) -> tuple[bytes, Any]:
    """The bytes of a checkpoint, and what was written to it; written once for a folder."""
    path, model = folder / ("classes.npz" if of_classes else "whole.npz"), mlp([3, 2, 2], seed=1)
    optimizer: Optimizer = SGD(model, lr=0.1, momentum=0.9)
    if of_classes:
        model, optimizer = Model([model.layers[0], Tanh(), model.layers[2]], loss=CrossEntropy()), Adam(model)
    if not path.exists():
        model_file.save(model, path, optimizer=optimizer)
    arrays = {str(p.name): p.data for p in model.parameters()}
    kept = {f"{kind}.{name}": np.zeros_like(array) for kind in optimizer.STATE for name, array in arrays.items()}
    return path.read_bytes(), (arrays | kept, checkpoint.load(path)[1])


@kind("checkpoint bytes", 4, INPUTS)
def bytes_case(case: Case) -> None:
    content, (arrays, meta) = _whole(case.folder)
    changed = damaged(case.draw, content)
    path = case.folder / "damaged.npz"
    path.write_bytes(changed)
    found = ended(case, partial(checkpoint.load, path), *ERRORS)
    case.check.true("a whole checkpoint is refused", found is not None or changed != content)
    if found is not None:
        case.check.true("another meta than was written", found[1] == meta)
        case.check.true("other names than were written", found[0].keys() == arrays.keys())
        for name, array in arrays.items():
            case.check.same(name, found[0][name], array)


@kind("checkpoint content", 3, INPUTS)
def content_case(case: Case) -> None:
    """Any arrays and any meta, in a file that is whole: the sha256 is right."""
    draw, path = case.draw, case.folder / "content.npz"
    path.unlink(missing_ok=True)
    _, (arrays, meta) = _whole(case.folder, draw.maybe(0.5))
    arrays = dict(arrays)
    for _ in range(draw.between(0, 3)):
        if arrays and draw.maybe(0.4):
            arrays.pop(draw.one_of(list(arrays)))
        else:
            shape = tuple(draw.between(0, 3) for _ in range(draw.between(0, 3)))
            arrays[draw.one_of(NAMES)] = np.ones(shape, draw.one_of(("f4", "f4", "f8")))
    meta = _nonsense(draw, json.loads(json.dumps(meta)))
    draw.note("arrays", {name: (array.shape, str(array.dtype)) for name, array in arrays.items()})
    draw.note("meta", meta)
    if ended(case, partial(checkpoint.save, path, arrays, meta), CheckpointError) is None and not path.exists():
        return
    model = ended(case, partial(model_file.load, path), *ERRORS)
    if model is not None:
        case.check.true("a model without layers", model.parameters())
        ended(case, partial(model.predict, np.ones((2, model.parameters()[0].shape[0]), "f4")), ValueError, TypeError)
    ended(case, partial(model_file.load, path, with_optimizer=True), *ERRORS)
    ended(case, lambda: model_file.read(path).description, *ERRORS)
    ended(case, partial(settings_of, path), *ERRORS)


def _nonsense(draw: Draw, value: Any) -> Any:
    """The same with some parts of it lost or replaced."""
    if draw.maybe(0.06):
        return draw.one_of(ODD)
    if isinstance(value, dict):
        kept = {key: _nonsense(draw, part) for key, part in value.items() if not draw.maybe(0.04)}
        if draw.maybe(0.15):
            kept[draw.one_of(KEYS)] = draw.one_of(ODD)
        return kept
    return [_nonsense(draw, part) for part in value] if isinstance(value, list) else value
