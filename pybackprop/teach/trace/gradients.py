"""Gradients: a private walk back that touches nobody's `.g`, and what the `.g`s that are there say beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pybackprop.autograd.tape import Sink
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.core.errors import GradientError
from pybackprop.engine.one_pass import Pass
from pybackprop.teach.trace.graph import Network, Operation


class Private(Sink):
    """The gradients of one walk in buffers of their own; the first path overwrites, the next ones add.

    wanted: ids of the tensors that get one; None: all.
    """

    def __init__(self, wanted: set[int] | None = None) -> None:
        self.wanted = wanted
        self.buffers: dict[int, Tensor] = {}

    def wants(self, tensor: Tensor) -> bool:
        return self.wanted is None or id(tensor) in self.wanted

    def into(self, tensor: Tensor) -> tuple[Tensor, bool] | None:
        if not self.wants(tensor):
            return None
        again = id(tensor) in self.buffers
        if not again:
            self.buffers[id(tensor)] = tensor.new_like()
        return self.buffers[id(tensor)], again


@dataclass(frozen=True)
class Walk:
    """The gradient of every tensor of a network, by id."""

    network: Network
    buffers: dict[int, Tensor]

    def of(self, tensor: Tensor) -> Array:
        return self.buffers[id(tensor)]._array


def walk_back(network: Network, tensor: Tensor) -> Walk:
    """The gradients of all intermediate results and parameters, and of tensor whatever it is.

    Raises GradientError where an operation has no derivative here.
    """
    wanted = {id(t) for op in network for t in (*op.inputs, op.output) if _wants(t)} | {id(tensor)}
    sink = Private(wanted)
    root = network.root
    start = sink.into(root)
    assert start is not None
    start[0]._array[...] = 1 if network.is_loss() else _given(root)
    for op in reversed(network.operations):
        upstream = sink.buffers.get(id(op.output))
        if not op.node.has_derivative:
            op.node.check()
        elif upstream is not None:
            op.node.backward(upstream, sink)
    return Walk(network, sink.buffers)


def _wants(tensor: Tensor) -> bool:
    """Parameters and results, and the data if the lesson's functions gave it a `.g`."""
    return tensor.requires_g or tensor._g is not None


def _given(root: Tensor) -> Array:
    if root._g is None:
        raise GradientError(
            f"explain: no loss was computed from the result of shape {root.shape}, and its .g is None. Compute one "
            "that is on the tape, loss = bp.mse(out, targ), and call loss.backward(); or assign the gradient that you "
            "know by hand to out.g"
        )
    return root._g._array


# ---- which of the .g are there, and whether they are those of this pass ----


def same(a: Array, b: Array) -> bool:
    """Whether all numbers are equal; a NaN equals a NaN."""
    return bool(np.array_equal(a, b, equal_nan=True))


def check_backward(tensor: Tensor, network: Network) -> None:
    """Raises GradientError if no backward has reached the tensor yet, and says which call is missing."""
    leaves = [leaf for leaf in network.leaves() if leaf.requires_g]
    if tensor is network.root and leaves:
        tensor = leaves[0]  # a loss keeps no .g
    kept = tensor._node is None and tensor.requires_g
    if tensor._g is not None or (not kept and any(leaf._g is not None for leaf in leaves)):
        return
    name = network.name(tensor)
    raise GradientError(f"explain: there was no backward yet: {name}.g is None. {missing_calls(tensor, network)}")


def missing_calls(tensor: Tensor, network: Network) -> str:
    """What to call so that tensor gets its gradient."""
    if isinstance(network.root._node, Pass):
        return "Call model.backward() after loss = model(x, targ)"
    steps = []
    for op in reversed(network.operations):
        here = any(given is tensor for given in op.inputs)
        if here or any(given._g is None and given.requires_g for given in op.inputs):
            steps.append(by_hand(op, network))
        if here:
            break
    if not network.is_loss() or any(op.output._g is not None for op in network):
        return "Still missing is " + ", then ".join(filter(None, steps))
    all_by_hand = f"; or, by hand, {', '.join(filter(None, steps))}" if all(steps) else ""
    return f"Call {network.name(network.root)}.backward(){all_by_hand}"


def by_hand(op: Operation, network: Network) -> str:
    """The lesson's function that makes an operation's gradients, called; empty for those that have none."""
    names = [network.name(given) for given in op.inputs]
    out = network.name(op.output)
    if op.kind == "mse":
        return f"bp.mse_grad({names[0]}, {names[1]})"
    if op.kind == "lin":
        return f"bp.lin_grad({', '.join([names[0], out, *names[1:]])})"
    return f"bp.relu_grad({names[0]}, {out})" if op.kind == "relu" else ""


def agreement(tensor: Tensor, walk: Walk) -> str:
    """A note where a `.g` holds something else than the gradient of this forward pass; empty if all is well."""
    name = walk.network.name(tensor)
    if tensor._g is not None and not same(tensor._g._array, walk.of(tensor)):
        return (
            f"{name}.g does not hold the gradient of this forward pass: what follows was computed anew. It was left by "
            "an earlier backward, added to (accumulate=True), or written by hand. Call backward again to renew it."
        )
    others = [t for t in walk.network.leaves() if t.requires_g and t._g is not None]
    if tensor._g is None and not any(same(t._g._array, walk.of(t)) for t in others if t._g is not None):
        return (
            "the parameters' .g are not those of this forward pass: what follows was computed anew. Call backward "
            "again to renew them."
        )
    return ""
