"""Tensor: a numpy array with its gradient, `.g`."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pybackprop.autograd import messages, tape
from pybackprop.autograd.broadcast import check_broadcast
from pybackprop.autograd.mask import Mask
from pybackprop.autograd.origins import Origin
from pybackprop.autograd.versions import ForeignVersion, GradientPlace, GradientVersion, Version
from pybackprop.core import native, observer
from pybackprop.core.arrays import Array, aligned_empty, as_array, check_size, float_type, hint_at_fix, pin
from pybackprop.core.errors import DTypeError, GradientError, ShapeError
from pybackprop.core.printable import printable

__all__ = ["Tensor", "as_tensor", "foreign", "operand", "param", "tensor", "wrap"]

Axis: TypeAlias = "int | tuple[int, ...] | None"  # None: over all axes


class Tensor:
    """An array of float32 or float64 with its gradient, `.g`. Made by `tensor`, `as_tensor`, `param`.

    data        numpy view of the same memory (a write to it is noticed only while bp.debug() is on)
    g           the gradient of the last backward, a Tensor of the same shape and dtype; None before the first one
    requires_g  whether the tape computes a gradient for it
    name        shown in messages; None unless given

    On the tape, with a derivative: bp.lin, bp.relu, bp.mse, operations made by bp.define_op, @ + - * / and unary -,
    ** with a whole number, .sqrt, .clamp_min, .sum, .mean, .T, .reshape and its kin, [...], .clone, .float, .double.
    numpy computes the rest: abs, max, min, exp, log, comparisons. A backward through one of those raises
    GradientError, which names it. += -= *= /= and t[...] = value write in place, and raise GradientError for a tensor
    that is itself a result on the tape, ValueError for read-only memory.

    Operands are numbers, arrays or tensors. Raises DTypeError where float32 and float64 are mixed or an operand is
    not real, ShapeError where shapes do not broadcast, or a column (n,1) would broadcast with (n,) to (n,n).
    """

    __slots__ = {  # noqa: RUF023
        "requires_g": "Whether the tape computes a gradient for it; True for parameters and what depends on them.",
        "_array": None,
        "_g": None,
        "_g_place": None,
        "_matrix": None,
        "_name": None,
        "_node": None,
        "_origin": None,
        "_pin": None,
        "_pointer": None,
        "_version": None,
        "__weakref__": None,
    }
    __array_priority__ = 1000  # numpy arrays leave array + tensor to Tensor

    _array: Array
    _g: Tensor | None
    _g_place: GradientPlace | None  # which values .g belongs to; None: unknown
    _matrix: Any  # a bp_matrix, made when first needed: see ops/matmul.py
    _node: tape.Node | None
    _origin: Origin | None  # what it was computed from off the tape; for explanations
    _pin: Any  # keeps memory that others can reach, or that C has a pointer to, where it is: see core.arrays.pin
    _pointer: Any
    _version: Version  # shared by all views of the same memory
    _name: str | None
    requires_g: bool

    def __init__(
        self, data: ArrayLike, dtype: DTypeLike | None = None, *, requires_g: bool = False, name: str | None = None
    ) -> None:
        """See bp.tensor."""
        if hasattr(self, "_array"):  # what has its memory would go on using the old one
            raise RuntimeError("Tensor.__init__: was called before; write to it (t[...] = value), or make a new tensor")
        target = None if dtype is None else float_type(dtype)
        array = as_array(data, target)
        check_size("tensor", array.shape, array.dtype)
        self._fill(aligned_empty(array.shape, target or array.dtype))
        np.copyto(self._array, array)
        self.requires_g = requires_g
        self.name = name
        if isinstance(data, Tensor):
            tape.came_from(self, COPY, (data,))
        if observer.active is not None and name is not None:
            observer.active.named(self._array, name, "parameters" if requires_g else "data")

    def backward(self, keep: bool = False, accumulate: bool = False) -> None:
        """Fills the `.g` of every tensor with requires_g that this single number was computed from.

        It overwrites what an earlier backward left; accumulate=True adds to it. A tensor used twice gets the sum
        over its paths. keep=True also leaves the `.g` of intermediate results readable.
        A second backward gives the same, until a parameter that it reads is updated: from then on a loss that is kept
        is only its number, and the next backward frees the values behind it, unless this one had keep=True.
        Raises GradientError, before anything is written, for more than one number, a tensor that is not on the tape,
        an operation without derivative, or a value overwritten since the forward pass (through this library; a write
        through `.data` is noticed only while bp.debug() is on).
        """
        tape.backward(self, keep, accumulate)

    # ---- the array, its gradient, its version ----

    def _fill(self, array: Array, version: Version | None = None) -> None:
        self._array = array
        self._g = self._g_place = self._matrix = self._node = self._origin = self._pointer = self._name = None
        self._pin = None if version is None and array.base is None else pin(array)
        self._version = Version() if version is None else version
        self.requires_g = False

    def _become(self, array: Array) -> None:
        """Replaces the array by another one; name and requires_g stay."""
        name, requires_g = self.name, self.requires_g
        self._fill(array)
        self.name, self.requires_g = name, requires_g

    def _make(self, array: Any, version: Version | None = None) -> Tensor:
        """Another tensor around an array; version: this tensor's, if they share memory."""
        result = type(self).__new__(type(self))
        result._fill(np.asarray(array), version)
        return result

    @property
    def data(self) -> Array:
        """A numpy view of the same memory, of this shape and dtype."""
        return self._array

    @property
    def g(self) -> Tensor | Any:
        """The gradient of the last backward: a Tensor of this shape and dtype; None before the first one.

        Assignment copies into a buffer that the tensor keeps; assigning None drops it. Raises ShapeError or DTypeError
        for anything but an array of this shape and dtype (Python numbers and integers are converted).
        For type checkers it is a Tensor, so that `w -= 0.1 * w.g` needs no assertion; `w.g is None` is still allowed.
        """
        return self._g

    @g.setter
    def g(self, value: ArrayLike | None) -> None:
        if value is None:
            self._g = None
            return
        if value is self._g:
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
        """`.g`, allocated if there is none yet (its values are then undefined)."""
        if self._g is None:
            array = self._array
            self._g = self._make(aligned_empty(array.shape, array.dtype), GradientVersion())
            if observer.active is not None:
                observer.active.named(self._g._array, f"{self._label}.g", "gradients")
        return self._g

    def write_g(self, operation: str) -> Tensor:
        """`.g`, for an operation that is about to fill it with the gradient of the current values."""
        g = self.grad_buffer() if self._g is None else self._g
        version, place = g._version, self._g_place
        if version is not self._version:
            version.wrote(operation)
        if place is None:
            place = self._g_place = GradientPlace()
        place.set(self._version.count, version.count)
        return g

    def place_g(self, through: bool) -> None:
        """Records that `.g`, filled by the caller, is the gradient of the current values. See GradientPlace."""
        if self._g_place is None:
            self._g_place = GradientPlace()
        self._g_place.set(self._version.count, self._g._version.count if self._g is not None else -1, through)

    def lose_g(self, reason: str) -> None:
        """Drops `.g`, whose buffer is used for something else from now on."""
        self._g = None
        if self._g_place is None:
            self._g_place = GradientPlace()
        self._g_place.forget(reason)

    def holds_its_gradient(self) -> bool:
        """Whether its memory holds its own gradient instead of its values: see mse_grad(inplace=True)."""
        return self._g is not None and self._g._version is self._version

    def new_like(self) -> Tensor:
        """An uninitialized tensor of this shape and dtype."""
        return self._make(aligned_empty(self._array.shape, self._array.dtype))

    @property
    def name(self) -> str | None:
        """Shown in messages: a str, or None. Control characters, which a terminal would obey, are escaped."""
        return self._name

    @name.setter
    def name(self, name: str | None) -> None:
        self._name = name if name is None else printable(name)

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis: (n,m) of a matrix, () of a single number."""
        return self._array.shape

    @property
    def ndim(self) -> int:
        """The number of axes: 2 of a matrix, 0 of a single number."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._array.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64, as a numpy dtype."""
        return self._array.dtype

    @property
    def nbytes(self) -> int:
        """The bytes of the elements; those of `.g` are not counted."""
        return self._array.nbytes

    @property
    def _label(self) -> str:
        return self.name or "tensor"

    def pointer(self) -> Any:
        """The C core's pointer to this (contiguous) tensor's memory."""
        if self._pointer is None:
            self.hold()
            self._pointer = native.pointer(self._array)
        return self._pointer

    def hold(self) -> None:
        """Keeps the memory where it is, as C will have a pointer to it: `t.data.resize` raises ValueError from now."""
        if self._pin is None:
            self._pin = pin(self._array)

    def contiguous(self) -> Tensor:
        """This tensor if it is contiguous and aligned, as C reads it, else a copy that is."""
        flags = self._array.flags
        if flags.c_contiguous and flags.aligned:
            return self
        copy = self.new_like()
        np.copyto(copy._array, self._array)
        return copy

    def alias(self) -> Tensor:
        """Another tensor with the same memory and version, off the tape."""
        return self._make(self._array, self._version)

    def touch(self, operation: str) -> None:
        """Called before a write in place: refuses read-only memory, and counts the write."""
        if not self._array.flags.writeable:
            raise ValueError(f"{operation}: {messages.describe(self)} is read-only memory; use a copy: bp.tensor(t)")
        version = self._version
        if self._g is not None and self._g._version is version:
            self._g = None  # its memory is about to be overwritten
        version.wrote(operation)

    # ---- with a derivative: attached by the modules of pybackprop.ops, where they are documented ----

    if TYPE_CHECKING:

        def __matmul__(self, other: ArrayLike) -> Tensor: ...
        def __rmatmul__(self, other: ArrayLike) -> Tensor: ...
        def __add__(self, other: ArrayLike) -> Tensor: ...
        def __radd__(self, other: ArrayLike) -> Tensor: ...
        def __sub__(self, other: ArrayLike) -> Tensor: ...
        def __rsub__(self, other: ArrayLike) -> Tensor: ...
        def __mul__(self, other: ArrayLike) -> Tensor: ...
        def __rmul__(self, other: ArrayLike) -> Tensor: ...
        def __truediv__(self, other: ArrayLike) -> Tensor: ...
        def __rtruediv__(self, other: ArrayLike) -> Tensor: ...
        def __pow__(self, other: ArrayLike) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __iadd__(self, other: ArrayLike) -> Tensor: ...
        def __isub__(self, other: ArrayLike) -> Tensor: ...
        def __imul__(self, other: ArrayLike) -> Tensor: ...
        def __itruediv__(self, other: ArrayLike) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        @property
        def T(self) -> Tensor: ...
        def t(self) -> Tensor: ...
        def clone(self) -> Tensor: ...
        def reshape(self, *shape: int | tuple[int, ...]) -> Tensor: ...
        def view(self, *shape: int | tuple[int, ...]) -> Tensor: ...
        def flatten(self) -> Tensor: ...
        def unsqueeze(self, dim: int) -> Tensor: ...
        def squeeze(self, dim: int | None = None) -> Tensor: ...
        def sum(
            self, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False
        ) -> Tensor: ...
        def mean(
            self, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False
        ) -> Tensor: ...
        def pow(self, exponent: ArrayLike) -> Tensor: ...
        def sqrt(self) -> Tensor: ...
        def clamp_min(self, low: builtins.float) -> Tensor: ...
        def float(self) -> Tensor: ...
        def double(self) -> Tensor: ...

    # ---- computed by numpy, without a derivative ----

    def __abs__(self) -> Tensor:
        """The absolute value, element by element."""
        return self._by_numpy("abs", np.abs)

    def _by_numpy(self, name: str, function: Any, **options: Any) -> Tensor:
        with np.errstate(all="ignore"):  # inf and NaN propagate, as they do in C
            return tape.cut(self._make(function(self._array, **options)), name, self)

    def came_from_itself(self, name: str, other: Any) -> None:
        """Remembers what was written into data; a parameter's update begins anew."""
        if isinstance(other, Tensor) and not self.requires_g:
            before = self.alias()
            before._origin = self._origin
            tape.came_from(self, tape.no_derivative(name), (before, other))

    def refuse_on_tape(self, operation: str) -> None:
        """Raises GradientError for a result on the tape, which must not be written to."""
        if self._node is not None:
            raise GradientError(
                f"{operation}: {messages.describe(self)} is the result of '{self._node.op.name}' and on the tape; "
                "writing to it would make its gradient wrong. Write a new tensor, or to a copy: bp.tensor(t)"
            )

    def zero_(self) -> Tensor:
        """Sets every number to 0, in place, and returns this tensor. Raises as += does."""
        self.refuse_on_tape("zero_")
        self.touch("zero_")
        self._array[...] = 0
        return self

    def __hash__(self) -> int:
        """By identity, as == compares numbers."""
        return object.__hash__(self)

    def _compare(self, name: str, function: Any, other: Any) -> Mask[Tensor]:
        other = operand(name, self, other)
        return Mask(function(self._array, getattr(other, "_array", other)), self.dtype, self._make)

    def __gt__(self, other: ArrayLike) -> Mask[Tensor]:
        """Where self > other: a Mask."""
        return self._compare(">", np.greater, other)

    def __ge__(self, other: ArrayLike) -> Mask[Tensor]:
        """Where self >= other: a Mask."""
        return self._compare(">=", np.greater_equal, other)

    def __lt__(self, other: ArrayLike) -> Mask[Tensor]:
        """Where self < other: a Mask."""
        return self._compare("<", np.less, other)

    def __le__(self, other: ArrayLike) -> Mask[Tensor]:
        """Where self <= other: a Mask."""
        return self._compare("<=", np.less_equal, other)

    def __eq__(self, other: object) -> Mask[Tensor]:  # type: ignore[override]
        """Where self == other, element by element: a Mask."""
        return self._compare("==", np.equal, other)

    def __ne__(self, other: object) -> Mask[Tensor]:  # type: ignore[override]
        """Where self != other, element by element: a Mask."""
        return self._compare("!=", np.not_equal, other)

    def max(self, axis: Axis = None) -> Tensor:
        """The largest along axis, or of all (None); NaN if there is one. Raises ValueError for no elements."""
        return self._by_numpy(".max", np.max, axis=axis)

    def min(self, axis: Axis = None) -> Tensor:
        """The smallest along axis, or of all (None); NaN if there is one. Raises ValueError for no elements."""
        return self._by_numpy(".min", np.min, axis=axis)

    def argmax(self, axis: int | None = None, *, dim: int | None = None) -> Array:
        """The index of the first largest element along axis, or in the flattened tensor (None), as numpy integers.

        dim is the lesson's name for axis. Raises ValueError for a tensor without elements.
        """
        return np.asarray(np.argmax(self._array, axis=dim if axis is None else axis))

    def exp(self) -> Tensor:
        """e to the power of each element. Infinity where that overflows."""
        return self._by_numpy(".exp", np.exp)

    def log(self) -> Tensor:
        """The natural logarithm, elementwise. -infinity of 0, NaN of negative numbers."""
        return self._by_numpy(".log", np.log)

    def abs(self) -> Tensor:
        """The absolute value, elementwise."""
        return abs(self)

    # ---- numpy, buffers, other libraries ----

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        """The array itself, or a copy if asked for or another dtype needs one; for numpy."""
        if dtype is not None and np.dtype(dtype) != self.dtype:
            return self._array.astype(dtype)
        return self._array.copy() if copy else self._array

    def __buffer__(self, flags: int, /) -> memoryview:
        """The memory, for memoryview and others."""
        return self._array.data

    def __dlpack__(self, **options: Any) -> Any:
        """The memory, for other libraries: np.from_dlpack(t)."""
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """The CPU, in DLPack's numbers."""
        return self._array.__dlpack_device__()

    def __copy__(self) -> Tensor:
        """A parameter or data: another one with the same numbers. A result: .clone(), so that no gradient is lost."""
        if self._node is not None:
            return self.clone()
        copy: Tensor = _restore(self._array.copy(), self.requires_g, self.name, self._g)
        tape.came_from(copy, COPY, (self,))
        return copy

    def __reduce__(self) -> Any:
        if self._node is not None and self.size == 1:  # a loss, as the number that it is
            return _restore, (self._array.copy(), False, self.name, None)
        if self._node is not None:
            raise GradientError(
                f"copy, pickle: {messages.describe(self)} is the result of '{self._node.op.name}', whose operands "
                "would get no gradient from a copy. Copy its numbers, bp.tensor(t), or stay on the tape with t.clone()"
            )
        return _restore, (np.ascontiguousarray(self._array), self.requires_g, self.name, self._g)

    def tolist(self) -> Any:
        """The numbers as nested lists of Python floats; of a single number, the float."""
        return self._array.tolist()

    def item(self) -> builtins.float:
        """The single element as a Python float. Raises ShapeError if there are more or none."""
        return builtins.float(self)

    def __float__(self) -> builtins.float:
        """The single number in here. Raises ShapeError for a tensor of more or fewer."""
        if self.size != 1:
            raise ShapeError(f"float(): found a tensor of shape {self.shape}, expected a single number")
        return builtins.float(self._array.reshape(())[()])

    def __int__(self) -> int:
        """The single number in here, rounded toward 0. Raises ShapeError for a tensor of more or fewer."""
        return int(builtins.float(self))

    def __format__(self, spec: str) -> str:
        """A single number as a float: f"{loss:.4f}". Without a format, as repr. Raises ShapeError for more numbers."""
        return format(builtins.float(self), spec) if spec else repr(self)

    def __round__(self, digits: int | None = None) -> Any:
        """A single number rounded as a float is: round(loss, 3). Raises ShapeError for more numbers."""
        return round(builtins.float(self), digits)

    def __bool__(self) -> bool:
        """Whether the single number in here is not 0. Raises ShapeError for a tensor of more or fewer."""
        if self.size != 1:
            raise ShapeError(f"bool(): the truth of {self.shape} numbers is ambiguous; use (t > 0).all() or .any()")
        return bool(builtins.float(self))

    def __len__(self) -> int:
        """The number of rows. Raises TypeError for a single number."""
        if self.ndim == 0:
            raise TypeError("len(): a single number has no length")
        return len(self._array)

    def __iter__(self) -> Iterator[Tensor]:
        """The rows, as views."""
        return (self[k] for k in range(len(self)))

    def __setitem__(self, index: Any, value: Any) -> None:
        """Writes value in place at an index, as in numpy."""
        self.refuse_on_tape("t[...] = value")
        given, index = value, plain_index(index)
        if not isinstance(value, (int, builtins.float)):
            value = as_array(value, self.dtype, "t[...] = value")
        self.touch("t[...] = value")
        self._array[index] = value
        self.came_from_itself("t[...] = value", given)

    def __repr__(self) -> str:
        numbers = np.array2string(self._array, separator=", ", prefix="tensor(")
        name = f", name='{self.name}'" if self.name else ""
        return f"tensor({numbers}, dtype={self.dtype}{', requires_g=True' if self.requires_g else ''}{name})"


