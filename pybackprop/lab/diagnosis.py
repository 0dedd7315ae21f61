"""Why a product's last bits differ: which other order of additions gives exactly what a kernel gave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.lab.operation import Arrays, Operation

MOSTLY = 0.99  # share of the elements that must agree
LANES = (2, 4, 8, 16, 32, 64)


def order(op: Operation, inputs: Arrays, found: Array) -> str:
    """How a product's sums seem to have been added; "" if no order that is known here gives these bits."""
    if op.factors is None:
        return ""
    left, right = (np.ascontiguousarray(factor) for factor in op.factors(inputs))
    bias = inputs["b"] if "b" in {a.name for a in op.inputs if a.shape == ("h",)} else None
    with np.errstate(all="ignore"):
        for text, result in _orders(left, right):
            total = result if bias is None else result + bias
            if total.size and np.mean(total.astype(found.dtype) == found) >= MOSTLY:
                return text
    return ""


def _orders(left: Array, right: Array) -> Iterator[tuple[str, Array]]:
    count = left.shape[1]
    yield (
        "each product is rounded before it is added: write fma() or fmaf(), as the definition does",
        _chain(_rounded_twice, left, right, range(count)),
    )
    yield (
        "the terms are added from the last to the first",
        _chain(_fused, left, right, reversed(range(count))),
    )
    yield (
        "each sum is one chain: the definition starts a new one every 512 rows",
        _chain(_fused, left, right, range(count)),
    )
    yield "the sums are double, and rounded once", left.astype(np.float64) @ right.astype(np.float64)
    for step, how in ((_fused, ""), (_rounded_twice, ", and products are rounded before they are added")):
        for lanes in LANES:
            parts = [_chain(step, left, right, range(lane, count, lanes)) for lane in range(lanes)]
            for total in _combined(parts):
                yield f"each sum is split into {lanes} that run side by side: it is reassociated{how}", total


def _chain(step: Callable[[Array, Array, Array], Array], left: Array, right: Array, terms: Iterable[int]) -> Array:
    total = np.zeros((len(left), right.shape[1]), left.dtype)
    for k in terms:
        total = step(total, np.ascontiguousarray(left[:, k]), right[k])
    return total


def _rounded_twice(total: Array, column: Array, row: Array) -> Array:
    rounded: Array = total + column[:, None] * row
    return rounded


def _fused(total: Array, column: Array, row: Array) -> Array:
    rows, cols = total.shape
    c, a, b = (native.pointer(array) for array in (total, column, row))
    native.check(native.ref_matmul[total.dtype](c, cols, a, 1, b, cols, rows, 1, cols, 0, 0, 1))
    return total


def _combined(parts: list[Array]) -> Iterator[Array]:
    """The total of lanes: one after another, and in halves."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    yield total
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [a + b for a, b in zip(parts[:half], parts[half:], strict=True)]
    yield parts[0]
