"""Exported: a network with its numbers as plain data, for the page to compute with."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pybackprop.errors import GradientError
from pybackprop.storage import Storage
from pybackprop.teach.explanation import largest
from pybackprop.teach.find import Network, Operation
from pybackprop.teach.gradients import Walk
from pybackprop.teach.moves import Index


def html(walk: Walk, tensor: Storage, at: Index) -> str:
    """The page, with one element chosen. Raises GradientError for steps that the page cannot compute."""
    page = import_module("pybackprop.teach.page")
    made: str = page.html_of(scene(walk, tensor, at))
    return made


def scene(walk: Walk, tensor: Storage, at: Index) -> dict[str, Any]:
    """Layers by the names of their tensors, tensors with shape, numbers and gradient, and what is selected.

    For the loss that is the first parameter's element with the largest gradient.
    """
    network = walk.network
    layers = _layers(network)
    shown = {name for layer in layers for place, name in layer.items() if place != "op" and name is not None}
    tensors = {network.name(t): t for op in network for t in (*op.inputs, op.output)}
    rows = network.operations[0].inputs[0].shape[0]
    if tensor is network.root:
        tensor = next(leaf for leaf in network.leaves() if leaf.requires_g)
        at = largest(walk.of(tensor))
    return {
        "dtype": str(network.root.dtype),
        "n": rows,
        "layers": layers,
        "tensors": {name: _tensor(t, walk) for name, t in tensors.items() if name in shown},
        "selected": [network.name(tensor), list(at)],
    }


def _tensor(tensor: Storage, walk: Walk) -> dict[str, Any]:
    g = walk.buffers.get(id(tensor))
    return {
        "shape": list(tensor.shape),
        "data": tensor._array.ravel().tolist(),
        "g": None if g is None else g._array.ravel().tolist(),
    }


def _layers(network: Network) -> list[dict[str, Any]]:
    """lin, relu and mse; x @ w followed by + b is lin."""
    layers: list[dict[str, Any]] = []
    for op in network:
        names, out = [network.name(given) for given in op.inputs], network.name(op.output)
        if op.kind in ("lin", "@"):
            x, w, *b = names
            layers.append({"op": "lin", "in": x, "w": w, "b": b[0] if b else None, "out": out})
        elif op.kind == "+" and layers and _is_bias(op, layers[-1], names):
            layers[-1] |= {"b": names[1], "out": out}
        elif op.kind in ("relu", "relu_"):
            layers.append({"op": "relu", "in": names[0], "out": out})
        elif op.kind == "mse":
            layers.append({"op": "mse", "in": names[0], "targ": names[1], "out": out})
        else:
            raise GradientError(f"explain: the page computes lin, relu and mse, and this network has '{op.kind}'")
    return layers


def _is_bias(op: Operation, before: dict[str, Any], names: list[str]) -> bool:
    is_row = len(op.inputs) == 2 and op.inputs[1].ndim == 1
    return is_row and before["op"] == "lin" and before["b"] is None and before["out"] == names[0]
