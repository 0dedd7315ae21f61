"""Use: which operation on the tape a tensor took part in, and the gradients around it.

The tape knows what each result was computed from, not what a tensor was used for. So whoever asks for a use
looks at the results that are alive in this process.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pybackprop.autograd import messages, tape
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.core.errors import GradientError
from pybackprop.teach.trace.gradients import Private
from pybackprop.teach.trace.graph import on_tape


@dataclass(frozen=True)
class Use:
    """One operation that read a tensor.

    operands  its operands, in order; the tensor stands at index place
    output    its result
    arriving  the gradient that arrives there, d loss / d output
    results   all results of the same network, each after its operands
    grads     d loss / d tensor by id, for what the network's loss depends on, where it can be known
    """

    operation: str
    operands: tuple[Tensor, ...]
    place: int
    output: Tensor
    arriving: Array
    results: list[Tensor] = field(default_factory=list)
    grads: dict[int, Array] = field(default_factory=dict)

    def count(self) -> int:
        """How many operations on the way to the loss read the tensor."""
        t = self.operands[self.place]
        return sum(any(operand is t for operand in result._node.inputs) for result in self.results)  # type: ignore[union-attr]

    def gradient(self) -> Array:
        """d loss / d tensor along this use, as the operation's own backward computes it."""
        sink = Private()
        node: Any = self.output._node
        node.backward(self.output._make(self.arriving.copy()), sink)
        return sink.buffers[id(self.operands[self.place])]._array


def use_of(t: Any, among: Iterable[Any] = ()) -> Use:
    """The operation that read t. among: where several did, one of their results is expected among these.

    Raises GradientError, which says what to do, for a tensor that no recorded operation read, or several did, or
    whose operation no gradient arrives at.
    """
    results = on_tape(t)
    t = _tensor_of(t, results)
    readers = [result for result in results if any(operand is t for operand in result._node.inputs)]  # type: ignore[union-attr]
    if not readers:
        raise GradientError(_unused(t))
    output = _one_of(t, readers, list(among))
    node: Any = output._node
    if not node.has_derivative:
        raise GradientError(f"'{node.op.name}' read {messages.describe(t)}, and has no derivative here")
    around = _downstream(output, results)
    grads = gradients(around[-1]) if around[-1].size == 1 else {}
    arriving = _arriving(output, grads)
    operands: tuple[Any, ...] = tuple(node.inputs)
    place = next(k for k, operand in enumerate(operands) if operand is t)
    ordered = tape.from_root(around[-1])[::-1]
    return Use(node.op.name, operands, place, output, arriving, [_as_tensor(r) for r in ordered], grads)


def _tensor_of(t: Any, results: list[Tensor]) -> Tensor:
    """t, or the tensor that an operation made around t where t is the learner's array of data."""
    if isinstance(t, Tensor):
        return t
    for result in results:
        for operand in result._node.inputs:  # type: ignore[union-attr]
            if operand._array is t:
                return operand  # type: ignore[return-value]
    raise TypeError(f"found {type(t).__name__}, expected a tensor that took part in a forward pass (see bp.param)")


def _as_tensor(result: Any) -> Tensor:
    return result  # type: ignore[no-any-return]


def _unused(t: Tensor) -> str:
    called = messages.describe(t)
    if t._node is not None and t.size == 1:
        return f"{called} is the end of the network: its own gradient is 1. Ask about a tensor that it came from"
    advice = "make the weights with bp.param(array)" if not t.requires_g else "keep the loss that it computes"
    return (
        f"{called} was read by no operation that the tape remembers. Run forward with it ({advice}), e.g. "
        "loss = bp.mse(bp.lin(x, w, b), targ), then backward with loss.backward(keep=True), and ask again"
    )


def _one_of(t: Tensor, readers: list[Tensor], among: list[Any]) -> Tensor:
    if len(readers) == 1:
        return readers[0]
    chosen = [reader for reader in readers if any(reader is given for given in among)]
    if not chosen:
        with_gradient = [reader for reader in readers if reader._g is not None]
        chosen = with_gradient or readers
        chosen = chosen[-1:] if all(_same(chosen[0], other) for other in chosen) else chosen
    if len(chosen) == 1:
        return chosen[0]
    into = ", ".join(f"'{r._node.op.name}' -> {messages.describe(r)}" for r in readers)  # type: ignore[union-attr]
    raise GradientError(
        f"{messages.describe(t)} was read {len(readers)} times: {into}. Each adds its share to "
        "the gradient. Name the result that you mean, e.g. z=l1"
    )


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two results are the same step of two forward passes on the same numbers."""
    a, b = one._node, other._node
    equal = np.array_equal(one._array, other._array) and a.op is b.op  # type: ignore[union-attr]
    return equal and all(np.array_equal(p._array, q._array) for p, q in zip(a.inputs, b.inputs, strict=False))  # type: ignore[union-attr]


def _downstream(output: Tensor, results: list[Tensor]) -> list[Tensor]:
    """output and all that was computed from it, up to a single number if there is one."""
    found = [output]
    reached = {id(output)}
    while True:
        after = [r for r in results if id(r) not in reached and any(id(i) in reached for i in r._node.inputs)]  # type: ignore[union-attr]
        if not after:
            break
        found += after
        reached |= {id(r) for r in after}
    ends = [r for r in found if r.size == 1 and not any(r is i for other in found for i in other._node.inputs)]  # type: ignore[union-attr]
    return [*found, ends[-1]] if ends else found[:1]


def gradients(root: Tensor) -> dict[int, Array]:
    """d root / d tensor by id, for every tensor that root was computed from; empty where the numbers are gone."""
    order = tape.from_root(root)
    sink = Private()
    start = sink.into(root)
    assert start is not None
    start[0]._array[...] = 1
    try:
        for result in order:
            node: Any = result._node
            node.check()
            node.backward(sink.buffers[id(result)], sink)
    except GradientError:
        return {}
    return {key: tensor._array for key, tensor in sink.buffers.items()}


def _arriving(output: Tensor, grads: dict[int, Array]) -> Array:
    """The gradient that the learner sees in output.g, or else that which the tape gives."""
    if output._g is not None:
        return np.array(output._g._array)
    if id(output) in grads:
        return grads[id(output)]
    raise GradientError(
        f"no gradient has arrived at {messages.describe(output)}, the result of '{output._node.op.name}': "  # type: ignore[union-attr]
        "its .g is None, and no loss that was computed from it and still has its values is alive. Run forward "
        "again, then loss.backward(keep=True), or mse_grad and so on by hand"
    )
