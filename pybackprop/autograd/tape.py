"""The tape: what each tensor was computed from, and the walk back along it.

There is no global tape. A result that somebody wants a gradient of remembers its operation and its
operands (a Node), and `backward` walks from the loss to the leaves, each operation once, in an
order in which every `.g` is complete before it is used (law of total derivative: sum over paths).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np

from pybackprop.autograd import messages, versions
from pybackprop.core import arrays
from pybackprop.core.errors import GradientError

if TYPE_CHECKING:
    from pybackprop.autograd.storage import Storage
    from pybackprop.autograd.tensor import Tensor

Backward: TypeAlias = "Callable[[Tensor, Sink], None]"


class Node:
    """One operation on the tape.

    saved   tensors whose values backward reads, with their versions
    seen    their checksums, and where the operation was called, if debug was on (see watch.py)
    """

    __slots__ = ("backward", "inputs", "operation", "origins", "saved", "seen")

    seen: tuple[list[int], str] | None

    def __init__(
        self, operation: str, inputs: Sequence[Storage], backward: Backward | None, saved: Sequence[Storage]
    ) -> None:
        self.operation = operation
        self.inputs = inputs
        self.origins = [tensor._node for tensor in inputs]
        self.backward = backward
        self.saved = [(tensor, tensor._version[0]) for tensor in saved]
        self.seen = versions.seen(saved) if versions.on else None

    def at_once(self, root: Storage, keep: bool, accumulate: bool) -> bool:
        """Makes the whole walk back from root, whose node this is, if it knows a shorter way than `backward`."""
        return False

    def check(self) -> None:
        """Raises GradientError where this operation has no derivative or lost a value that it needs."""
        if self.backward is None:
            raise GradientError(
                f"backward: no derivative is known here for '{self.operation}', so the path to the tensors "
                "that want a gradient is cut there. Use lin, @, +, relu or mse on that path, or write this "
                "step's gradient by hand and assign it to .g"
            )
        self.check_values("backward")
        for tensor, node in zip(self.inputs, self.origins, strict=True):
            if tensor._node is not node:
                raise GradientError(messages.overwritten("backward", self, tensor, None))

    def check_values(self, asks: str) -> None:
        """Raises GradientError where a value that it needs was overwritten."""
        for tensor, version in self.saved:
            if tensor._version[0] != version:
                raise GradientError(messages.overwritten(asks, self, tensor, version))
        if self.seen is not None:
            for (tensor, version), checksum in zip(self.saved, self.seen[0], strict=True):
                if versions.checksum(tensor) != checksum:
                    raise GradientError(messages.overwritten(asks, self, tensor, version))


class Sink:
    """Where a backward writes its gradients. keep: whether intermediate results' gradients stay readable."""

    keep = True

    def wants(self, tensor: Storage) -> bool:
        """Whether somebody wants this tensor's gradient."""
        return tensor.requires_g

    def into(self, tensor: Storage) -> tuple[Tensor, bool] | None:
        """(the buffer, whether to add to it); None if nobody wants this tensor's gradient."""
        raise NotImplementedError

    def put(self, tensor: Storage, make: Callable[[Tensor], None]) -> None:
        """For elementwise gradients: make fills a tensor, which is stored or added."""
        found = self.into(tensor)
        if found is None:
            return
        buffer, add = found
        fresh = buffer.new_like() if add else buffer
        make(fresh)
        if add:
            with np.errstate(all="ignore"):
                np.add(buffer._array, fresh._array, out=buffer._array)


class Gradients(Sink):
    """One walk of the tape: the first path overwrites a tensor's gradient, the next ones add.

    Without keep, the gradients of intermediate results lie in buffers that later ones use again.
    """

    def __init__(self, keep: bool, accumulate: bool) -> None:
        self.keep = keep
        self.accumulate = accumulate
        self.buffers: dict[int, Tensor] = {}
        self.free: dict[tuple[Any, ...], list[Tensor]] = {}

    def into(self, tensor: Storage) -> tuple[Tensor, bool] | None:
        if not tensor.requires_g:
            return None
        buffer = self.buffers.get(id(tensor))
        if buffer is not None:
            return buffer, True
        is_leaf = tensor._node is None
        add = is_leaf and self.accumulate and tensor._g is not None
        buffer = tensor.write_g("backward") if is_leaf or self.keep else self._temporary(tensor)
        self.buffers[id(tensor)] = buffer
        return buffer, add

    def _temporary(self, tensor: Storage) -> Tensor:
        spare = self.free.get((tensor.shape, tensor.dtype))
        return spare.pop() if spare else tensor.new_like()

    def take(self, tensor: Storage) -> Tensor | None:
        """The finished gradient of an intermediate result; None if nobody wanted it."""
        return self.buffers.pop(id(tensor), None)

    def give_back(self, buffer: Tensor) -> None:
        if not self.keep:
            self.free.setdefault((buffer.shape, buffer.dtype), []).append(buffer)


