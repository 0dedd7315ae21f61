"""Gradients: a backward pass that changes no `.g`, and how the existing `.g`s compare with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pybackprop.autograd.protocols import TensorLike
from pybackprop.autograd.tape import Sink, from_root
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.core.errors import GradientError
from pybackprop.engine.one_pass import Pass
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import Index
from pybackprop.teach.trace.operation import Operation


class Private(Sink):
    """Collects the gradients of one backward pass in its own buffers; the first path writes, the next ones add.

    only: ids of the tensors that get a gradient; None: all.
    """

    def __init__(self, only: set[int] | None = None) -> None:
        self.only = only
        self.buffers: dict[int, Tensor] = {}

    def wants(self, tensor: TensorLike) -> bool:
        return self.only is None or id(tensor) in self.only

    def into(self, tensor: TensorLike) -> tuple[Tensor, bool] | None:
        if not self.wants(tensor):
            return None
        add = id(tensor) in self.buffers
        if not add:
            self.buffers[id(tensor)] = tensor.new_like()
        return self.buffers[id(tensor)], add


def gradients_from(root: Tensor, start: Any = 1, only: set[int] | None = None) -> dict[int, Tensor]:
    """The gradient of every tensor that root was computed from, by id, in new buffers.

    start: the gradient of root. only: ids of the tensors that get a gradient; None: all.
    Raises GradientError if an operation has no derivative, or a value that it needs was overwritten.
    """
    sink = _started(root, start, only)
    for result in from_root(root):
        _pass(result, result._node, sink)
    return sink.buffers


def _started(root: Tensor, start: Any, only: set[int] | None) -> Private:
    sink = Private(None if only is None else only | {id(root)})
    buffer, _ = sink.into(root)  # type: ignore[misc]
    buffer._array[...] = start
    return sink


def _pass(result: Tensor, node: Any, sink: Private) -> None:
    """Passes the gradient of a result, if it has one, to its operands."""
    node.check()
    upstream = sink.buffers.get(id(result))
    if upstream is not None:
        node.backward(upstream, sink)


@dataclass(frozen=True)
class Walk:
    """The gradient of every tensor of a network; buffers: by the tensor's id."""

    network: Network
    buffers: dict[int, Tensor]

    def of(self, tensor: Tensor) -> Array:
        """The tensor's gradient. Raises KeyError if it has none."""
        return self.buffers[id(tensor)]._array

    def reaches(self, tensor: Tensor) -> bool:
        """Whether the tensor has a gradient."""
        return id(tensor) in self.buffers


def walk_back(network: Network, tensor: Tensor) -> Walk:
    """The gradients of all intermediate results and parameters, and in any case that of tensor.

    Raises GradientError if an operation has no derivative.
    """
    root = network.root
    on_the_way = {id(op.output) for op in network}
    only = {id(t) for op in network for t in op.inputs if gets_gradient(t)} | on_the_way | {id(tensor)}
    sink = _started(root, 1 if network.is_loss() else _given(root), only)
    for op in reversed(network.operations):
        _pass(op.output, op.node, sink)
    return Walk(network, sink.buffers)


def gets_gradient(tensor: Tensor) -> bool:
    """Whether it gets a gradient: parameters and results do, and data to which the lesson's functions gave a `.g`."""
    return tensor.requires_g or tensor._g is not None


def _given(root: Tensor) -> Array:
    if root._g is None:
        raise GradientError(
            f"explain: no loss was computed from the result of shape {root.shape}, and its .g is None. Compute a loss "
            "on the tape, loss = bp.mse(out, targ), and call loss.backward(); or set out.g to a gradient of your own"
        )
    return root._g._array


def largest(gradient: Array) -> Index:
    """The element with the largest gradient; a NaN counts as largest. Raises IndexError if there are no elements."""
    if gradient.size == 0:
        raise IndexError(f"explain: a tensor of shape {gradient.shape} has no elements")
    size = np.abs(np.where(np.isnan(gradient), np.inf, gradient))
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(size)), gradient.shape))


# ---- which .g exist, and whether they are from this pass ----


def same(a: Array, b: Array) -> bool:
    """Whether all numbers are equal; a NaN equals a NaN."""
    return bool(np.array_equal(a, b, equal_nan=True))


def check_backward(tensor: Tensor, network: Network) -> None:
    """Raises GradientError if no backward pass has reached the tensor yet; the message says which call is missing."""
    leaves = [leaf for leaf in network.leaves() if leaf.requires_g]
    if tensor is network.root and leaves:
        tensor = leaves[0]  # a loss keeps no .g
    kept = tensor._node is None and tensor.requires_g
    if tensor._g is not None or (not kept and any(leaf._g is not None for leaf in leaves)):
        return
    name = network.name(tensor)
    raise GradientError(f"explain: no backward pass has run yet: {name}.g is None. {missing_calls(tensor, network)}")


def missing_calls(tensor: Tensor, network: Network) -> str:
    """What to call so that tensor gets its gradient."""
    if isinstance(network.root._node, Pass):
        return "Call model.backward() after loss = model(x, targ)"
    calls = []
    for op in reversed(network.operations):
        here = any(given is tensor for given in op.inputs)
        if here or any(given._g is None and given.requires_g for given in op.inputs):
            calls.append(call_by_hand(op, network))
        if here:
            break
    if not network.is_loss() or any(op.output._g is not None for op in network):
        known = [call for call in calls if call]
        return f"Still missing is {', then '.join(known)}" if known else "Set it by hand, or compute a loss on the tape"
    all_by_hand = f"; or, by hand, {', '.join(calls)}" if calls and all(calls) else ""
    return f"Call {network.name(network.root)}.backward(){all_by_hand}"


def call_by_hand(op: Operation, network: Network) -> str:
    """The code of the call that sets an operation's gradients by hand; empty if there is no such function."""
    function = op.op.lesson_grad
    if not function:
        return ""
    params = [f"{name}={value!r}" for name, value in op.params.items()]
    arguments = ", ".join([*map(network.name, arguments_by_hand(op)), *params])
    return f"{function}({arguments})" if op.is_defined else f"bp.{function}({arguments})"


def arguments_by_hand(op: Operation) -> list[Tensor]:
    """The arguments of that function: lin_grad(inp, out, w, b), mse_grad(out, targ), or op.grad(*operands, out)."""
    if op.is_defined:
        return [*op.inputs, op.output]
    first, *others = op.inputs
    return [first, *others] if op.is_loss else [first, op.output, *others]  # a backward begins at the loss, with 1


def set_gradients(op: Operation) -> None:
    """Sets an operation's gradients as that call does. Raises AttributeError for an operation without one."""
    record: Any = op.op
    record.grad(*arguments_by_hand(op), **op.params)


def agreement(tensor: Tensor, walk: Walk) -> str:
    """A note if a `.g` does not hold the gradient of this forward pass; empty if all is well."""
    name = walk.network.name(tensor)
    if tensor._g is not None and not same(tensor._g._array, walk.of(tensor)):
        return (
            f"{name}.g does not hold the gradient of this forward pass, so what follows was computed anew. It is from "
            "an earlier backward pass, was added to (accumulate=True), or was set or changed by hand. Call backward "
            "again to renew it."
        )
    others = [t for t in walk.network.leaves() if t.requires_g and t._g is not None]
    if tensor._g is None and not any(same(t._g._array, walk.of(t)) for t in others if t._g is not None):
        return (
            "the parameters' .g are not from this forward pass, so what follows was computed anew. Call backward "
            "again to renew them."
        )
    return ""
