"""Operand: the array that a learner's function gets, on which numpy, torch and what a lesson types all work."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array


class Size(int):
    """numpy's a.size and torch's a.size(0) in one."""

    shape: tuple[int, ...]

    def __new__(cls, shape: tuple[int, ...]) -> Size:
        size = super().__new__(cls, int(np.prod(shape, dtype=np.int64)))
        size.shape = shape
        return size

    def __call__(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]


class Operand(np.ndarray[Any, Any]):
    """A copy of one of the network's arrays, with its gradient in `.g`.

    It is a numpy array, and has torch's names for the methods beside numpy's. Given to a function of torch's, it is
    converted, and so is the result. A conversion to another float type keeps this one, so that no digits are lost.
    """

    g: Any = None

    @property
    def grad(self) -> Any:
        return self.g

    @grad.setter
    def grad(self, value: Any) -> None:
        self.g = value

    @property
    def data(self) -> Any:  # of numpy: a memoryview, which nobody types in a lesson
        return np.asarray(self)

    @property
    def size(self) -> Size:
        return Size(self.shape)

    @property
    def mT(self) -> Any:
        return self.swapaxes(-1, -2)

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*_to_torch(args), **_to_torch(kwargs or {}))
        return _from_torch(result)

    # ---- methods that numpy has too, with the arguments of both ----

    def sum(self, *args: Any, **kwargs: Any) -> Any:
        return operand(np.sum(np.asarray(self), *_leading(args), **_renamed(args, kwargs)))

    def mean(self, *args: Any, **kwargs: Any) -> Any:
        return operand(np.mean(np.asarray(self), *_leading(args), **_renamed(args, kwargs)))

    def squeeze(self, axis: Any = None, dim: Any = None) -> Any:
        return super().squeeze(dim if axis is None else axis)

    def transpose(self, *axes: Any) -> Any:
        """Two numbers are axes to swap, as in torch; more are a permutation, as in numpy."""
        if len(axes) == 2 and all(isinstance(axis, int) for axis in axes):
            return self.swapaxes(*axes)
        return super().transpose(*axes)

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        if self.dtype.kind == "f" and np.dtype(dtype).kind == "f":
            return self.copy()
        return super().astype(dtype, *args, **kwargs)

    def view(self, *args: Any, **kwargs: Any) -> Any:
        """torch's view(n, -1), which is numpy's reshape; anything else is numpy's."""
        sizes = args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args
        if sizes and all(isinstance(size, (int, np.integer)) for size in sizes):
            return self.reshape(*sizes)
        return super().view(*args, **kwargs)

    # ---- torch's names ----

    def float(self) -> Any:
        return self.copy() if self.dtype.kind == "f" else super().astype(np.float64)

    double = float

    def int(self) -> Any:
        return super().astype(np.int64)

    long = int

    def bool(self) -> Any:
        return super().astype(np.bool_)

    def type(self, dtype: Any) -> Any:
        return self.to(dtype)

    def to(self, *args: Any, **kwargs: Any) -> Any:
        name = "".join(map(str, (*args, *kwargs.values())))
        return self.bool() if "bool" in name else self.int() if "int" in name or "long" in name else self.float()

    def type_as(self, other: Any) -> Any:
        return self.float()

    def numpy(self) -> Any:
        return np.asarray(self)

    def clone(self) -> Any:
        return self.copy()

    detach = cpu = contiguous = clone

    def t(self) -> Any:
        return self.T

    def permute(self, *axes: Any) -> Any:
        return super().transpose(*axes)

    def unsqueeze(self, dim: Any) -> Any:
        return np.expand_dims(self, dim)

    def expand(self, *sizes: Any) -> Any:
        shape = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
        known = (1,) * (len(shape) - self.ndim) + self.shape
        return operand(np.broadcast_to(self, [k if n == -1 else n for n, k in zip(shape, known, strict=True)]))

    def expand_as(self, other: Any) -> Any:
        return operand(np.broadcast_to(self, np.shape(other)))

    def matmul(self, other: Any) -> Any:
        return self @ other

    mm = mv = bmm = matmul

    def outer(self, other: Any) -> Any:
        return np.outer(self, other)

    def numel(self) -> Any:
        return int(self.size)

    def dim(self) -> Any:
        return self.ndim

    def clamp(self, min: Any = None, max: Any = None) -> Any:
        return np.clip(self, min, max)

    def clamp_min(self, min: Any) -> Any:
        return np.maximum(self, min)

    def clamp_max(self, max: Any) -> Any:
        return np.minimum(self, max)

    def relu(self) -> Any:
        return np.maximum(self, 0)

    def masked_fill(self, mask: Any, value: Any) -> Any:
        return operand(np.where(mask, value, self))

    def where(self, condition: Any, other: Any) -> Any:
        return operand(np.where(condition, self, other))


def _ufunc_method(function: Any) -> Any:
    return lambda self, *others: function(self, *others)


for _name, _function in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "multiply": np.multiply, "div": np.divide,
    "divide": np.divide, "pow": np.power, "square": np.square, "neg": np.negative, "abs": np.abs, "sign": np.sign,
    "sqrt": np.sqrt, "exp": np.exp, "log": np.log, "tanh": np.tanh, "gt": np.greater, "ge": np.greater_equal,
    "lt": np.less, "le": np.less_equal, "eq": np.equal, "ne": np.not_equal, "maximum": np.maximum,
    "minimum": np.minimum, "logical_not": np.logical_not, "logical_and": np.logical_and, "logical_or": np.logical_or,
    "heaviside": np.heaviside,
}.items():  # fmt: skip
    setattr(Operand, _name, _ufunc_method(_function))


def operand(array: Any) -> Any:
    """An array as an Operand of the same memory."""
    return np.ndarray.view(np.asarray(array), Operand)


def with_gradient(array: Array, gradient: Array | None) -> Operand:
    """A copy of an array, with a copy of its gradient."""
    copy: Operand = operand(np.array(array))
    if gradient is not None:
        copy.g = operand(np.array(gradient))
    return copy


def _leading(args: Any) -> Any:
    return args[:1]


def _renamed(args: Any, kwargs: Any) -> Any:
    """The keywords with numpy's names; the second argument of torch's sum is keepdim."""
    names = {"dim": "axis", "keepdim": "keepdims"}
    named = {names.get(key, key): value for key, value in kwargs.items()}
    return {**named, "keepdims": args[1]} if len(args) > 1 else named


# ---- torch ----


def _to_torch(value: Any) -> Any:
    if isinstance(value, Operand):
        return sys.modules["torch"].from_numpy(np.ascontiguousarray(value).reshape(value.shape))
    if isinstance(value, (list, tuple)):
        return type(value)(map(_to_torch, value))
    return {key: _to_torch(part) for key, part in value.items()} if isinstance(value, dict) else value


def _from_torch(value: Any) -> Any:
    if isinstance(value, sys.modules["torch"].Tensor):
        return operand(value.detach().numpy())
    return type(value)(map(_from_torch, value)) if isinstance(value, (list, tuple)) else value
