"""What a kernel is timed beside: the library's own, numpy, and PyTorch where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from pybackprop.bench.engines.engine import ENTRIES, load
from pybackprop.core import settings
from pybackprop.core.arrays import Array
from pybackprop.lab.operation import Arrays, Operation, Sizes
from pybackprop.lab.operations import MSE, RELU

OURS = "pybackprop"
PLAN = "plan"
NAMES = (OURS, "numpy", "torch")
INSTALLED = {entry.name: entry for entry in ENTRIES}


def installed() -> list[str]:
    """The names of those that can be loaded."""
    return [name for name in NAMES if not INSTALLED[name].missing()]


def prepare(name: str, op: Operation, arrays: Arrays, sizes: Sizes, threads: int) -> Callable[[], Any]:
    """A callable that computes the operation once, into the arrays' outputs where the peer can."""
    settings.set_threads(threads)
    if name == OURS and op.fast is not None:
        return op.fast(arrays, sizes)
    if op.kind:
        engine = load(INSTALLED[PLAN if name == OURS else name].where, threads)
        shapes = _step_shapes(op, arrays) if op.fast is None else {a.name: arrays[a.name] for a in op.inputs}
        call = getattr(engine, op.kind)(**shapes)
        return partial(_first_of, call, engine)
    others: Mapping[str, Callable[[Arrays, int], Callable[[], Any]]] = {"numpy": BY_NUMPY[op], "torch": BY_TORCH[op]}
    return others[name](arrays, threads)


def _first_of(call: Callable[[], Any], engine: Any) -> None:
    """Calls; the engine is held, as its arrays are."""
    call()


def _step_shapes(op: Operation, arrays: Arrays) -> dict[str, Array]:
    """A step's inputs as the engines take them: matrices, and biases that are vectors."""
    columns = {"targ", "w2"}
    return {a.name: arrays[a.name].reshape(-1, 1) if a.name in columns else arrays[a.name] for a in op.inputs}


# ---- what bench's engines do not have ----


def _numpy_relu(arrays: Arrays, threads: int) -> Callable[[], Any]:
    return partial(np.maximum, arrays["x"], 0, out=arrays["out"])


def _numpy_mse(arrays: Arrays, threads: int) -> Callable[[], Any]:
    difference, flat = np.empty_like(arrays["out"]), None
    flat = difference.reshape(-1)

    def call() -> None:
        np.subtract(arrays["out"], arrays["targ"], out=difference)
        arrays["loss"][0] = np.dot(flat, flat) / flat.size

    return call


def _tensors(arrays: Arrays, threads: int) -> tuple[Any, dict[str, Any]]:
    torch = import_module("torch")
    torch.set_num_threads(threads)
    return torch, {name: torch.from_numpy(array) for name, array in arrays.items()}


def _torch_relu(arrays: Arrays, threads: int) -> Callable[[], Any]:
    torch, tensors = _tensors(arrays, threads)
    return partial(torch.clamp, tensors["x"], min=0, out=tensors["out"])


def _torch_mse(arrays: Arrays, threads: int) -> Callable[[], Any]:
    torch, tensors = _tensors(arrays, threads)
    return partial(torch.nn.functional.mse_loss, tensors["out"], tensors["targ"])


BY_NUMPY = {RELU: _numpy_relu, MSE: _numpy_mse}
BY_TORCH = {RELU: _torch_relu, MSE: _torch_mse}
