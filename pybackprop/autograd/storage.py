"""Storage: what a tensor is made of: an array, its gradient, its place on the tape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pybackprop.autograd import messages, tape, versions
from pybackprop.core import arrays, native
from pybackprop.core.arrays import Array, as_array, hint_at_fix, on_a_line
from pybackprop.core.errors import DTypeError, ShapeError

if TYPE_CHECKING:
    from pybackprop.autograd.tensor import Tensor


class Storage:
    """The array, the buffer of its gradient, and a version that counts the writes to the array."""

    __slots__ = (
        "__weakref__",
        "_array",
        "_g",
        "_g_at",
        "_matrix",
        "_node",
        "_pointer",
        "_version",
        "name",
        "requires_g",
    )

    _array: Array
    _g: Tensor | None
    _g_at: Any  # (version, version of .g) when .g was written; or who took it away. None: unknown
    _matrix: Any  # how C sees it, made when first needed: see matmul
    _node: tape.Node | None
    _pointer: Any
    _version: list[Any]  # [writes, the last one]: shared by all views of the same memory, see watch
    name: str | None
    requires_g: bool

    def _fill(self, array: Array, version: list[Any] | None = None) -> None:
        self._array = array
        self._g = self._g_at = self._matrix = self._node = self._pointer = self.name = None
        self._version = [0, None] if version is None else version
        self.requires_g = False

    def _become(self, array: Array) -> None:
        """Takes another array for its own, and keeps name and requires_g."""
        name, requires_g = self.name, self.requires_g
        self._fill(array)
        self.name, self.requires_g = name, requires_g

    def _make(self, array: Any, version: list[Any] | None = None) -> Tensor:
        """Another tensor around an array; version: this one's, if they share memory."""
        made: Any = type(self).__new__(type(self))
        made._fill(np.asarray(array), version)
        return made  # type: ignore[no-any-return]

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
        array = as_array(value, self.dtype, f"{self._called()}.g")
        if array.shape != self.shape:
            raise ShapeError(
                f"{self._called()}.g: found a gradient of shape {array.shape}, expected {self.shape}: a gradient "
                "has one number for each number of its tensor" + hint_at_fix(array.shape, self.shape)
            )
        if array.dtype != self.dtype:
            raise DTypeError(
                f"{self._called()}.g: found {array.dtype}, expected {self.dtype}, the tensor's own; "
                f"convert with {'.float()' if self.dtype == native.FLOAT32 else '.double()'}"
            )
        np.copyto(self.write_g("t.g = value")._array, array)

    def grad_buffer(self) -> Tensor:
        """`.g`, made if there is none yet (its numbers are then undefined)."""
        if self._g is None:
            array = self._array
            self._g = self._make(on_a_line(array.shape, array.dtype), versions.OfGradient((0, None)))
            if arrays.watcher is not None:
                arrays.watcher.called(self._g._array, f"{self.name or 'tensor'}.g", "gradients")
        return self._g

    def write_g(self, what: str) -> Tensor:
        """`.g`, which the operation `what` is about to fill with the gradient of the values as they are now."""
        g = self.grad_buffer() if self._g is None else self._g
        version = g._version
        if version is not self._version:
            version[0] += 1
            version[1] = what
            if versions.on:
                versions.note(version)
        self._g_at = self._version[0], version[0]
        return g

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

    def _called(self) -> str:
        return self.name or "tensor"

    def pointer(self) -> Any:
        """The C core's pointer to this (contiguous) tensor's memory."""
        if self._pointer is None:
            self._pointer = native.pointer(self._array)
        return self._pointer

    def contiguous(self) -> Tensor:
        """This tensor, or a copy of it where its rows do not lie one after another."""
        same: Any = self
        if self._array.flags.c_contiguous:
            return same  # type: ignore[no-any-return]
        copy = self.new_like()
        np.copyto(copy._array, self._array)
        return copy

    def alias(self) -> Tensor:
        """Another tensor with the same memory and version, off the tape."""
        return self._make(self._array, self._version)

    def touch(self, what: str) -> None:
        """Called before a write in place: refuses read-only memory, and tells the tape."""
        if not self._array.flags.writeable:
            raise ValueError(f"{what}: {messages.describe(self)} is read-only memory; use a copy: bp.tensor(t)")
        version = self._version
        if self._g is not None and self._g._version is version:
            self._g = None  # its memory gets other numbers now
        versions.wrote(version, what)
