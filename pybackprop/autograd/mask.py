"""Mask: the result of comparing tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pybackprop.autograd import tape
from pybackprop.autograd.protocols import TensorLike
from pybackprop.core import observer
from pybackprop.core.arrays import Array
from pybackprop.core.native import FLOAT64

T = TypeVar("T", bound=TensorLike)  # Tensor; its module imports this one


class Mask(Generic[T]):
    """Booleans in the shape of a comparison of tensors; `.float()` makes them 0 and 1 to multiply with.

    data            the booleans, a numpy array
    dtype_compared  of the tensor that was compared; float() keeps it, so that `(x > 0).float() * x.g` mixes no dtypes

    & | ~ == and [...] return masks, * a tensor. bool() raises ValueError for more than one element, as numpy does.
    """

    __slots__ = ("_wrap", "data", "dtype_compared")
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    data: Array
    dtype_compared: np.dtype[Any]
    _wrap: Callable[[Array], T]

    def __init__(self, data: ArrayLike, dtype_compared: np.dtype[Any], wrap: Callable[[Array], T]) -> None:
        """wrap: returns a tensor around an array."""
        self.data = np.asarray(data, bool)
        self.dtype_compared = dtype_compared
        self._wrap = wrap
        if observer.active is not None:
            observer.active.ran("a comparison", self.data, is_new=True)

    def float(self) -> T:
        """0 and 1 as a Tensor of this shape, in the dtype of the tensor that was compared."""
        return tape.cut(self._wrap(self.data.astype(self.dtype_compared)), ".float", self)

    def double(self) -> T:
        """0 and 1 as a Tensor of this shape, in float64."""
        return tape.cut(self._wrap(self.data.astype(FLOAT64)), ".double", self)

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.data.shape

    @overload
    def sum(self, axis: None = None) -> int: ...
    @overload
    def sum(self, axis: int) -> T: ...
    def sum(self, axis: int | None = None) -> Any:
        """How many are true: an int; along an axis, a Tensor. Raises ValueError for an axis that does not exist."""
        tensor: Any = self.float() if axis is not None else None
        return int(self.data.sum()) if tensor is None else tensor.sum(axis)

    def mean(self) -> Any:
        """The fraction that is true, as a Python float."""
        return float(self.data.mean())

    def all(self) -> bool:
        """Whether all are true."""
        return bool(self.data.all())

    def any(self) -> bool:
        """Whether at least one is true."""
        return bool(self.data.any())

    def _like(self, data: Array) -> Mask[T]:
        return Mask(data, self.dtype_compared, self._wrap)

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __getitem__(self, index: Any) -> Mask[T]:
        return self._like(self.data[index])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        array = self.data if dtype is None else self.data.astype(dtype)
        return array.copy() if copy else array

    def __invert__(self) -> Mask[T]:
        return self._like(~self.data)

    def __and__(self, other: ArrayLike) -> Mask[T]:
        return self._like(self.data & np.asarray(other))

    def __or__(self, other: ArrayLike) -> Mask[T]:
        return self._like(self.data | np.asarray(other))

    def __eq__(self, other: object) -> Mask[T]:  # type: ignore[override]
        return self._like(self.data == np.asarray(other))

    def __mul__(self, other: ArrayLike) -> T:
        tensor: Any = self.float()
        product: T = tensor * other
        return product

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"mask({np.array2string(self.data, separator=', ', prefix='mask(')})"
