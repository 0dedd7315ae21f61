"""Where a NaN or an infinity first appeared, in the forward pass or else in the backward pass."""

from __future__ import annotations

import numpy as np

from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.teach.trace.gradients import Walk
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import Index, element


def first_nonfinite(walk: Walk) -> str:
    """A note that names the first element that is not a finite number; empty if there is none."""
    return _forward(walk.network) or _backward(walk)


def _forward(network: Network) -> str:
    seen: set[int] = set()
    for op in network:
        for tensor in (*op.inputs, op.output):
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            at = _first(tensor._array)
            if at is not None:
                return _note(network, tensor, at, op.name if tensor is op.output else "")
    return ""


def _note(network: Network, tensor: Tensor, at: Index, operation: str) -> str:
    value, name = float(tensor._array[at]), element(network.name(tensor), at)
    if not operation:
        return f"{name} is {value}: it was there before anything was computed. {_spreads(value)}"
    return (
        f"{name} is {value}, the first in the order of the forward pass: '{operation}' computed it from finite "
        f"numbers. {_spreads(value)}"
    )


def _spreads(value: float) -> str:
    if np.isnan(value):
        return "A NaN passes through every layer, relu and mse."
    return "It goes on as infinities and NaN, unless it is -inf and a relu turns it into 0."


def _backward(walk: Walk) -> str:
    for op in reversed(walk.network.operations):
        for tensor in (op.output, *op.inputs):
            gradient = walk.of(tensor) if walk.reaches(tensor) else np.empty(0)
            at = _first(gradient)
            if at is not None:
                name = element(f"{walk.network.name(tensor)}.g", at)
                return (
                    f"the forward pass is all finite; {name} is {float(gradient[at])}, the first in the order of the "
                    f"backward pass, at '{op.name}'."
                )
    return ""


def _first(array: Array) -> Index | None:
    """The index of the first element that is not finite."""
    nonfinite = ~np.isfinite(array)
    if not nonfinite.any():
        return None
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(nonfinite)), array.shape))
