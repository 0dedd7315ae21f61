""".sum and .mean over one axis, several, or all, and their gradients. In C: csrc/ops/sum.c.

A sum is added as the gradient of a bias is over its rows: in segments, in a fixed order. So out.g.sum(0) has the bits
of b.g. In the lesson's spelling, dim is axis and keepdim is keepdims.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from pybackprop.autograd.tape import Sink, record
from pybackprop.autograd.tensor import Axis, Tensor, wrap
from pybackprop.core import arithmetic
from pybackprop.core.arithmetic import total, with_number
from pybackprop.core.errors import ShapeError
from pybackprop.ops.op import Op, attach, register

__all__ = ["MEAN", "SUM", "mean", "sum"]


def sum(self: Tensor, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False) -> Tensor:
    """The sum over one axis, several, or all (None). dim and keepdim are the lesson's names for axis and keepdims.

    b.g = out.g.sum(0), as b was broadcast over the rows. Raises ValueError for an axis that does not exist.
    """
    return _sum(self, _axes(self, dim if axis is None else axis), keepdims or keepdim)


def mean(self: Tensor, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False) -> Tensor:
    """The mean, with arguments as for `sum`. Raises ShapeError for a tensor without elements."""
    if self.size == 0:
        raise ShapeError(f".mean: the mean of no elements is not defined (shape {self.shape})")
    return _mean(self, _axes(self, dim if axis is None else axis), keepdims or keepdim)


def _axes(tensor: Tensor, axis: Axis) -> tuple[int, ...]:
    """The axes, not negative and ascending. Raises ValueError for one that does not exist, or is there twice."""
    if axis is None:
        return tuple(range(tensor.ndim))
    given = [operator.index(one) for one in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    for one in given:
        if not -tensor.ndim <= one < tensor.ndim:
            raise ValueError(f"axis {one} does not exist: the tensor has {tensor.ndim} dimensions")
    axes = sorted(one % tensor.ndim for one in given)
    if len(set(axes)) < len(axes):
        raise ValueError(f"axis {axis}: the same axis twice")
    return tuple(axes)


def _sum(inp: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    out = wrap(total(inp._array, axes, keepdims))
    return record(out, SUM, (inp,), (), {"axes": axes, "keepdims": keepdims})


def _mean(inp: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    sums = total(inp._array, axes, keepdims)
    out = wrap(with_number(arithmetic.DIVIDE, sums, _count(inp, axes), out=sums))
    return record(out, MEAN, (inp,), (), {"axes": axes, "keepdims": keepdims})


def _count(inp: Tensor, axes: tuple[int, ...]) -> int:
    return math.prod(inp.shape[axis] for axis in axes)


def _sum_backward(
    inputs: Sequence[Tensor], saved: Any, dout: Tensor, sink: Sink, axes: tuple[int, ...], keepdims: bool
) -> None:
    _spread(inputs[0], dout._array, sink, axes)


def _mean_backward(
    inputs: Sequence[Tensor], saved: Any, dout: Tensor, sink: Sink, axes: tuple[int, ...], keepdims: bool
) -> None:
    if sink.wants(inputs[0]):
        _spread(inputs[0], with_number(arithmetic.DIVIDE, dout._array, _count(inputs[0], axes)), sink, axes)


def _spread(inp: Tensor, dout: Any, sink: Sink, axes: tuple[int, ...]) -> None:
    """Each element that was summed gets the gradient of its sum."""
    kept = tuple(1 if axis in axes else length for axis, length in enumerate(inp.shape))
    sink.put(inp, lambda into: np.copyto(into._array, dout.reshape(kept)))


SUM = register(
    Op(
        ".sum",
        _sum,
        _sum_backward,
        operands=("inp",),
        equation="out = Σ inp",
        gradients=("out.g, for each element that was summed",),
        references=("sum",),
    )
)
MEAN = register(
    Op(
        ".mean",
        _mean,
        _mean_backward,
        operands=("inp",),
        equation="out = Σ inp / count",
        gradients=("out.g / count, for each element that was summed",),
        references=("sum", "arithmetic"),
    )
)
attach("sum", sum)
attach("mean", mean)
