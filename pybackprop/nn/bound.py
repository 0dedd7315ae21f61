"""Bound: an optimizer's parameters, checked, with C's pointers to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pybackprop.autograd import tape, versions
from pybackprop.autograd.messages import describe
from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native, observer, short_calls
from pybackprop.core.arrays import is_plain
from pybackprop.core.errors import DTypeError, GradientError, ShapeError

SMALL = 2**15  # elements: an update of some microseconds, in which no other thread of Python runs


class Bound:
    """Checked parameters and C's pointers to them, valid as long as nothing about them changes.

    operation    "SGD.step", for messages
    c_optimizer  C's bp_optimizer
    kept         what the optimizer keeps of each parameter: its momentum, its mean squares
    moves        whether momentum is not 0
    """

    operation: str
    c_optimizer: Any
    moves: bool
    memory: list[tuple[int, Tensor, Any, Any]]
    versions: list[Any]
    calls: list[Any]
    looked: bool

    def __init__(
        self,
        operation: str,
        c_optimizer: Any,
        parameters: Sequence[Tensor],
        kept: Sequence[Sequence[Tensor]],
        moves: bool,
    ) -> None:
        self.operation, self.c_optimizer, self.moves = operation, c_optimizer, moves
        self.memory = [(k, p, p._array, p._g) for k, p in enumerate(parameters)]
        self.versions = [p._version for p in parameters]
        self.kept = kept  # kept alive for C
        self.calls = [self._call(dtype, parameters) for dtype in {p.dtype for p in parameters}]
        self.gradients: list[Any] = [p._g._version for p in parameters if p._g is not None]
        self.used: list[int] = []  # at the last update: what the gradients' versions counted, and how many walks
        self.short: Any = None  # the update as a short call, from the third one on
        self.looked = False  # whether there may be one

    def check_renewed(self) -> None:
        """Raises GradientError for a `.g` that was used before, if a backward has run since that did not reach it."""
        if not self.used:
            return
        *used, walks = self.used
        old = [k for k, version in enumerate(self.gradients) if version.count == used[k]]
        if old and (len(old) < len(used) or tape.walks != walks):
            p = self.memory[old[0]][1]
            raise GradientError(
                f"{self.operation}: {describe(p)} still has the .g of an earlier backward, which was used already: the "
                f"last one did not reach it{_why_not(p)}. Leave it out of the optimizer, or set its .g to None or to "
                "zeros"
            )

    def shorten(self) -> None:
        """Prepares the next updates, if those take little more than these checks."""
        self.looked = True
        tensors = tuple(p for _, p, _, _ in self.memory)
        if sum(p.size for p in tensors) > SMALL or len(self.calls) > 1:
            return
        watched: list[tuple[Any, str, Any]] = []
        for _, p, array, g in self.memory:
            watched += [(p, "_array", array), (p, "_g", g), (p, "_node", None)]
        modules = vars(observer), vars(versions), vars(tape)
        given = self.calls[0], tuple(watched), tuple(self.versions), modules, self.operation, self.kept
        read = tuple(self.gradients)
        writer = short_calls.writer("optimizer_step", *given, self.moves, tensors, read, self.used, self.c_optimizer)
        self.short = writer and writer.update

    def _call(self, dtype: np.dtype[Any], parameters: Sequence[Tensor]) -> tuple[Any, Any, int]:
        """(dtype, C's array, that array's length) for the parameters of one dtype."""
        indices = [k for k, p in enumerate(parameters) if p.dtype == dtype]
        array = native.parameters(len(indices))
        for entry, k in zip(array, indices, strict=True):
            dp: Any = parameters[k]._g
            entry.p, entry.dp, entry.size = parameters[k].pointer(), dp.pointer(), parameters[k].size
            entry.is_bias = is_bias(parameters[k])
            native.set_kept(entry, [tensor.pointer() for tensor in self.kept[k]])
        return dtype, array, len(indices)

    def fits(self, parameters: Sequence[Tensor], moves: bool) -> bool:
        """Whether these are the same, with the same memory, and it may still be written to."""
        if moves != self.moves or len(parameters) != len(self.memory):
            return False
        for k, p, array, g in self.memory:
            if parameters[k] is not p or p._array is not array or p._g is not g or p._node is not None:
                return False
            if not array.flags.writeable:
                return False
        return True

    def update(self, lr: float, momentum: float) -> None:
        for version in self.versions:  # Version.wrote, without a call for each
            version.count += 1
            version.by = self.operation
            if versions.on:
                version.remember()
        for dtype, array, count in self.calls:
            native.optimizer_step[dtype](array, count, self.c_optimizer, lr, momentum)
        self.c_optimizer.steps += 1
        if self.used and not self.looked:
            self.shorten()
        self.used[:] = [*(version.count for version in self.gradients), tape.walks]
        if observer.active is not None:
            observer.active.ran(self.operation)


def is_bias(parameter: Tensor) -> bool:
    """Whether an optimizer with decay_biases=False leaves a parameter's decay out: one without two axes."""
    return parameter.ndim < 2


def _why_not(p: Tensor) -> str:
    """What can be known of why a backward did not reach a parameter."""
    if not p.requires_g:
        return ", for it does not require a gradient (requires_g is False)"
    return (
        ", for the loss was not computed from it: its layer was not called or was given another tensor, or a step on "
        "the way was off the tape (numpy's functions, .data, bp.tensor)"
    )


def check(operation: str, p: Tensor) -> None:
    """Raises GradientError, ShapeError, DTypeError or ValueError for a parameter that cannot be updated."""
    check_gradient(operation, p)
    if p._node is not None:
        raise GradientError(f"{operation}: {describe(p)} is a result ('{p._node.op.name}'), not a parameter")
    if not p._array.flags.writeable or not is_plain(p._array):
        raise ValueError(
            f"{operation}: {describe(p)} is read-only, or not contiguous and aligned; make it with bp.param"
        )


def check_gradient(operation: str, p: Tensor) -> None:
    """Raises GradientError, ShapeError or DTypeError for a parameter without a `.g` that C can read."""
    if p._g is None:
        raise GradientError(f"{operation}: {describe(p)} has no .g; run backward first")
    if p._g.shape != p.shape:
        raise ShapeError(f"{operation}: {describe(p)} has a .g of shape {p._g.shape}")
    if p._g.dtype != p.dtype or not is_plain(p._g._array):
        raise DTypeError(
            f"{operation}: the .g of {describe(p)} is {p._g.dtype}, or not contiguous and aligned; set it to None first"
        )
