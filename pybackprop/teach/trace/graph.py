"""Graph: the operations that led from a tensor to a loss, and what their tensors are called.

The tape links results to operands, never the other way. So the operations that use a tensor are found by searching all
live tensors. This takes tens of milliseconds, but only when it is needed; training pays nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from pybackprop.autograd.messages import describe
from pybackprop.autograd.spent import Spent
from pybackprop.autograd.tape import NO_PARAMS, Node, from_root
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.errors import GradientError
from pybackprop.engine.one_pass import Pass
from pybackprop.ops import Op
from pybackprop.teach.trace.names import names_of
from pybackprop.teach.trace.operation import Operation
from pybackprop.teach.trace.parts import is_rearranged, parts_of


@dataclass(frozen=True)
class Network(Sequence[Operation]):
    """The operations between the leaves and root, in topological order; names: the tensors' names, by id."""

    operations: tuple[Operation, ...]
    root: Tensor
    names: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.operations)

    def __getitem__(self, k: Any) -> Any:
        return self.operations[k]

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def name(self, tensor: Tensor) -> str:
        """A tensor's name in texts: its own, or the lesson's (x, w1, b1, l1, ..., out, targ, loss)."""
        return self.names.get(id(tensor), tensor.name or "t")

    def uses(self, tensor: Tensor) -> list[tuple[Operation, int]]:
        """Where a tensor is used: (operation, which of its inputs)."""
        return [(op, slot) for op in self for slot, given in enumerate(op.inputs) if given is tensor]

    def leaves(self) -> list[Tensor]:
        """The tensors that no operation computed, in the order of first use."""
        computed = {id(op.output) for op in self}
        by_id = {id(t): t for op in self for t in op.inputs if id(t) not in computed}
        return list(by_id.values())

    def is_finite(self) -> bool:
        """Whether no value of the forward pass is NaN or infinite."""
        return all(np.isfinite(t._array).all() for op in self for t in (*op.inputs, op.output))

    def is_loss(self) -> bool:
        """Whether the backward pass begins here with 1; if not, it begins with the root's `.g`, set by hand."""
        g = self.root._g
        return self.root.size == 1 and (g is None or float(g) == 1 or self.operations[-1].is_loss)

    def only_looks_at(self, tensor: Tensor) -> bool:
        """Whether it is but a part of a tensor, w[0, 0], from which nothing was computed. False if that has a `.g`."""
        wholes = (part.whole for part in parts_of(self.root))
        return is_rearranged(self.root) and self.root._g is None and any(t is tensor for t in (self.root, *wholes))


def networks_of(
    tensor: Tensor, loss: Tensor | None = None, off_tape: Callable[[Tensor, Network], bool] | None = None
) -> list[Network]:
    """The networks that tensor takes part in: single numbers first, and the latest first among those.

    Last come those that end where elements were only looked at.

    loss: only the network that computed this loss. off_tape: whether a tensor takes part off the tape.
    Raises GradientError for a tensor that took no part in a forward pass that is still alive, and TypeError for
    anything that is not a tensor.
    """
    node = getattr(tensor, "_node", None)
    if node is not None and isinstance(node.op, Spent):
        node.op.refuse("explain")
    if loss is not None:
        network = network_ending_in(loss) if loss._node is not None else None
        if network is None or not (_takes_part(tensor, network) or (off_tape and off_tape(tensor, network))):
            raise GradientError(f"explain: {describe(tensor)} took no part in computing loss, {describe(loss)}")
        return [network]
    networks = networks_on_tape(tensor)[::-1]
    with_tensor = [network for network in networks if _takes_part(tensor, network)]
    if not with_tensor and off_tape and isinstance(tensor, Tensor):
        with_tensor = [network for network in networks if off_tape(tensor, network)]
    if not with_tensor:
        _refuse(tensor)
    return sorted(with_tensor, key=lambda net: (net.only_looks_at(tensor), not net.is_loss(), net.root._g is None))


def networks_on_tape(part: Any) -> list[Network]:
    """Every network that is alive, the oldest first. part: as of on_tape."""
    return [network_ending_in(tip) for tip in _tips(on_tape(part)) if _is_whole(tip)]


def _is_whole(tip: Tensor) -> bool:
    """Whether all values behind it are still there; after an update they are not behind the sum of earlier losses."""
    try:
        return not any(_is_gone(tensor._node) for tensor in from_root(tip))
    except GradientError:  # a Pass: asked for its inputs, it says that they are gone
        return False


def _operands(node: Any) -> Sequence[Tensor]:
    """A node's inputs; none if they are gone."""
    return () if _is_gone(node) else node.inputs


def _is_gone(node: Any) -> bool:
    """Whether the values behind a loss are gone: see Spent, and Pass."""
    return isinstance(node.op, Spent) or (isinstance(node, Pass) and node._inputs is None and node.workspace is None)


