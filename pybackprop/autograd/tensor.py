"""Tensor: a numpy array with a gradient beside it, `.g`."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

import numpy as np

from pybackprop.autograd import tape
from pybackprop.autograd.versions import Foreign
from pybackprop.core import arrays
from pybackprop.core.arrays import Array, as_array, check_size, float_type, on_a_line
from pybackprop.core.errors import DTypeError, ShapeError
from pybackprop.mask import Mask
from pybackprop.shapes import Shapes

__all__ = ["Tensor", "as_tensor", "param", "tensor", "wrap"]

ELSEWHERE = {
    "grad": "the gradient is called .g here",
    "requires_grad": "it is called .requires_g here",
    "requires_grad_": "make the tensor with bp.param(array), or set .requires_g = True",
    "zero_grad": "there is nothing to zero: a backward overwrites .g (accumulate=True adds to it)",
    "detach": "use bp.tensor(t.data) for a copy, bp.as_tensor(t.data) to share the memory",
    "numpy": "use .data, a view of the same memory, or np.asarray(t)",
}


class Tensor(Shapes):
    """An array of float32 or float64 numbers with its gradient `.g`. Made by `tensor`, `as_tensor`, `param`.

    data        numpy view of the same memory (writing to it is only noticed while bp.debug() is on)
    g           None, or a Tensor of the same shape and dtype: the gradient of the last backward.
                Assignment checks shape and dtype and copies into one buffer, kept for life
    requires_g  whether the tape computes a gradient for it
    name        shown in messages

    The arithmetic a lesson's cell types is computed by numpy, `@` by the C core. lin, `@`, `+`, relu and
    mse have a derivative on the tape; backward through anything else raises GradientError and names it.
    """

    __slots__ = ()

    def __init__(self, data: Any, dtype: Any = None, *, requires_g: bool = False, name: str | None = None) -> None:
        wanted = None if dtype is None else float_type(dtype)
        array = as_array(data, wanted)
        check_size("tensor", array.shape, array.dtype)
        self._fill(on_a_line(array.shape, wanted or array.dtype))
        np.copyto(self._array, array)
        self.requires_g = requires_g
        self.name = name
        if arrays.watcher is not None and name is not None:
            arrays.watcher.called(self._array, name, "parameters" if requires_g else "data")

    def backward(self, keep: bool = False, accumulate: bool = False) -> None:
        """Fills `.g` of every tensor with requires_g that this single number was computed from.

        Overwrites what an earlier backward left; accumulate=True adds to it. A tensor used twice gets the
        sum over its paths. keep=True leaves the intermediate results' `.g` readable too.
        Raises GradientError, before anything is written, for more than one number, a tensor not on a tape,
        an operation without derivative, or a value overwritten since (through this library; a write
        through `.data` is only noticed while bp.debug() is on).
        """
        tape.backward(self, keep, accumulate)

    # ---- numpy, buffers, other libraries ----

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if dtype is not None and np.dtype(dtype) != self.dtype:
            return self._array.astype(dtype)
        return self._array.copy() if copy else self._array

    def __buffer__(self, flags: int, /) -> memoryview:
        return self._array.data

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()

    def __reduce__(self) -> Any:
        return _restore, (np.ascontiguousarray(self._array), self.requires_g, self.name, self._g)

    def tolist(self) -> Any:
        return self._array.tolist()

    def item(self) -> builtins.float:
        """The single number in here as a Python float."""
        return builtins.float(self)

    def __float__(self) -> builtins.float:
        if self.size != 1:
            raise ShapeError(f"float(): found a tensor of shape {self.shape}, expected a single number")
        return builtins.float(self._array.reshape(())[()])

    def __int__(self) -> int:
        return int(builtins.float(self))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(f"bool(): the truth of {self.shape} numbers is ambiguous; use (t > 0).all() or .any()")
        return bool(builtins.float(self))

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len(): a single number has no length")
        return len(self._array)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, index: Any) -> Tensor:
        found = self._array[_plain_index(index)]
        shares = isinstance(found, np.ndarray) and np.may_share_memory(found, self._array)
        out = wrap(np.asarray(found), self._version if shares else None)
        return tape.cut(out, "[...]", self)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._refuse_on_tape("t[...] = value")
        if not isinstance(value, (int, builtins.float)):
            value = as_array(value, self.dtype, "t[...] = value")
        self.touch("t[...] = value")
        self._array[_plain_index(index)] = value

    def __repr__(self) -> str:
        numbers = np.array2string(self._array, separator=", ", prefix="tensor(")
        name = f", name='{self.name}'" if self.name else ""
        return f"tensor({numbers}, dtype={self.dtype}{', requires_g=True' if self.requires_g else ''}{name})"


_new = Tensor.__new__


class _Elsewhere:
    """A name that other libraries have for this. Not a __getattr__, which would make every attribute slower."""

    def __init__(self, name: str, hint: str) -> None:
        self.message = f"a Tensor has no attribute '{name}': {hint}"

    def __get__(self, tensor: Any, owner: Any = None) -> Any:
        raise AttributeError(self.message)


for _name, _hint in ELSEWHERE.items():
    setattr(Tensor, _name, _Elsewhere(_name, _hint))


def wrap(array: Array, version: list[Any] | None = None) -> Tensor:
    """A Tensor around an array that is known to be float32 or float64; version: shared by views."""
    tensor = _new(Tensor)
    tensor._fill(array, version)
    return tensor


def tensor(data: Any, dtype: Any = None, *, requires_g: bool = False, name: str | None = None) -> Tensor:
    """A tensor with a copy of data: numbers, lists, arrays, anything with __array__ or DLPack.

    float32 and float64 arrays keep their dtype; all other real numbers become float32 unless dtype says
    float64. Raises DTypeError for complex, text, objects and masked arrays, ShapeError for ragged lists.
    """
    return Tensor(data, dtype, requires_g=requires_g, name=name)


def as_tensor(data: Any, *, name: str | None = None) -> Tensor:
    """data itself if it is a tensor, else a tensor that shares data's memory where it can.

    It can for float32 and float64 in native byte order; otherwise the numbers are copied as by `tensor`.
    """
    if isinstance(data, Tensor):
        return data
    made = wrap(as_array(data), Foreign((0, None)))
    made.name = name
    return made


def param(data: Any, dtype: Any = None, *, name: str | None = None) -> Tensor:
    """A tensor with a copy of data that wants a gradient (requires_g=True)."""
    return Tensor(data, dtype, requires_g=True, name=name)


def _restore(array: Array, requires_g: bool, name: str | None, g: Tensor | None) -> Tensor:
    made = wrap(array)
    made.requires_g, made.name = requires_g, name
    if g is not None:
        np.copyto(made.grad_buffer()._array, g._array)
    return made


def _plain_index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_plain_index(part) for part in index)
    if isinstance(index, Mask):
        return index.data
    if isinstance(index, Tensor):
        raise DTypeError("t[...]: a tensor of floats is no index; use t[mask], slices or integer arrays")
    return index