COPY = tape.Copy("bp.tensor")
_new = Tensor.__new__


def wrap(array: Array, version: Version | None = None) -> Tensor:
    """A Tensor around an array that is known to be float32 or float64. version: that of the tensor it is a view of."""
    tensor = _new(Tensor)
    tensor._fill(array, version)
    return tensor


def operand(operation: str, left: Tensor, right: Any) -> Any:
    """right as a Tensor of left's dtype, or as a Python number; refuses what would broadcast by accident."""
    for name, operand in (("the left operand", left), ("the right operand", right)):
        if isinstance(operand, Tensor) and operand.holds_its_gradient():
            raise GradientError(messages.spoiled(operation, name, operand))
    if type(right) is builtins.float or type(right) is int:
        return right
    if not isinstance(right, Tensor):
        if isinstance(right, (int, builtins.float, np.number, np.bool_)):
            return _python_number(operation, right)
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


def _python_number(operation: str, value: Any) -> int | builtins.float:
    """A scalar as a Python number, which never changes a tensor's dtype as np.float64 would."""
    if isinstance(value, np.complexfloating):
        raise DTypeError(f"{operation}: found {type(value).__name__}, expected a real number")
    return int(value) if isinstance(value, (int, np.integer, np.bool_)) else builtins.float(value)