def network_ending_in(root: Tensor, off_tape: Mapping[int, Operation] = NO_PARAMS) -> Network:  # type: ignore[assignment]
    """The operations between the leaves and root. off_tape: those that the tape did not record, by their output."""
    order = from_root(root) if not off_tape else _from_root(root, off_tape)
    for tensor in reversed(order):
        if tensor._node is not None and isinstance(tensor._node.op, Spent):
            tensor._node.op.refuse("explain")
    operations = tuple(off_tape.get(id(t)) or _operation(t, t._node) for t in reversed(order))
    return Network(operations, root, names_of(operations, root))


def _from_root(root: Tensor, off_tape: Mapping[int, Operation]) -> list[Tensor]:
    """The results between root and the leaves, each after all that were computed from it, on the tape or off it."""
    order: list[Tensor] = []
    seen: set[int] = set()
    stack = [(root, False)]
    while stack:
        tensor, done = stack.pop()
        if done:
            order.append(tensor)
        elif id(tensor) not in seen:
            seen.add(id(tensor))
            op = off_tape.get(id(tensor))
            inputs = op.inputs if op is not None else operands_on_tape(tensor)
            if op is not None or tensor._node is not None:
                stack += [(tensor, True), *((given, False) for given in inputs)]
    return order[::-1]


def operands_on_tape(tensor: Tensor) -> Sequence[Tensor]:
    """What a tensor was computed from on the tape; nothing for a leaf, and for a pass that has not recorded it."""
    node: Any = tensor._node
    if node is None or not node.is_written:
        return ()
    inputs: Sequence[Tensor] = node.inputs
    return inputs


def _operation(output: Tensor, node: Any) -> Operation:
    op: Any = node.op if node.has_derivative else Op(node.op.name, partial(_refuse_replay, node.op), None, ())
    inputs: Any = tuple(node.inputs)
    return Operation(op, inputs, output, node, node.params)


def _refuse_replay(op: Any, *arrays: Any, **params: Any) -> Any:
    return op.replay(arrays, **params)


def _takes_part(tensor: Tensor, network: Network) -> bool:
    return network.root is tensor or bool(network.uses(tensor))


# ---- the tensors that are alive ----


def on_tape(part: Any) -> list[Tensor]:
    """Every live tensor that is on a tape and whose operands are still known, the oldest first.

    part: a tensor, or the data's array. If it took part in a pass that records its tape only on demand, this is done
    here; these tensors come last.
    """
    living = {id(t): t for t in _objects() if issubclass(type(t), Tensor)}  # isinstance would fail on dead weak proxies
    results = {key: t for key, t in living.items() if t._node is not None and _is_known(t._node, part)}
    stack = list(results.values())
    while stack:
        for given in _operands(stack.pop()._node):
            if given._node is not None and id(given) not in results:
                results[id(given)] = given
                stack.append(given)
    return list(results.values())


def _objects() -> Iterator[Any]:
    """All objects that the garbage collector tracks, the old generation first, each in the order of creation.

    The young ones are listed first: a collection in between moves objects to an older generation, where they are then
    found once more. Listed the other way round, they would be in no list.
    """
    try:
        listed = [gc.get_objects(generation) for generation in (0, 1, 2)]
    except ValueError:  # a Python with other generations
        listed = [gc.get_objects()]
    for objects in reversed(listed):
        yield from objects


def _is_known(node: Node, part: Any) -> bool:
    """Whether a node's inputs may be read. Reading those of a Pass records its tape, so only if it involves part."""
    if _is_gone(node):
        return False
    if not isinstance(node, Pass) or node._inputs is not None:
        return True
    room = node.workspace
    if room is None:
        return False
    parts = (*room.chain.parameters, room.x.given, room.targ.given)
    return any(part is one for one in parts) or getattr(part, "_node", None) is node


def _tips(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors that no other tensor was computed from."""
    used = {id(given) for t in tensors if t._node is not None for given in _operands(t._node)}
    return [t for t in tensors if id(t) not in used]


def _refuse(tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"explain: found a {type(tensor).__name__}, expected a tensor that took part in a forward pass")
    raise GradientError(
        f"explain: {describe(tensor)} took no part in a forward pass that is still in memory. {_remedy(tensor)}"
    )


def _remedy(tensor: Tensor) -> str:
    """What to write instead: for the .g or for elements of another tensor, that tensor."""
    others = [t for t in _objects() if issubclass(type(t), Tensor) and t is not tensor]
    gradients = [t for t in others if t._g is not None and t._g._version is tensor._version]
    if gradients:
        return f"It is the gradient of {describe(gradients[0])}: explain that tensor itself, bp.explain(w), not w.g"
    if any(t._version is tensor._version for t in others):
        return "It shows elements of another tensor: write bp.explain(x, at=(0, 0)), not bp.explain(x[0])"
    run = (
        "Run one that uses it and keep its loss in a variable: loss = bp.mse(bp.lin(x, w, b), targ), then "
        "loss.backward(). Only operations on tensors with requires_g are recorded (make weights with bp.param), and a "
        "compiled plan records none: call the model itself"
    )
    element = "For one element of a tensor write bp.explain(x, at=(0, 0)), not bp.explain(x[0, 0]). "
    return f"{element if tensor.ndim == 0 else ''}{run}"
