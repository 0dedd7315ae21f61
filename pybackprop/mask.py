"""Mask: the answer to a comparison of tensors, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pybackprop.autograd import tape
from pybackprop.core import arrays
from pybackprop.core.arrays import Array
from pybackprop.core.native import FLOAT64

if TYPE_CHECKING:
    from pybackprop.autograd.tensor import Tensor


class Mask:
    """Booleans of the shape of the comparison; `.float()` makes them 0 and 1 to multiply with.

    float() keeps the dtype of the tensor that was compared, so that `(x > 0).float() * x.g` never mixes two.
    """

    __slots__ = ("data", "dtype_compared")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, data: Array, dtype_compared: np.dtype[Any]) -> None:
        self.data = np.asarray(data, bool)
        self.dtype_compared = dtype_compared
        if arrays.watcher is not None:
            arrays.watcher.computed("a comparison", self, ())

    def float(self) -> Tensor:
        """0 and 1 in the dtype of the tensor that was compared."""
        from pybackprop.autograd.tensor import wrap

        return tape.cut(wrap(self.data.astype(self.dtype_compared)), ".float", self)

    def double(self) -> Tensor:
        """0 and 1 in float64."""
        from pybackprop.autograd.tensor import wrap

        return tape.cut(wrap(self.data.astype(FLOAT64)), ".double", self)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    def sum(self, axis: int | None = None) -> Any:
        return self.float().sum(axis) if axis is not None else int(self.data.sum())

    def mean(self) -> Any:
        return float(self.data.mean())

    def all(self) -> bool:
        return bool(self.data.all())

    def any(self) -> bool:
        return bool(self.data.any())

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __getitem__(self, index: Any) -> Mask:
        return Mask(self.data[index], self.dtype_compared)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self.data if dtype is None else self.data.astype(dtype)
        return array.copy() if copy else array

    def __invert__(self) -> Mask:
        return Mask(~self.data, self.dtype_compared)

    def __and__(self, other: Any) -> Mask:
        return Mask(self.data & np.asarray(other), self.dtype_compared)

    def __or__(self, other: Any) -> Mask:
        return Mask(self.data | np.asarray(other), self.dtype_compared)

    def __eq__(self, other: object) -> Any:
        return Mask(self.data == np.asarray(other), self.dtype_compared)

    def __mul__(self, other: Any) -> Tensor:
        product: Tensor = self.float() * other
        return product

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"mask({np.array2string(self.data, separator=', ', prefix='mask(')})"
