"""The same numbers in another arrangement: .T, .reshape, slices, .clone, .float and .double, and their gradients.

A view where numpy gives one: it shares its memory, and its version, with the tensor that it shows. The gradient goes
back to where the numbers came from: turned back, in the old shape, or added into zeros at the index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from pybackprop.autograd.tape import Sink, record, record_view
from pybackprop.autograd.tensor import Tensor, plain_index, wrap
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.core.errors import ShapeError
from pybackprop.ops.op import Op, attach, register

__all__ = ["CLONE", "DOUBLE", "FLOAT", "INDEX", "RESHAPE", "TRANSPOSE", "clone", "copy_backward"]


def copy_backward(inp: Tensor, dout: Tensor, sink: Sink) -> None:
    """Passes dout on unchanged, in the shape and dtype of inp."""
    sink.put(inp, lambda into: np.copyto(into._array, dout._array.reshape(inp.shape), casting="same_kind"))


def _backward(inputs: Sequence[Tensor], saved: Sequence[Tensor], dout: Tensor, sink: Sink, **params: Any) -> None:
    copy_backward(inputs[0], dout, sink)


# ---- shapes ----


def transpose(self: Tensor) -> Tensor:
    """The transpose, a view: (m,n) of (n,m). The gradient of x @ w for w is x.T @ out.g."""
    return record_view(self._make(self._array.T, self._version), TRANSPOSE, self)


def _transpose_backward(inputs: Sequence[Tensor], saved: Sequence[Tensor], dout: Tensor, sink: Sink) -> None:
    sink.put(inputs[0], lambda into: np.copyto(into._array, dout._array.T))


def t(self: Tensor) -> Tensor:
    """The transpose, a view. Raises ShapeError for more than two dimensions."""
    if self.ndim > 2:
        raise ShapeError(f".t(): found shape {self.shape}, expected at most two dimensions")
    return transpose(self)


def _as_shape(self: Tensor, shape: tuple[int, ...]) -> Tensor:
    array = self._array.reshape(shape)
    version = self._version if np.may_share_memory(array, self._array) else None
    return record_view(self._make(array, version), RESHAPE, self, {"shape": array.shape})


def reshape(self: Tensor, *shape: int | tuple[int, ...]) -> Tensor:
    """The same numbers in another shape, given as one tuple or as several integers; -1 is inferred.

    A view where the memory allows it, else a copy. Raises ValueError where the sizes differ.
    """
    wanted: Any = shape[0] if len(shape) == 1 else shape
    return _as_shape(self, wanted)


def view(self: Tensor, *shape: int | tuple[int, ...]) -> Tensor:
    """`reshape` under the lesson's name."""
    return reshape(self, *shape)


def flatten(self: Tensor) -> Tensor:
    """The same numbers in one dimension, row by row: (n*m) of (n,m)."""
    return _as_shape(self, (-1,))


def unsqueeze(self: Tensor, dim: int) -> Tensor:
    """A view with an axis of length 1 inserted at dim: (n,1) of (n) for dim=1. Raises ValueError out of range."""
    return _as_shape(self, np.expand_dims(self._array, dim).shape)


def squeeze(self: Tensor, dim: int | None = None) -> Tensor:
    """A view without the axes of length 1; with dim, without that axis if it is of length 1.

    Raises IndexError for an axis that does not exist.
    """
    keeps = dim is not None and self.shape[dim] != 1
    return _as_shape(self, self.shape if keeps else self._array.squeeze(dim).shape)


# ---- elements ----


def getitem(self: Tensor, index: Any) -> Tensor:
    """The elements at integers, slices, None, a Mask or integer arrays, as in numpy; a view where possible."""
    return _at(self, plain_index(index))


def _at(inp: Tensor, index: Any) -> Tensor:
    selected = inp._array[index]
    shares = isinstance(selected, np.ndarray) and np.may_share_memory(selected, inp._array)
    out = wrap(np.asarray(selected), inp._version if shares else None)
    return record_view(out, INDEX, inp, {"index": _kept(index)} if inp.requires_g else {})


def _at_backward(inputs: Sequence[Tensor], saved: Sequence[Tensor], dout: Tensor, sink: Sink, index: Any) -> None:
    sink.put(inputs[0], partial(_scatter, dout._array, index))


def _scatter(dout: Array, index: Any, into: Tensor) -> None:
    """Zeros, and dout added at the index: an element that was taken twice gets the sum of both."""
    array = into._array
    array[...] = 0
    if any(isinstance(part, np.ndarray) for part in (index if isinstance(index, tuple) else (index,))):
        np.add.at(array, index, dout)
    else:
        array[index] = dout


def _kept(index: Any) -> Any:
    """The index as a backward needs it, whatever is written to its arrays in the meantime."""
    if isinstance(index, tuple):
        return tuple(map(_kept, index))
    return np.array(index) if isinstance(index, (np.ndarray, list)) else index


# ---- copies ----


def clone(self: Tensor) -> Tensor:
    """A copy of the same shape and dtype, on the tape: its gradient is passed on unchanged. bp.tensor(t) is off it."""
    return record(self._make(np.array(self._array)), CLONE, (self,))


def to_float(self: Tensor) -> Tensor:
    """This tensor if it is float32, else a float32 copy."""
    return self if self.dtype == native.FLOAT32 else _converted(self, FLOAT, native.FLOAT32)


def to_double(self: Tensor) -> Tensor:
    """This tensor if it is float64, else a float64 copy."""
    return self if self.dtype == native.FLOAT64 else _converted(self, DOUBLE, native.FLOAT64)


def _converted(inp: Tensor, op: Op, dtype: Any) -> Tensor:
    with np.errstate(all="ignore"):
        return record(inp._make(inp._array.astype(dtype)), op, (inp,))


def _registered(name: str, forward: Callable[..., Tensor], backward: Any = _backward, **facts: Any) -> Op:
    facts = {"operands": ("inp",), "equation": "out = inp", "gradients": ("out.g",), **facts}
    return register(Op(name, forward, backward, **facts))


TRANSPOSE = _registered(".T", transpose, _transpose_backward, equation="out[j,i] = inp[i,j]", gradients=("out.g.T",))
RESHAPE = _registered(".reshape", _as_shape, equation="", gradients=("out.g.reshape(inp.shape)",))
INDEX = _registered("[...]", _at, _at_backward, equation="out = inp[index]", gradients=())
CLONE = _registered(".clone", clone, elementwise=True)
FLOAT = _registered(".float", to_float, elementwise=True)
DOUBLE = _registered(".double", to_double, elementwise=True)

Tensor.T = property(transpose)  # type: ignore[assignment, method-assign]
_methods: dict[str, Callable[..., Tensor]] = {
    "t": t,
    "reshape": reshape,
    "view": view,
    "flatten": flatten,
    "unsqueeze": unsqueeze,
    "squeeze": squeeze,
    "__getitem__": getitem,
    "clone": clone,
    "float": to_float,
    "double": to_double,
}
for _name, _method in _methods.items():
    attach(_name, _method)
