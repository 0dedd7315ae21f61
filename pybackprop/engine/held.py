"""Held: x or targ of a pass, as it was given and as C reads it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, foreign
from pybackprop.core import native
from pybackprop.core.arrays import Array, pin


class Held:
    """The data that backward will read; csrc/passes.c writes these slots too.

    given    a tensor or an array
    array    the array that C reads
    at       C's pointer to it; None: not made yet
    version  the count of a tensor's version in the forward pass; 0 for arrays
    pin      keeps the array's memory where it is: see core.arrays.pin
    """

    __slots__ = ("array", "at", "given", "pin", "version")

    array: Array
    version: int

    def __init__(self) -> None:
        self.given: Any = None
        self.array, self.at, self.version, self.pin = np.empty(0), None, 0, None

    def hold(self, given: Any, array: Array, at: Any, version: int) -> None:
        """Keeps the data of the next pass."""
        if array is not self.array:
            if array.base is None or array.base is not self.array.base:  # slices of one array need one pin
                self.pin = pin(array)
            self.array = array
        self.given, self.at, self.version = given, at, version

    def pointer(self, dtype: np.dtype[Any]) -> Any:
        """C's pointer to the data, which are of this dtype."""
        if self.at is None:
            self.at = native.from_buffer(native.C_TYPE[dtype], self.array)
        return self.at

    def operand(self) -> Tensor:
        """The data as an operation records it."""
        return self.given if type(self.given) is Tensor else foreign(self.array)

    def is_stale(self) -> bool:
        """Whether the data were written to since the forward pass, or their gradient is wanted now."""
        given = self.given
        return type(given) is Tensor and (given._version.count != self.version or given.requires_g)
