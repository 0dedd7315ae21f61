"""Slope: moves an element by h to either side, in double, and compares the loss. It uses no derivative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pybackprop.autograd.tensor import Tensor, param
from pybackprop.core.arrays import Array
from pybackprop.teach.trace.gradients import gradients_from
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import Index, element
from pybackprop.teach.trace.operation import Operation
from pybackprop.teach.trace.replay import Double, Values

FIRST_STEP = 1e-4  # times max(1, |element|). Between kinks the loss is a parabola, for which any h is exact
LAST_STEP = 1e-9  # times max(1, |element|)


@dataclass(frozen=True)
class Check:
    """slope: as measured. error: (total - slope) / |slope|, signed. h: how far the element was moved.

    below, above  the loss with the element moved down and up
    left, right  the one-sided slopes
    kink      an input of relu, or of another function with a corner, that crosses the corner however small h is
    operation the operation with that corner
    shrunk    whether h was made smaller so that no such input crosses its corner
    flipped   how many such inputs are on the other side of their corner in double than in the network's own dtype
    """

    slope: float
    error: float
    below: float
    above: float
    h: float
    left: float
    right: float
    kink: str = ""
    operation: Operation | None = None
    shrunk: bool = False
    flipped: int = 0


@dataclass(frozen=True)
class _Crossing:
    """The first input that crosses the corner of an operation, and at which part of the way."""

    operation: Operation
    part: float
    at: Index


def measure(network: Network, tensor: Tensor, at: Index, total: float, values: Values) -> Check:
    """Compares total, the gradient of one element, with how much the loss changes when the element moves.

    values: the result of in_double.
    """
    double = Double(network, tensor, values)
    here = double.result(double.values)
    size = max(1.0, abs(float(tensor._array[at])))
    h = first = _round(FIRST_STEP * size)
    below, above = double.moved(at, -h), double.moved(at, h)
    while (corner := _first_corner(network, below, double.values, above)) and h > 2 * LAST_STEP * size:
        h = _round(max(LAST_STEP * size, 0.5 * h * min(corner.part, 0.5)))
        below, above = double.moved(at, -h), double.moved(at, h)
    lower, upper = double.result(below), double.result(above)
    left, right, slope = (here - lower) / h, (upper - here) / h, (upper - lower) / (2 * h)
    kink = element(network.name(corner.operation.inputs[0]), corner.at) if corner else ""
    error, flipped = _error(total, slope, here, h), _flipped(network, double.values)
    operation = corner.operation if corner else None
    return Check(slope, error, lower, upper, h, left, right, kink, operation, h < first, flipped)


def _round(h: float) -> float:
    """One digit of it, so that what is printed is the step itself."""
    return float(f"{h:.0e}")


def _error(total: float, slope: float, loss: float, h: float) -> float:
    """Signed and relative. A slope below what double can resolve at this loss counts as 0."""
    noise = 4 * float(np.finfo(np.float64).eps) * abs(loss) / h
    if abs(total - slope) <= noise and abs(slope) <= 100 * noise:
        return 0.0
    return (total - slope) / abs(slope) if slope else float(np.copysign(np.inf, total))


def with_kinks(network: Network) -> list[tuple[Operation, float]]:
    """The operations with a corner, such as relu, and where it is."""
    return [(op, op.kink) for op in network if op.kink is not None]


def _first_corner(network: Network, below: Values, here: Values, above: Values) -> _Crossing | None:
    """The first input to cross a corner on the way; None if there is none.

    Assumes that the inputs move along straight lines, which is true before the first corner.
    """
    for op, kink in with_kinks(network):
        key = id(op.inputs[0])
        if here[key] is not above[key]:
            part, at = min(_crossing(here[key] - kink, end[key] - kink) for end in (below, above))
            if part < np.inf:
                return _Crossing(op, part, at)
    return None


def _crossing(start: Array, end: Array) -> tuple[float, Index]:
    """At which part of the way from start to end the first element reaches 0, and its index; infinity if none does."""
    crossed = np.argwhere((start > 0) != (end > 0))
    if not len(crossed):
        return np.inf, ()
    places = tuple(crossed.T)
    parts = np.abs(start[places]) / np.abs(end[places] - start[places])
    first = int(np.argmin(parts))
    return float(parts[first]), tuple(int(i) for i in crossed[first])


def _flipped(network: Network, values: Values) -> int:
    return sum(_differ(op, kink, values[id(op.inputs[0])]) for op, kink in with_kinks(network))


def _differ(op: Operation, kink: float, values: Array) -> int:
    """How many inputs are on the other side of the corner in double."""
    above = op.output._array > 0 if op.op.inplace else op.inputs[0]._array > kink
    return int(((values > kink) != above).sum())


def slope_at_kink(op: Operation) -> float:
    """The slope that an operation's own backward uses at its corner."""
    corner = param(np.full(1, op.kink))
    result: Tensor = op.op.forward(corner.clone(), **op.params)  # type: ignore[union-attr]
    return float(gradients_from(result)[id(corner)]._array[0])
