"""Arena: one array each for a plan's parameters, their gradients and what the optimizer keeps of them.

The model's tensors become views of these arrays, so that they are always current and nothing is copied back. Each
view starts at a cache line; the padding between views is zeros. Parameters that the optimizer updates come first, so
that an update is one loop; then those that only have a gradient; then those without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.autograd.versions import DerivedVersion, Version
from pybackprop.core import native
from pybackprop.core.arrays import Array, aligned_zeros, check_size, pin, round_up_to_lines
from pybackprop.nn.optimizer import Optimizer


class Arena:
    """The memory of the parameters, in the order in which they are given.

    updated  how many of them, from the first on, the optimizer updates
    trained  how many of them, from the first on, have a gradient
    kept     the momentum or the moments of the updated parameters, by the names in Optimizer.STATE; empty before
    update   all updated parameters, with padding, as one bp_parameter;  clipped: each of them as one
    """

    parameters: list[Tensor]
    starts: list[int]
    updated: int
    trained: int
    values: Array
    updated_values: Array
    gradients: Array
    kept: dict[str, Array]
    update: Any
    clipped: Any
    written: Version
    g: list[Tensor]

    def __init__(self, parameters: Sequence[Tensor], updated: int, trained: int, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        sizes = [round_up_to_lines(p.size, dtype) for p in parameters]
        self.parameters = list(parameters)
        self.starts = [sum(sizes[:k]) for k in range(len(sizes))]
        self.updated, self.trained = updated, trained
        check_size("compile", (sum(sizes),), dtype)
        self.values = aligned_zeros(sum(sizes), dtype)
        self.updated_values = self.values[: sum(sizes[:updated])]
        self.gradients = aligned_zeros(sum(sizes[:trained]), dtype)
        self.kept = {}
        self.pins: list[Any] = [pin(self.values), pin(self.gradients)]
        self.update = native.parameters(1)
        self.update[0].p, self.update[0].dp = native.pointer(self.values), native.pointer(self.gradients)
        self.update[0].size = self.updated_values.size
        self.clipped = native.parameters(updated)
        for entry, p, start in zip(self.clipped, self.parameters[:updated], self.starts, strict=False):
            entry.dp, entry.size = native.pointer(self.gradients) + start, p.size
        self.written = Version()  # counts the writes of plan.grads to the gradients
        writes = self.written, *(p._version for p in self.parameters[: min(updated, 1)])
        self.g = [_like(p, view, writes) for p, view in self._views(self.gradients, trained)]

    def move_in(self) -> None:
        """Copies the parameters into the arena and makes them views of it."""
        for p, view in self._views(self.values, len(self.parameters)):
            view[...] = p._array
            _move(p, view)

    def _views(self, memory: Array, count: int) -> Iterable[tuple[Tensor, Array]]:
        """The first count parameters, each with its view of memory."""
        for p, start in list(zip(self.parameters, self.starts, strict=True))[:count]:
            yield p, memory[start : start + p.size].reshape(p.shape)

    def attach_gradients(self) -> None:
        """Makes each parameter's `.g` a view with the values that it had, or zeros."""
        for p, g in zip(self.parameters, self.g, strict=False):
            if p._g is not g:
                g._array[...] = 0 if p._g is None else p._g._array
                p._g = g

    def set_kept(self, optimizer: Optimizer | None) -> None:
        """Makes what the optimizer keeps of the parameters views; without momentum there is nothing."""
        if optimizer is None or not optimizer.keeps:
            native.set_kept(self.update[0], [])
            return
        for name in optimizer.STATE:
            if name not in self.kept:
                self.kept[name] = aligned_zeros(self.updated_values.size, self.dtype)
                self.pins.append(pin(self.kept[name]))
        views = [self._views(self.kept[name], self.updated) for name in optimizer.STATE]
        optimizer.take_state(
            self.parameters[: self.updated], [*zip(*([v for _, v in of] for of in views), strict=True)]
        )
        native.set_kept(self.update[0], [native.pointer(self.kept[name]) for name in optimizer.STATE])

    @property
    def kept_bytes(self) -> int:
        return sum(array.nbytes for array in self.kept.values())

    def place(self, p: Tensor | None) -> tuple[Any, Any]:
        """C's pointers to a parameter and to its gradient; NULL for what does not exist."""
        for k, (known, start) in enumerate(zip(self.parameters, self.starts, strict=True)):
            if known is p:
                g = native.pointer(self.gradients) + start if k < self.trained else native.NULL
                return native.pointer(self.values) + start, g
        return native.NULL, native.NULL


def _move(p: Tensor, view: Array) -> None:
    """Makes a tensor a view of a copy of its values. Counted as a write, so that a pending backward raises."""
    p.touch("compile")
    p._array, p._pointer, p._matrix, p._pin = view, None, None, pin(view)


def _like(p: Tensor, view: Array, writes: Iterable[Version]) -> Tensor:
    g = wrap(view, DerivedVersion(*writes))
    g.name = None if p.name is None else f"{p.name}.g"
    return g


__all__ = ["Arena"]
