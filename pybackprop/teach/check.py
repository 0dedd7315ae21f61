"""Check: the element is moved by h to either side, in double, and the loss looked at. It trusts no derivative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pybackprop.storage import Storage
from pybackprop.teach.again import Double, Values
from pybackprop.teach.find import Network

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


def measure(network: Network, tensor: Storage, at: tuple[int, ...], total: float) -> Check:
    """Compares total, the gradient of one element, with what happens to the loss when the element moves."""
    double = Double(network, tensor)
    here = double.result(double.values)
    size = max(1.0, abs(float(tensor._array[at])))
    h = first = FIRST_STEP * size
    while True:
        below, above = double.moved(at, -h), double.moved(at, h)
        kink = _kink(network, below, double.values, above)
        if not kink or h <= LAST_STEP * size:
            break
        h = h / 10
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


def _kink(network: Network, *values: Values) -> str:
    """The first relu element that is positive at one of these places and not at another; empty if there is none."""
    for op in network:
        if op.kind in ("relu", "relu_"):
            on = [found[id(op.inputs[0])] > 0 for found in values]
            bent = np.argwhere((on[0] != on[1]) | (on[1] != on[2]))
            if len(bent):
                return f"{network.name(op.inputs[0])}[{','.join(map(str, bent[0]))}]"
    return ""


def _flipped(network: Network, values: Values) -> int:
    relus = [op for op in network if op.kind in ("relu", "relu_")]
    return sum(int(((values[id(op.inputs[0])] > 0) != (op.output._array > 0)).sum()) for op in relus)
