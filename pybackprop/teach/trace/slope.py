"""Check: the element is moved by h to either side, in double, and the loss looked at. It trusts no derivative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.teach.explain.prose import element
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.replay import Double, Values

FIRST_STEP = 1e-4  # times max(1, |element|). Between kinks the loss is a parabola, for which any h is exact
LAST_STEP = 1e-9  # times the same


@dataclass(frozen=True)
class Check:
    """slope: measured. error: (total - slope) / |slope|, signed. h: how far the element was moved.

    kink: a relu element at whose corner the element sits, however small h is; then the slopes of both sides are given.
    flipped: how many relu elements are on the other side of 0 in double than in the network's own dtype.
    """

    slope: float
    error: float
    h: float
    left: float
    right: float
    kink: str = ""
    shrunk: bool = False
    flipped: int = 0


def measure(network: Network, tensor: Tensor, at: tuple[int, ...], total: float, values: Values) -> Check:
    """Compares total, the gradient of one element, with what happens to the loss when the element moves.

    values: those of in_double.
    """
    double = Double(network, tensor, values)
    here = double.result(double.values)
    size = max(1.0, abs(float(tensor._array[at])))
    h = first = FIRST_STEP * size
    below, above = double.moved(at, -h), double.moved(at, h)
    while (corner := _first_corner(network, below, double.values, above)) and h > LAST_STEP * size:
        h = max(LAST_STEP * size, 0.5 * h * min(corner[1], 0.5))
        below, above = double.moved(at, -h), double.moved(at, h)
    kink = corner[0] if corner else ""
    left = (here - double.result(below)) / h
    right = (double.result(above) - here) / h
    slope = (double.result(above) - double.result(below)) / (2 * h)
    return Check(
        slope, _error(total, slope, here, h), h, left, right, kink, h < first, _flipped(network, double.values)
    )


def _error(total: float, slope: float, loss: float, h: float) -> float:
    """Signed and relative. A slope below what double can resolve at this loss counts as 0."""
    noise = 4 * float(np.finfo(np.float64).eps) * abs(loss) / h
    if abs(total - slope) <= noise and abs(slope) <= 100 * noise:
        return 0.0
    return (total - slope) / abs(slope) if slope else float(np.copysign(np.inf, total))


def _first_corner(network: Network, below: Values, here: Values, above: Values) -> tuple[str, float] | None:
    """The relu element that is the first to cross 0 on the way, and at which part of the way; None if there is none.

    On a straight line: what is computed before the first relu moves on one.
    """
    for op in network:
        if op.kind in ("relu", "relu_") and here[id(op.inputs[0])] is not above[id(op.inputs[0])]:
            found = [_crossing(here[id(op.inputs[0])], end[id(op.inputs[0])]) for end in (below, above)]
            part, index = min(found)
            if part < np.inf:
                return element(network.name(op.inputs[0]), index), part
    return None


def _crossing(start: Array, end: Array) -> tuple[float, tuple[int, ...]]:
    """At which part of the way from start to end the first element is at 0, and its index; infinity if none crosses."""
    crossed = np.argwhere((start > 0) != (end > 0))
    if not len(crossed):
        return np.inf, ()
    places = tuple(crossed.T)
    parts = np.abs(start[places]) / np.abs(end[places] - start[places])
    first = int(np.argmin(parts))
    return float(parts[first]), tuple(int(i) for i in crossed[first])


def _flipped(network: Network, values: Values) -> int:
    relus = [op for op in network if op.kind in ("relu", "relu_")]
    return sum(int(((values[id(op.inputs[0])] > 0) != (op.output._array > 0)).sum()) for op in relus)