class Explicit(Sink):
    """A lesson function: every tensor it was given gets its `.g`; one given twice gets the sum of its paths."""

    def __init__(self, operation: str, *given: Any) -> None:
        self.operation = operation
        self.given = given
        self.seen: list[int] = []

    def into(self, tensor: Storage) -> tuple[Tensor, bool] | None:
        for value in self.given:  # by identity: == compares numbers
            if value is tensor:
                break
        else:
            return None
        again = id(tensor) in self.seen
        self.seen.append(id(tensor))
        return tensor.write_g(self.operation), again


class _Switch(threading.local):
    recording = True


_switch = _Switch()


def is_recording() -> bool:
    return _switch.recording


@contextmanager
def paused() -> Iterator[None]:
    """Nothing that this thread computes in here goes on the tape, so nothing is kept for a backward."""
    before, _switch.recording = _switch.recording, False
    try:
        yield
    finally:
        _switch.recording = before


def record(
    out: Tensor, operation: str, inputs: Sequence[Storage], backward: Backward, saved: Sequence[Storage] = ()
) -> Tensor:
    """Puts out on the tape if one of its inputs wants a gradient."""
    if arrays.watcher is not None:
        arrays.watcher.computed(operation, out, inputs)
    if _switch.recording:
        for tensor in inputs:
            if tensor.requires_g:
                out.requires_g = True
                out._node = Node(operation, inputs, backward, saved)
                break
    return out


def cut(out: Tensor, operation: str, *inputs: Any) -> Tensor:
    """Marks out as computed by an operation that has no derivative here. Keeps no operand alive."""
    if arrays.watcher is not None:
        arrays.watcher.computed(operation, out, inputs)
    if _switch.recording and any(getattr(tensor, "requires_g", False) for tensor in inputs):
        out.requires_g = True
        out._node = Node(operation, (), None, ())
    return out


def backward(root: Storage, keep: bool, accumulate: bool) -> None:
    """Fills `.g` of every leaf that wants it with d root / d leaf. root is one number."""
    if root._node is not None and root._node.at_once(root, keep, accumulate):
        return
    if root.size != 1:
        _refuse_non_scalar(root)
    order = _from_root(root)
    for tensor in order:
        tensor._node.check()  # type: ignore[union-attr]
    _refuse_lost(order)
    gradients = Gradients(keep, accumulate)
    gradients.into(root)[0]._array[...] = 1  # type: ignore[index]
    for tensor in order:
        upstream = gradients.take(tensor)
        if upstream is None:
            continue
        tensor._node.backward(upstream, gradients)  # type: ignore[union-attr, misc]
        gradients.give_back(upstream)
        if not keep:
            tensor._g, tensor._g_at = None, messages.FREED


def _refuse_lost(order: Sequence[Storage]) -> None:
    """Raises GradientError if this walk would write a leaf's `.g` that one of its operations still reads."""
    nodes: list[Any] = [tensor._node for tensor in order]
    read = [t for node in nodes for t, _ in node.saved if isinstance(t._version, versions.OfGradient)]
    if not read:
        return
    leaves = [t for node in nodes for t in node.inputs if t._node is None and t.requires_g and t._g is not None]
    for leaf in leaves:
        for tensor in read:
            if tensor._version is leaf._g._version:
                raise GradientError(
                    f"backward: this loss was computed from the .g of {messages.describe(leaf)}, which would be "
                    "overwritten on the way while it is still read. Compute the loss from a copy: bp.tensor(t.g)"
                )


def _refuse_non_scalar(root: Storage) -> NoReturn:
    raise GradientError(
        f"backward: found a tensor of shape {root.shape}, expected one number: the gradient of many numbers "
        "is a Jacobian. Reduce it first, e.g. with mse(out, targ)"
    )


def _from_root(root: Storage) -> list[Storage]:
    """The tensors on the tape between root and the leaves, each after all that were computed from it."""
    if root._node is None:
        raise GradientError(
            "backward: this tensor is not on a tape. Either nothing it was computed from wants a gradient "
            "(make the weights with bp.param, or set requires_g = True), or there was no forward pass yet"
        )
    order: list[Storage] = []
    seen: set[int] = set()
    stack: list[tuple[Storage, bool]] = [(root, False)]
    while stack:  # a loop, not a recursion: a graph may be deeper than Python's stack
        tensor, done = stack.pop()
        if done:
            order.append(tensor)
        elif id(tensor) not in seen:
            seen.add(id(tensor))
            stack.append((tensor, True))
            operands = tensor._node.inputs  # type: ignore[union-attr]
            stack.extend((operand, False) for operand in operands if operand._node is not None)
    return order[::-1]
