"""Arena: one array each for a plan's parameters, their gradients and what the optimizer keeps of them.

The model's tensors become views of these arrays, so that they are always current and nothing is copied back. Each
view starts at a cache line; the padding between views is zeros. Parameters that the optimizer updates come first, their
weights before their biases, so that an update is one loop, or two where biases are not decayed; then those that only
have a gradient; then those without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.autograd.versions import DerivedVersion, Version
from pybackprop.core import native
from pybackprop.core.arrays import Array, aligned_zeros, check_size, pin, round_up_to_lines
from pybackprop.nn.bound import is_bias
from pybackprop.nn.optimizer import Optimizer


class Arena:
    """The memory of the parameters, in the order in which they are given.

    updated  how many of them, from the first on, the optimizer updates; given as tensors, in the model's order
    trained  how many of them, from the first on, have a gradient
    kept     the momentum or the moments of the updated parameters, by the names in Optimizer.STATE; empty before
    update   all updated parameters, with padding, as one bp_parameter, or as two: the weights, and the biases;
             update_count: how many it is
    clipped  each of them as one, in the model's order, in which their norm is added up
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
    update_count: int
    clipped: Any
    written: Version
    g: list[Tensor]

    def __init__(
        self, parameters: Sequence[Tensor], updated: Sequence[Tensor], trained: int, dtype: np.dtype[Any]
    ) -> None:
        self.dtype = dtype
        sizes = [round_up_to_lines(p.size, dtype) for p in parameters]
        self.parameters = list(parameters)
        self.starts = [sum(sizes[:k]) for k in range(len(sizes))]
        self.updated, self.trained = len(updated), trained
        check_size("compile", (sum(sizes),), dtype)
        self.values = aligned_zeros(sum(sizes), dtype)
        self.updated_values = self.values[: sum(sizes[: self.updated])]
        self.gradients = aligned_zeros(sum(sizes[:trained]), dtype)
        self.kept = {}
        self.pins: list[Any] = [pin(self.values), pin(self.gradients)]
        self.update = native.parameters(2)
        self._biases_from = sum(sizes[: sum(not is_bias(p) for p in updated)])
        self._describe_update(apart=False)
        self.clipped = native.parameters(self.updated)
        for entry, p in zip(self.clipped, updated, strict=True):
            entry.dp, entry.size = self.place(p)[1], p.size
        self.written = Version()  # counts the writes of plan.grads to the gradients
        writes = self.written, *(p._version for p in self.parameters[: min(self.updated, 1)])
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
        self._describe_update(apart=optimizer is not None and not optimizer.decay_biases)
        if optimizer is None or not optimizer.keeps:
            return
        for name in optimizer.STATE:
            if name not in self.kept:
                self.kept[name] = aligned_zeros(self.updated_values.size, self.dtype)
                self.pins.append(pin(self.kept[name]))
        views = [self._views(self.kept[name], self.updated) for name in optimizer.STATE]
        optimizer.take_state(
            self.parameters[: self.updated], [*zip(*([v for _, v in of] for of in views), strict=True)]
        )
        for k, start in enumerate((0, self._biases_from)[: self.update_count]):
            native.set_kept(self.update[k], [native.pointer(self.kept[name]) + start for name in optimizer.STATE])

    def _describe_update(self, apart: bool) -> None:
        """Tells C what is updated, without what an optimizer keeps of it. apart: weights and biases as two."""
        size = self.updated_values.size
        ranges = [(0, self._biases_from), (self._biases_from, size)] if apart else [(0, size)]
        self.update_count = len(ranges)
        for k, (start, end) in enumerate(ranges):
            entry = self.update[k]
            entry.p, entry.dp = native.pointer(self.values) + start, native.pointer(self.gradients) + start
            entry.size, entry.is_bias = end - start, k
            native.set_kept(entry, [])

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
