"""Value: what a part of a formula gives."""

from __future__ import annotations

from dataclasses import dataclass

from pybackprop.core.arrays import Array


@dataclass(frozen=True)
class Value:
    """An array in the dtype of the formula's arrays, with a letter for each axis; is_mask: the result of comparing."""

    array: Array
    letters: str
    is_mask: bool = False

    @property
    def T(self) -> Value:
        return Value(self.array.T, self.letters[::-1], self.is_mask)
