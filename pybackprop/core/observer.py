"""The observer of buffers and operations, for the open ledgers: see memory/recorder.py.

Operations report to `active` what they did. Without an observer that costs the test of one variable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy.typing as npt

Array = npt.NDArray[Any]
Product = tuple[int, int, int]  # rows, inner, cols


class Observer(Protocol):
    """What is reported to an observer."""

    def allocated(self, array: Array) -> None:
        """An array was allocated for the next operation."""

    def named(self, array: Array, name: str, kind: str) -> None:
        """An array got a name and a kind (parameters, gradients, data)."""

    def ran(self, operation: str, *arrays: Array, products: Sequence[Product] = (), is_new: bool = False) -> None:
        """An operation wrote the first array, and read or wrote the others.

        products: the matrix products in it, whose operands the C core packed into a workspace of its own.
        is_new: the first array was made by the operation, maybe by numpy, which tells nobody.
        """

    def ran_pass(self, operation: str, workspace: Any) -> None:
        """A Model computed all its layers in one call, in a workspace that knows what lies where in it."""

    def ran_plan(self, operation: str, plan: Any) -> None:
        """A plan was compiled, or computed in its own memory."""


active: Observer | None = None