def foreign(array: Array) -> Tensor:
    """A Tensor around memory allocated elsewhere, which may overlap any other."""
    return wrap(array, ForeignVersion())


def tensor(
    data: ArrayLike, dtype: DTypeLike | None = None, *, requires_g: bool = False, name: str | None = None
) -> Tensor:
    """A tensor with a copy of data: numbers, lists, arrays, anything with __array__ or DLPack, of any shape.

    Arrays of float32 and float64 keep their dtype; all other real numbers become float32 unless dtype says float64.
    requires_g: whether the tape computes a gradient for it. name: shown in messages.
    Raises DTypeError for complex numbers, text, objects and masked arrays, and for a dtype that is neither float32 nor
    float64; ShapeError for lists whose rows differ in length; OutOfMemoryError if there is not enough memory.
    """
    return Tensor(data, dtype, requires_g=requires_g, name=name)


def as_tensor(data: ArrayLike, *, name: str | None = None) -> Tensor:
    """data itself if it is a tensor, else a tensor that shares the memory of data where that is possible.

    That is possible for arrays of float32 and float64 in native byte order; other data is copied as by `tensor`, and
    raises as there. name: shown in messages; a tensor keeps its own.
    """
    if isinstance(data, Tensor):
        return data
    result = foreign(as_array(data))
    result.name = name
    return result


def param(data: ArrayLike, dtype: DTypeLike | None = None, *, name: str | None = None) -> Tensor:
    """A parameter: a tensor with a copy of data and requires_g=True. Arguments and errors as for `tensor`."""
    return Tensor(data, dtype, requires_g=True, name=name)


def _restore(array: Array, requires_g: bool, name: str | None, g: Tensor | None) -> Tensor:
    flags = array.flags
    if type(array) is not np.ndarray or not (flags.owndata and flags.writeable and flags.aligned):
        shared, array = array, aligned_empty(array.shape, array.dtype)  # of a file that joblib maps, or of a buffer
        np.copyto(array, shared)
    restored = wrap(array)
    restored.requires_g, restored.name = requires_g, name
    if g is not None:
        np.copyto(restored.grad_buffer()._array, g._array)
    return restored


def plain_index(index: Any) -> Any:
    """An index as numpy takes it. Raises DTypeError for a tensor, which holds floats."""
    if isinstance(index, tuple):
        return tuple(map(plain_index, index))
    if isinstance(index, Mask):
        return index.data
    if isinstance(index, Tensor):
        raise DTypeError("t[...]: a tensor of floats cannot be an index; use t[mask], slices or integer arrays")
    return index
