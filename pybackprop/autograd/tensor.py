"""Tensor: a numpy array with a gradient beside it, `.g`."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pybackprop.autograd import messages, tape
from pybackprop.autograd.broadcast import check_broadcast
from pybackprop.autograd.mask import Mask
from pybackprop.autograd.versions import ForeignVersion, GradientPlace, GradientVersion, Version
from pybackprop.core import native, observer
from pybackprop.core.arrays import Array, as_array, check_size, float_type, hint_at_fix, on_a_line
from pybackprop.core.errors import DTypeError, GradientError, ShapeError

__all__ = ["Tensor", "as_tensor", "foreign", "operand", "param", "tensor", "wrap"]

OTHER_NAMES = {
    "grad": "the gradient is called .g here",
    "requires_grad": "it is called .requires_g here",
    "requires_grad_": "make the tensor with bp.param(array), or set .requires_g = True",
    "zero_grad": "there is nothing to zero: a backward overwrites .g (accumulate=True adds to it)",
    "detach": "use bp.tensor(t.data) for a copy, bp.as_tensor(t.data) to share the memory",
    "numpy": "use .data, a view of the same memory, or np.asarray(t)",
}


class Tensor:
    """An array of float32 or float64 numbers with its gradient `.g`. Made by `tensor`, `as_tensor`, `param`.

    data        numpy view of the same memory (writing to it is only noticed while bp.debug() is on)
    g           None, or a Tensor of the same shape and dtype: the gradient of the last backward.
                Assignment checks shape and dtype and copies into one buffer, kept for life
    requires_g  whether the tape computes a gradient for it
    name        shown in messages

    The arithmetic a lesson's cell types is computed by numpy, `@` by the C core. lin, `@`, `+`, relu and
    mse have a derivative on the tape; backward through anything else raises GradientError and names it.
    """

    __slots__ = (
        "__weakref__",
        "_array",
        "_g",
        "_g_place",
        "_matrix",
        "_node",
        "_pointer",
        "_version",
        "name",
        "requires_g",
    )
    __array_priority__ = 1000  # numpy arrays leave array + tensor to us

    _array: Array
    _g: Tensor | None
    _g_place: GradientPlace | None  # which values .g belongs to; None: unknown
    _matrix: Any  # how C sees it, made when first needed: see ops/matmul.py
    _node: tape.Node | None
    _pointer: Any
    _version: Version  # shared by all views of the same memory
    name: str | None
    requires_g: bool

    def __init__(self, data: Any, dtype: Any = None, *, requires_g: bool = False, name: str | None = None) -> None:
        wanted = None if dtype is None else float_type(dtype)
        array = as_array(data, wanted)
        check_size("tensor", array.shape, array.dtype)
        self._fill(on_a_line(array.shape, wanted or array.dtype))
        np.copyto(self._array, array)
        self.requires_g = requires_g
        self.name = name
        if observer.active is not None and name is not None:
            observer.active.named(self._array, name, "parameters" if requires_g else "data")

    def backward(self, keep: bool = False, accumulate: bool = False) -> None:
        """Fills `.g` of every tensor with requires_g that this single number was computed from.

        Overwrites what an earlier backward left; accumulate=True adds to it. A tensor used twice gets the
        sum over its paths. keep=True leaves the intermediate results' `.g` readable too.
        Raises GradientError, before anything is written, for more than one number, a tensor not on a tape,
        an operation without derivative, or a value overwritten since (through this library; a write
        through `.data` is only noticed while bp.debug() is on).
        """
        tape.backward(self, keep, accumulate)

    # ---- the array, its gradient, its version ----

    def _fill(self, array: Array, version: Version | None = None) -> None:
        self._array = array
        self._g = self._g_place = self._matrix = self._node = self._pointer = self.name = None
        self._version = Version() if version is None else version
        self.requires_g = False

    def _become(self, array: Array) -> None:
        """Takes another array for its own, and keeps name and requires_g."""
        name, requires_g = self.name, self.requires_g
        self._fill(array)
        self.name, self.requires_g = name, requires_g

    def _make(self, array: Any, version: Version | None = None) -> Tensor:
        """Another tensor around an array; version: this one's, if they share memory."""
        made = type(self).__new__(type(self))
        made._fill(np.asarray(array), version)
        return made

    @property
    def data(self) -> Array:
        """A numpy view of the same memory."""
        return self._array

    @property
    def g(self) -> Tensor | None:
        """The gradient of the last backward: None, or a Tensor of this shape and dtype."""
        return self._g

    @g.setter
    def g(self, value: Any) -> None:
        if value is None or value is self._g:
            self._g = value
            return
        array = as_array(value, self.dtype, f"{self._label}.g")
        if array.shape != self.shape:
            raise ShapeError(
                f"{self._label}.g: found a gradient of shape {array.shape}, expected {self.shape}: a gradient "
                "has one number for each number of its tensor" + hint_at_fix(array.shape, self.shape)
            )
        if array.dtype != self.dtype:
            raise DTypeError(
                f"{self._label}.g: found {array.dtype}, expected {self.dtype}, the tensor's own; "
                f"convert with {'.float()' if self.dtype == native.FLOAT32 else '.double()'}"
            )
        np.copyto(self.write_g("t.g = value")._array, array)

    def grad_buffer(self) -> Tensor:
        """`.g`, made if there is none yet (its numbers are then undefined)."""
        if self._g is None:
            array = self._array
            self._g = self._make(on_a_line(array.shape, array.dtype), GradientVersion())
            if observer.active is not None:
                observer.active.named(self._g._array, f"{self._label}.g", "gradients")
        return self._g

    def write_g(self, operation: str) -> Tensor:
        """`.g`, which an operation is about to fill with the gradient of the values as they are now."""
        g = self.grad_buffer() if self._g is None else self._g
        version, place = g._version, self._g_place
        if version is not self._version:
            version.wrote(operation)
        if place is None:
            place = self._g_place = GradientPlace()
        place.set(self._version.count, version.count)
        return g

    def place_g(self, through: bool) -> None:
        """Says that `.g`, filled by the caller, is the gradient of the values as they are now. See GradientPlace."""
        if self._g_place is None:
            self._g_place = GradientPlace()
        self._g_place.set(self._version.count, self._g._version.count if self._g is not None else -1, through)

    def lose_g(self, reason: str) -> None:
        """Lets go of `.g`, whose buffer is used for something else from now on."""
        self._g = None
        if self._g_place is None:
            self._g_place = GradientPlace()
        self._g_place.forget(reason)

    def holds_its_gradient(self) -> bool:
        """Whether its numbers are no values any more, but its own gradient: see mse_grad(inplace=True)."""
        return self._g is not None and self._g._version is self._version

    def new_like(self) -> Tensor:
        """A tensor of this shape and dtype whose numbers are undefined."""
        return self._make(on_a_line(self._array.shape, self._array.dtype))

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def size(self) -> int:
        return self._array.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    @property
    def nbytes(self) -> int:
        return self._array.nbytes

    @property
    def _label(self) -> str:
        return self.name or "tensor"

    def pointer(self) -> Any:
        """The C core's pointer to this (contiguous) tensor's memory."""
        if self._pointer is None:
            self._pointer = native.pointer(self._array)
        return self._pointer

    def contiguous(self) -> Tensor:
        """This tensor, or a copy of it where its rows do not lie one after another."""
        if self._array.flags.c_contiguous:
            return self
        copy = self.new_like()
        np.copyto(copy._array, self._array)
        return copy

    def alias(self) -> Tensor:
        """Another tensor with the same memory and version, off the tape."""
        return self._make(self._array, self._version)

    def touch(self, operation: str) -> None:
        """Called before a write in place: refuses read-only memory, and tells the tape."""
        if not self._array.flags.writeable:
            raise ValueError(f"{operation}: {messages.describe(self)} is read-only memory; use a copy: bp.tensor(t)")
        version = self._version
        if self._g is not None and self._g._version is version:
            self._g = None  # its memory gets other numbers now
        version.wrote(operation)

    # ---- with a derivative: attached by the modules of pybackprop.ops ----

    if TYPE_CHECKING:

        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def clone(self) -> Tensor: ...

    # ---- arithmetic, computed by numpy ----

    def _elementwise(self, name: str, function: Any, other: Any, swap: bool = False) -> Tensor:
        other = operand(name, self, other)
        left, right = self._array, getattr(other, "_array", other)
        with np.errstate(all="ignore"):  # inf and NaN propagate, as they do in C
            out = function(right, left) if swap else function(left, right)
        return tape.cut(self._make(out), name, self, other)

    def __sub__(self, other: Any) -> Tensor:
        return self._elementwise("-", np.subtract, other)

    def __rsub__(self, other: Any) -> Tensor:
        return self._elementwise("-", np.subtract, other, swap=True)

    def __mul__(self, other: Any) -> Tensor:
        return self._elementwise("*", np.multiply, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Tensor:
        return self._elementwise("/", np.divide, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return self._elementwise("/", np.divide, other, swap=True)

    def __pow__(self, other: Any) -> Tensor:
        return self._elementwise("**", np.power, other)

    def __neg__(self) -> Tensor:
        return self._unary("-", np.negative)

    def __abs__(self) -> Tensor:
        return self._unary("abs", np.abs)

    def _unary(self, name: str, function: Any, *args: Any, **options: Any) -> Tensor:
        with np.errstate(all="ignore"):
            return tape.cut(self._make(function(self._array, *args, **options)), name, self)

    def _in_place(self, name: str, function: Any, other: Any) -> Tensor:
        self._refuse_on_tape(name)
        other = operand(name, self, other)
        right = getattr(other, "_array", other)
        if np.broadcast_shapes(self.shape, np.shape(right)) != self.shape:
            raise ShapeError(f"{name}: {np.shape(right)} does not broadcast into {self.shape}")
        self.touch(name)
        with np.errstate(all="ignore"):
            function(self._array, right, out=self._array)
        return self

    def _refuse_on_tape(self, name: str) -> None:
        if self._node is not None:
            raise GradientError(
                f"{name}: {messages.describe(self)} is the result of '{self._node.op.name}' and on the tape; "
                "writing to it would make its gradient a lie. Write a new tensor, or to a copy: bp.tensor(t)"
            )

    def __iadd__(self, other: Any) -> Tensor:
        return self._in_place("+=", np.add, other)

    def __isub__(self, other: Any) -> Tensor:
        return self._in_place("-=", np.subtract, other)

    def __imul__(self, other: Any) -> Tensor:
        return self._in_place("*=", np.multiply, other)

    def __itruediv__(self, other: Any) -> Tensor:
        return self._in_place("/=", np.divide, other)

    def zero_(self) -> Tensor:
        """Sets every number to 0, in place."""
        self._refuse_on_tape("zero_")
        self.touch("zero_")
        self._array[...] = 0
        return self

    __hash__ = object.__hash__

    def _compare(self, name: str, function: Any, other: Any) -> Mask:
        other = operand(name, self, other)
        return Mask(function(self._array, getattr(other, "_array", other)), self.dtype, self._make)

    def __gt__(self, other: Any) -> Mask:
        return self._compare(">", np.greater, other)

    def __ge__(self, other: Any) -> Mask:
        return self._compare(">=", np.greater_equal, other)

    def __lt__(self, other: Any) -> Mask:
        return self._compare("<", np.less, other)

    def __le__(self, other: Any) -> Mask:
        return self._compare("<=", np.less_equal, other)

    def __eq__(self, other: object) -> Mask:  # type: ignore[override]
        return self._compare("==", np.equal, other)

    def __ne__(self, other: object) -> Mask:  # type: ignore[override]
        return self._compare("!=", np.not_equal, other)

    # ---- shapes, sums and the like, in a lesson's spelling: dim for axis, keepdim for keepdims ----

    @property
    def T(self) -> Tensor:
        """The transpose, a view. The gradient of x @ w for w is x.T @ out.g."""
        return tape.cut(self._make(self._array.T, self._version), ".T", self)

    def t(self) -> Tensor:
        """The transpose of at most two dimensions, a view."""
        if self.ndim > 2:
            raise ShapeError(f".t(): found shape {self.shape}, expected at most two dimensions")
        return self.T

    def unsqueeze(self, dim: int) -> Tensor:
        """A view with an axis of length 1 put in at dim."""
        return tape.cut(self._make(np.expand_dims(self._array, dim), self._version), ".unsqueeze", self)

    def squeeze(self, dim: int | None = None) -> Tensor:
        """A view without the axes of length 1 (or without axis dim, if that is of length 1)."""
        keeps = dim is not None and self.shape[dim] != 1
        array = self._array if keeps else self._array.squeeze(dim)
        return tape.cut(self._make(array, self._version), ".squeeze", self)

    def reshape(self, *shape: Any) -> Tensor:
        """The same numbers in another shape."""
        array = self._array.reshape(*shape)
        shares = np.may_share_memory(array, self._array)
        return tape.cut(self._make(array, self._version if shares else None), ".reshape", self)

    view = reshape

    def flatten(self) -> Tensor:
        return self.reshape(-1)

    def sum(self, axis: Any = None, keepdims: bool = False, *, dim: Any = None, keepdim: bool = False) -> Tensor:
        """The sum over axis (all, if None). b.g = out.g.sum(0): b was broadcast over the rows."""
        axis = dim if axis is None else axis
        return self._unary(".sum", np.sum, axis=axis, keepdims=keepdims or keepdim)

    def mean(self, axis: Any = None, keepdims: bool = False, *, dim: Any = None, keepdim: bool = False) -> Tensor:
        """The mean over axis (all, if None)."""
        if self.size == 0:
            raise ShapeError(f".mean: the mean of no elements is not defined (shape {self.shape})")
        axis = dim if axis is None else axis
        return self._unary(".mean", np.mean, axis=axis, keepdims=keepdims or keepdim)

    def max(self, axis: Any = None) -> Tensor:
        return self._unary(".max", np.max, axis=axis)

    def min(self, axis: Any = None) -> Tensor:
        return self._unary(".min", np.min, axis=axis)

    def argmax(self, axis: Any = None, *, dim: Any = None) -> Array:
        """The index of the largest element, as numpy integers."""
        return np.asarray(np.argmax(self._array, axis=dim if axis is None else axis))

    def pow(self, exponent: Any) -> Tensor:
        return self._elementwise("**", np.power, exponent)

    def sqrt(self) -> Tensor:
        return self._unary(".sqrt", np.sqrt)

    def exp(self) -> Tensor:
        return self._unary(".exp", np.exp)

    def log(self) -> Tensor:
        return self._unary(".log", np.log)

    def abs(self) -> Tensor:
        return abs(self)

    def clamp_min(self, low: builtins.float) -> Tensor:
        """max(x, low), a NaN kept. relu by hand is x.clamp_min(0.)."""
        return self._unary(".clamp_min", np.maximum, self.dtype.type(low))

    def float(self) -> Tensor:
        """This tensor if it is float32, else a float32 copy."""
        return self._as_type(native.FLOAT32, ".float")

    def double(self) -> Tensor:
        """This tensor if it is float64, else a float64 copy."""
        return self._as_type(native.FLOAT64, ".double")

    def _as_type(self, dtype: np.dtype[Any], name: str) -> Tensor:
        return self if self.dtype == dtype else self._unary(name, lambda array: array.astype(dtype))

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


class _OtherName:
    """A name that other libraries have for this. Not a __getattr__, which would make every attribute slower."""

    def __init__(self, name: str, hint: str) -> None:
        self.message = f"a Tensor has no attribute '{name}': {hint}"

    def __get__(self, tensor: Any, owner: Any = None) -> Any:
        raise AttributeError(self.message)


for _name, _hint in OTHER_NAMES.items():
    setattr(Tensor, _name, _OtherName(_name, _hint))


def wrap(array: Array, version: Version | None = None) -> Tensor:
    """A Tensor around an array that is known to be float32 or float64; version: shared by views."""
    tensor = _new(Tensor)
    tensor._fill(array, version)
    return tensor


def operand(operation: str, left: Tensor, right: Any) -> Any:
    """right as a Tensor of left's dtype, or as a Python number; refuses what would broadcast by accident."""
    for name, operand in (("the left operand", left), ("the right operand", right)):
        if isinstance(operand, Tensor) and operand.holds_its_gradient():
            raise GradientError(messages.spoiled(operation, name, operand))
    if isinstance(right, (int, builtins.float)):
        return right
    if not isinstance(right, Tensor):
        if np.ndim(right) == 0 and isinstance(right, np.number):
            return right.item()
        if isinstance(right, Mask):
            right = right.data
        right = left._make(as_array(right, left.dtype, operation))
    if right.dtype != left.dtype:
        raise DTypeError(
            f"{operation}: found {left.dtype} of shape {left.shape} and {right.dtype} of shape {right.shape}; "
            "convert one of them with .float() or .double()"
        )
    if operation != "@":
        check_broadcast(operation, left.shape, right.shape)
    return right


def foreign(array: Array) -> Tensor:
    """A Tensor around memory that came from elsewhere, and may be part of anything."""
    return wrap(array, ForeignVersion())


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
    made = foreign(as_array(data))
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
