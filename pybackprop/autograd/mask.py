"""Mask: what a comparison of tensors gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pybackprop.autograd import tape
from pybackprop.core import observer
from pybackprop.core.arrays import Array
from pybackprop.core.native import FLOAT64


class Mask:
    """Booleans of the shape of the comparison; `.float()` makes them 0 and 1 to multiply with.

    float() keeps the dtype of the tensor that was compared, so that `(x > 0).float() * x.g` never mixes two.
    """

    __slots__ = ("_wrap", "data", "dtype_compared")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, data: Array, dtype_compared: np.dtype[Any], wrap: Callable[[Array], Any]) -> None:
        """wrap: makes a tensor around an array."""
        self.data = np.asarray(data, bool)
        self.dtype_compared = dtype_compared
        self._wrap = wrap
        if observer.active is not None:
            observer.active.ran("a comparison", self.data, is_new=True)

    def float(self) -> Any:
        """0 and 1 as a Tensor in the dtype of the tensor that was compared."""
        return tape.cut(self._wrap(self.data.astype(self.dtype_compared)), ".float", self)

    def double(self) -> Any:
        """0 and 1 as a Tensor in float64."""
        return tape.cut(self._wrap(self.data.astype(FLOAT64)), ".double", self)

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of its axes."""
        return self.data.shape

    def sum(self, axis: int | None = None) -> Any:
        """How many are true: an int, or along an axis a Tensor."""
        return self.float().sum(axis) if axis is not None else int(self.data.sum())

    def mean(self) -> Any:
        """The share that is true, as a Python float."""
        return float(self.data.mean())

    def all(self) -> bool:
        """Whether all are true."""
        return bool(self.data.all())

    def any(self) -> bool:
        """Whether at least one is true."""
        return bool(self.data.any())

    def _like(self, data: Array) -> Mask:
        return Mask(data, self.dtype_compared, self._wrap)

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __getitem__(self, index: Any) -> Mask:
        return self._like(self.data[index])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self.data if dtype is None else self.data.astype(dtype)
        return array.copy() if copy else array

    def __invert__(self) -> Mask:
        return self._like(~self.data)

    def __and__(self, other: Any) -> Mask:
        return self._like(self.data & np.asarray(other))

    def __or__(self, other: Any) -> Mask:
        return self._like(self.data | np.asarray(other))

    def __eq__(self, other: object) -> Any:
        return self._like(self.data == np.asarray(other))

    def __mul__(self, other: Any) -> Any:
        return self.float() * other

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"mask({np.array2string(self.data, separator=', ', prefix='mask(')})"
