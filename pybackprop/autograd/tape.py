"""The tape: what each tensor was computed from, and the backward pass over it.

There is no global tape. A result with requires_g keeps its operation and its operands (a Node). `backward` walks
from the loss to the leaves and visits each operation once, in an order in which every `.g` is complete before it
is used (law of total derivative: sum over paths).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn, TypeVar

import numpy as np

from pybackprop.autograd import messages, spent, versions
from pybackprop.autograd.origins import origin_of
from pybackprop.autograd.protocols import Operation, TensorLike
from pybackprop.core import arithmetic, observer
from pybackprop.core.errors import GradientError

T = TypeVar("T", bound=TensorLike)
NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


class Node:
    """One operation on the tape.

    op        the operation's record
    inputs    its operands
    origins   the nodes of the operands when the operation ran; None for leaves
    params    its other arguments
    saved     tensors whose values backward reads, with their version counts
    checksums  of their values, and where the operation was called; only if debug was on (see versions.py)
    read      after a backward from here: the parameters that it read, with their version counts
    """

    __slots__ = ("checksums", "inputs", "op", "origins", "params", "read", "saved")

    op: Operation
    inputs: Sequence[TensorLike]
    params: Mapping[str, Any]
    origins: list[Any]
    saved: list[tuple[TensorLike, int]]
    checksums: tuple[list[int], str] | None
    read: list[tuple[TensorLike, int]]

    def __init__(
        self,
        op: Operation,
        inputs: Sequence[TensorLike],
        saved: Sequence[TensorLike] = (),
        params: Mapping[str, Any] = NO_PARAMS,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.params = params
        self.origins = [tensor._node for tensor in inputs]
        self.saved = [(tensor, tensor._version.count) for tensor in saved]
        self.checksums = (versions.checksums(saved), versions.caller()) if versions.on else None

    @property
    def is_written(self) -> bool:
        """Whether its inputs are known; if not, reading them writes the tape."""
        return True

    @property
    def has_derivative(self) -> bool:
        """Whether a backward can pass through it."""
        return self.op.backward is not None

    def backward(self, upstream: TensorLike, sink: Sink) -> None:
        """Computes from upstream, the result's gradient, those gradients of the inputs that sink asks for."""
        backward: Any = self.op.backward
        backward(self.inputs, [t for t, _ in self.saved], upstream, sink, **self.params)

    def at_once(self, root: TensorLike, keep: bool, accumulate: bool) -> bool:
        """Runs the whole backward from root, whose node this is, if it can do so in one call; whether it did."""
        return False

    def check(self) -> None:
        """Raises GradientError if this operation has no derivative, or a value that it needs was overwritten."""
        if not self.has_derivative:
            raise GradientError(
                f"backward: no derivative is known here for '{self.op.name}', so the path to the tensors "
                "with requires_g is cut there. Use an operation that has one (they are listed in help(bp.Tensor)), or "
                "write this step's gradient by hand and assign it to .g"
            )
        self.check_values("backward")
        for tensor, node in zip(self.inputs, self.origins, strict=True):
            if tensor._node is not node:
                raise GradientError(messages.overwritten("backward", self, tensor, None))

    def check_values(self, operation: str) -> None:
        """Raises GradientError if a value that it needs was overwritten. operation: the caller, for the message."""
        if isinstance(self.op, spent.Spent):
            self.op.refuse(operation)
        for tensor, count in self.saved:
            if tensor._version.count != count:
                raise GradientError(messages.overwritten(operation, self, tensor, count))
        if self.checksums is not None:
            for (tensor, count), checksum in zip(self.saved, self.checksums[0], strict=True):
                if versions.checksum(tensor) != checksum:
                    raise GradientError(messages.overwritten(operation, self, tensor, count))

    def free(self, updated: TensorLike) -> None:
        """Drops all values behind this operation, as nothing can use them since a parameter was updated."""
        self.op, self.params, self.checksums = spent.Spent(self.op, updated), NO_PARAMS, None
        self.inputs, self.origins, self.saved = (), [], []


@dataclass(frozen=True)
class NoDerivative:
    """The record of an operation that has no derivative here."""

    name: str
    inplace: ClassVar[bool] = False
    backward: ClassVar[None] = None

    def lasting(self) -> NoDerivative:
        """Itself."""
        return self

    def purpose(self, inputs: Sequence[TensorLike], tensor: TensorLike) -> str:
        """Empty: no gradient needs its values."""
        return ""

    def replay(self, arrays: Sequence[Any], **params: Any) -> Any:
        """Raises GradientError."""
        raise GradientError(f"'{self.name}' cannot be run again here")


