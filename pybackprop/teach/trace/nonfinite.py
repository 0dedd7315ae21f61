"""Bad: where a NaN or an infinity first arose, in the order of the forward pass, and then of the backward pass."""

from __future__ import annotations

import numpy as np

from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.teach.explain.prose import element
from pybackprop.teach.trace.gradients import Walk
from pybackprop.teach.trace.graph import Network


def first_bad(walk: Walk) -> str:
    """A note that names the first element that is no finite number; empty if there is none."""
    return _forward(walk.network) or _backward(walk)


def _forward(network: Network) -> str:
    seen: set[int] = set()
    for op in network:
        for tensor in (*op.inputs, op.output):
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            if at := _where(tensor._array):
                return _said(network, tensor, at[0], op.kind if tensor is op.output else "")
    return ""


def _said(network: Network, tensor: Tensor, at: tuple[int, ...], kind: str) -> str:
    value, name = float(tensor._array[at]), element(network.name(tensor), at)
    if not kind:
        return f"{name} is {value}: it was there before anything was computed. {_spreads(value)}"
    return (
        f"{name} is {value}, the first in the order of the forward pass: '{kind}' made it from finite numbers, which "
        f"grew past what {tensor.dtype} can hold. {_spreads(value)}"
    )


def _spreads(value: float) -> str:
    if np.isnan(value):
        return "All that is computed from it is no number either."
    return "All that is computed from it is infinite or no number, unless it is -inf and a relu makes 0 of it."


def _backward(walk: Walk) -> str:
    for op in reversed(walk.network.operations):
        for tensor in (op.output, *op.inputs):
            found = walk.buffers.get(id(tensor))
            if found is not None and (at := _where(found._array)):
                name = element(f"{walk.network.name(tensor)}.g", at[0])
                return (
                    f"the forward pass is all finite; {name} is {float(found._array[at[0]])}, the first in the order "
                    f"of the backward pass, at '{op.kind}'."
                )
    return ""


def _where(array: Array) -> list[tuple[int, ...]]:
    """[the index of the first element that is not finite], or nothing."""
    bad = ~np.isfinite(array)
    return [tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), array.shape))] if bad.any() else []
