"""Which operation used a tensor, and the gradients around it.

The tape links results to operands, never the other way, so all live networks are searched for the tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pybackprop.autograd import messages
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.core.errors import GradientError
from pybackprop.nn.handwritten import Call
from pybackprop.ops import Op
from pybackprop.teach.trace.gradients import Private, gradients_from
from pybackprop.teach.trace.graph import Network, networks_on_tape
from pybackprop.teach.trace.operation import Operation
from pybackprop.teach.trace.parts import is_rearranged, parts_of


@dataclass(frozen=True)
class Use:
    """One operation that used a tensor.

    operation  the operation
    slot       which of its operands the tensor is
    arriving   the gradient that arrives at its result, d loss / d result
    network    the operations that led to the same loss, or to the result if there is no loss
    grads      d loss / d tensor by id, for the tensors that the loss depends on; empty if it cannot be computed
    """

    operation: Operation
    slot: int
    arriving: Array
    network: Network
    grads: dict[int, Array] = field(default_factory=dict)

    @property
    def op(self) -> Op | Call:
        """The operation's record."""
        return self.operation.op

    @property
    def operands(self) -> tuple[Tensor, ...]:
        """What it read."""
        return self.operation.inputs

    @property
    def output(self) -> Tensor:
        """Its result."""
        return self.operation.output

    @property
    def tensor(self) -> Tensor:
        """The tensor that was used."""
        return self.operands[self.slot]

    def count(self) -> int:
        """How many operations on the way to the loss use the tensor."""
        return len({id(op.output) for op, _ in self.network.uses(self.tensor)})

    def gradient(self) -> Array:
        """d loss / d tensor along this use, as the operation's own backward computes it."""
        return gradient_along(self.operation.node, self.tensor, self.output._make(self.arriving.copy()))


def gradient_along(node: Any, operand: Any, upstream: Tensor) -> Array:
    """The share of operand's gradient that comes through one operation; upstream: the gradient of its result.

    Raises GradientError if the operation's backward gives operand no gradient.
    """
    sink = Private()
    node.backward(upstream, sink)
    if id(operand) not in sink.buffers:
        raise GradientError(f"the backward of '{node.op.name}' gives {messages.describe(operand)} no gradient")
    return sink.buffers[id(operand)]._array


def all_gradients(root: Tensor) -> dict[int, Array]:
    """d root / d tensor by id, for every tensor that root was computed from; empty if needed values are gone."""
    try:
        return {key: tensor._array for key, tensor in gradients_from(root).items()}
    except GradientError:
        return {}


# ---- which operation used a tensor ----


def use_of(t: Any, among: Iterable[Any] = ()) -> Use:
    """The operation that used t. among: if several did, one of their results is expected among these.

    Raises GradientError, whose message says what to do, if no recorded operation used t, or several did, or no
    gradient arrives at the operation's result.
    """
    networks = networks_on_tape(t)
    t = _tensor_of(t, networks)
    readers = _readers(t, [network for network in networks if not network.only_looks_at(t)]) or _readers(t, networks)
    if not readers:
        raise GradientError(_unused(t))
    operation = _one_of(t, readers, list(among))
    if operation.op.backward is None:
        raise GradientError(f"'{operation.name}' used {messages.describe(t)}, but has no derivative")
    network = _around(operation, networks)
    grads = all_gradients(network.root) if network.root.size == 1 else {}
    slot = next(k for k, operand in enumerate(operation.inputs) if operand is t)
    return Use(operation, slot, _arriving(operation, grads, network), network, grads)


def _readers(t: Tensor, networks: Sequence[Network]) -> list[Operation]:
    return list({id(op.output): op for network in networks for op, _ in network.uses(t)}.values())


def _tensor_of(t: Any, networks: Sequence[Network]) -> Any:
    """t, or, if t is the learner's array of data, the tensor that an operation made from it."""
    if isinstance(t, Tensor):
        return t
    operands = [operand for network in networks for operation in network for operand in operation.inputs]
    for operand in operands:
        if operand._array is t:
            return operand
    raise TypeError(f"found {type(t).__name__}, expected a tensor that took part in a forward pass (see bp.param)")