class Copy(NoDerivative):
    """The record of a copy that is off the tape."""

    def replay(self, arrays: Sequence[Any], **params: Any) -> Any:
        return arrays[0]


@lru_cache(maxsize=256)
def no_derivative(name: str) -> NoDerivative:
    """The record for an operation of this name."""
    return NoDerivative(name)


class Sink:
    """Where a backward writes its gradients. keep: whether those of intermediate results stay readable."""

    keep: bool = True

    def wants(self, tensor: TensorLike) -> bool:
        """Whether the gradient of this tensor is needed."""
        return tensor.requires_g

    def into(self, tensor: TensorLike) -> tuple[Any, bool] | None:
        """(the buffer, whether to add to it); None if the gradient of this tensor is not needed."""
        raise NotImplementedError

    def put(self, tensor: TensorLike, fill: Callable[[Any], None]) -> Any:
        """Stores or adds a gradient that fill writes into the tensor it is given; the buffer, or None as for into."""
        target = self.into(tensor)
        if target is None:
            return None
        buffer, add = target
        fresh = buffer.new_like() if add else buffer
        fill(fresh)
        if add:
            arithmetic.combine(arithmetic.ADD, buffer._array, fresh._array, buffer._array)
        return buffer


class Gradients(Sink):
    """The gradients of one backward pass: the first path overwrites a tensor's gradient, the next ones add.

    Without keep, the gradients of intermediate results reuse each other's buffers.
    """

    def __init__(self, keep: bool, accumulate: bool) -> None:
        self.keep = keep
        self.accumulate = accumulate
        self.buffers: dict[int, Any] = {}
        self.free: dict[tuple[Any, ...], list[Any]] = {}

    def into(self, tensor: TensorLike) -> tuple[Any, bool] | None:
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

    def _temporary(self, tensor: TensorLike) -> Any:
        spare = self.free.get((tensor.shape, tensor.dtype))
        return spare.pop() if spare else tensor.new_like()

    def take(self, tensor: TensorLike) -> Any:
        """The finished gradient of an intermediate result; None if there is none."""
        return self.buffers.pop(id(tensor), None)

    def give_back(self, buffer: TensorLike) -> None:
        """Releases an intermediate result's buffer, so that later gradients can reuse it."""
        if not self.keep:
            self.free.setdefault((buffer.shape, buffer.dtype), []).append(buffer)


class Explicit(Sink):
    """For a lesson function: every tensor passed to it gets its `.g`; one passed twice gets the sum over its paths."""

    def __init__(self, operation: str, *operands: Any) -> None:
        self.operation = operation
        self.operands = operands
        self.written: list[int] = []

    def wants(self, tensor: TensorLike) -> bool:
        return any(value is tensor for value in self.operands)  # by identity: == compares numbers

    def into(self, tensor: TensorLike) -> tuple[Any, bool] | None:
        if not self.wants(tensor):
            return None
        again = id(tensor) in self.written
        self.written.append(id(tensor))
        return tensor.write_g(self.operation), again


class _Switch(threading.local):
    recording = True


switch = _Switch()


def is_recording() -> bool:
    """Whether what this thread computes goes on the tape."""
    return switch.recording


@contextmanager
def paused() -> Iterator[None]:
    """Keeps what this thread computes off the tape, so that nothing is kept for a backward."""
    before, switch.recording = switch.recording, False
    try:
        yield
    finally:
        switch.recording = before


def record(
    out: T,
    op: Operation,
    inputs: Sequence[TensorLike],
    saved: Sequence[TensorLike] = (),
    params: Mapping[str, Any] = NO_PARAMS,
    products: Sequence[observer.Product] = (),
) -> T:
    """Puts out on the tape if one of its inputs has requires_g. products: see Observer.ran."""
    if observer.active is not None:
        arrays = [t._array for t in inputs]
        observer.active.ran(op.name, out._array, *arrays, products=products, is_new=out._version.count == 0)
    if switch.recording:
        for tensor in inputs:
            if tensor.requires_g:
                out.requires_g = True
                out._node = Node(op, inputs, saved, params)
                break
        else:
            out._origin = origin_of(out, op.lasting(), inputs, params)
    return out


def record_view(out: T, op: Operation, inp: TensorLike, params: Mapping[str, Any] = NO_PARAMS) -> T:
    """As `record`, for a result that may show the memory of its input; nothing is reported where it does."""
    if observer.active is not None and out._version is not inp._version:
        observer.active.ran(op.name, out._array, inp._array, is_new=True)
    if switch.recording and inp.requires_g:
        out.requires_g = True
        out._node = Node(op, (inp,), (), params)
    return out


def may_share(tensor: TensorLike) -> bool:
    """Whether a result on the tape may share the memory of a tensor that it was computed from."""
    node = tensor._node
    if node is None or node.op.inplace:
        return False
    return not node.has_derivative or any(inp._version is tensor._version for inp in node.inputs)


def cut(out: T, operation: str, *inputs: Any, products: Sequence[observer.Product] = ()) -> T:
    """Marks out as computed by an operation that has no derivative here. Keeps no operand alive."""
    if observer.active is not None and out._version is not getattr(inputs[0], "_version", None):  # not for views
        arrays = [array for array in map(_array_of, inputs) if array is not None]
        observer.active.ran(operation, out._array, *arrays, products=products, is_new=True)
    if switch.recording:
        came_from(out, no_derivative(operation), inputs)
        if any(getattr(tensor, "requires_g", False) for tensor in inputs):
            out.requires_g = True
            out._node = Node(no_derivative(operation), ())
    return out


def came_from(out: TensorLike, op: Operation, inputs: Sequence[Any]) -> None:
    """Remembers, for explanations, what out was computed from off the tape; inputs that are no tensors don't count."""
    tensors = [t for t in inputs if hasattr(t, "_origin")]
    if tensors:
        out._origin = origin_of(out, op, tensors, NO_PARAMS)


def _array_of(value: Any) -> Any:
    array = getattr(value, "_array", getattr(value, "data", None))
    return array if isinstance(array, np.ndarray) else None


walks: int = 0  # how many backward passes there were: an optimizer asks whether one of them has missed a parameter


def backward(root: TensorLike, keep: bool, accumulate: bool) -> None:
    """Fills `.g` of every leaf with requires_g with d root / d leaf. root is one number."""
    global walks
    if root._node is None or not root._node.at_once(root, keep, accumulate):
        _walk_back(root, keep, accumulate)
    walks += 1


def _walk_back(root: TensorLike, keep: bool, accumulate: bool) -> None:
    if root.size != 1:
        _refuse_non_scalar(root)
    order = from_root(root)
    for tensor in order:
        tensor._node.check()
    _refuse_lost(order)
    gradients = Gradients(keep, accumulate)
    start: Any = gradients.into(root)
    start[0]._array[...] = 1
    for tensor in order:
        upstream = gradients.take(tensor)
        if upstream is None:
            continue
        tensor._node.backward(upstream, gradients)
        gradients.give_back(upstream)
        if not keep:
            tensor.lose_g(messages.FREED)
    if not keep:
        read = [pair for tensor in order for pair in tensor._node.saved if pair[0]._node is None and pair[0].requires_g]
        spent.retire(root, read)


def _refuse_lost(order: Sequence[TensorLike]) -> None:
    """Raises GradientError if this backward would overwrite a leaf's `.g` that one of its operations still reads."""
    nodes: list[Any] = [tensor._node for tensor in order]
    read = [t for node in nodes for t, _ in node.saved if isinstance(t._version, versions.GradientVersion)]
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


def _refuse_non_scalar(root: TensorLike) -> NoReturn:
    raise GradientError(
        f"backward: found a tensor of shape {root.shape}, expected one number: the gradient of many numbers "
        "is a Jacobian. Reduce it first, e.g. with mse(out, targ)"
    )


def from_root(root: Any) -> list[Any]:
    """The tensors on the tape between root and the leaves, each after all that were computed from it."""
    if root._node is None:
        raise GradientError(
            "backward: this tensor is not on a tape. Either nothing it was computed from has requires_g "
            "(make the weights with bp.param, or set requires_g = True), or there was no forward pass yet"
        )
    order: list[Any] = []
    seen: set[int] = set()
    stack: list[tuple[Any, bool]] = [(root, False)]
    while stack:  # a loop, not a recursion: a graph may be deeper than Python's stack
        tensor, done = stack.pop()
        if done:
            order.append(tensor)
        elif id(tensor) not in seen:
            seen.add(id(tensor))
            stack.append((tensor, True))
            operands = tensor._node.inputs
            stack.extend((operand, False) for operand in operands if operand._node is not None)
    return order[::-1]