def _unused(t: Tensor) -> str:
    called = messages.describe(t)
    if is_rearranged(t):
        whole = [*parts_of(t)][-1].whole
        return (
            f"{called} is a part of {messages.describe(whole)}, and no operation used the part. A formula gives the "
            "gradient of a whole tensor: write bp.judge(w, ...), not bp.judge(w[0], ...)"
        )
    if t._node is not None and t.size == 1:
        return f"{called} is the end of the network: its own gradient is 1. Ask about a tensor that it came from"
    advice = "make the weights with bp.param(array)" if not t.requires_g else "keep the loss in a variable"
    return (
        f"{called} was not used by any operation on the tape. Run forward with it ({advice}), e.g. "
        "loss = bp.mse(bp.lin(x, w, b), targ), then backward with loss.backward(keep=True), and ask again"
    )


def _one_of(t: Tensor, readers: list[Operation], among: list[Any]) -> Operation:
    """The reader whose result is among these; else the one whose result has a gradient."""
    if len(readers) == 1:
        return readers[0]
    chosen = [reader for reader in readers if any(reader.output is given for given in among)]
    if not chosen:
        chosen = [reader for reader in readers if reader.output._g is not None] or readers
        chosen = chosen[-1:] if all(_repeats(chosen[0], other) for other in chosen) else chosen
    if len(chosen) == 1:
        return chosen[0]
    into = ", ".join(f"'{r.name}' -> {messages.describe(r.output)}" for r in readers)
    raise GradientError(
        f"{messages.describe(t)} was used {len(readers)} times: {into}. Each use adds its share to "
        "the gradient. Name the result that you mean, e.g. z=l1"
    )


def _repeats(one: Operation, other: Operation) -> bool:
    """Whether two operations are the same step of two forward passes on the same numbers."""
    equal = one.name == other.name and np.array_equal(one.output._array, other.output._array)
    return equal and all(np.array_equal(p._array, q._array) for p, q in zip(one.inputs, other.inputs, strict=False))


def _around(operation: Operation, networks: Sequence[Network]) -> Network:
    """The latest network that contains this operation, one that ends in a single number if there is one."""
    with_it = [network for network in networks if any(op.output is operation.output for op in network)]
    with_loss = [network for network in with_it if network.root.size == 1]
    return [*with_it, *with_loss][-1]


def _arriving(operation: Operation, grads: dict[int, Array], network: Network) -> Array:
    """The gradient in output.g, which the learner sees, or else the one that the tape gives."""
    output = operation.output
    arrived = _arrived(output, grads, network)
    if arrived is None:
        raise GradientError(
            f"no gradient has arrived at {messages.describe(output)}, the result of '{operation.name}': "
            "its .g is None, and no loss computed from it is still in memory with its values. Run forward again, then "
            "loss.backward(keep=True), or mse_grad and so on by hand"
        )
    return arrived


def _arrived(tensor: Tensor, grads: dict[int, Array], network: Network) -> Array | None:
    """The gradient at a tensor: its .g, or what the tape gives, or what comes from the .g of later results.

    The last is for steps written as several operations, of which only the last result has a .g set by hand:
    in self.out = inp @ self.w + self.b it is the sum, and the question is about the product.
    """
    if tensor._g is not None:
        return np.array(tensor._g._array)
    if id(tensor) in grads:
        return grads[id(tensor)]
    readers = {id(op.output): op for op, _ in network.uses(tensor)}
    shares = []
    for reader in readers.values():
        above = _arrived(reader.output, grads, network) if reader.op.backward is not None else None
        if above is None:
            return None
        shares.append(gradient_along(reader.node, tensor, reader.output._make(above.copy())))
    return np.asarray(sum(shares[1:], shares[0])) if shares else None
