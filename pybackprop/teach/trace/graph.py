"""Find: the operations that led from a tensor to a loss.

The tape links results to operands, never back. Who used a tensor is found by looking at all tensors that
are alive: tens of milliseconds for the one who asks, nothing for those who don't.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pybackprop.autograd.messages import describe
from pybackprop.autograd.tape import Node, from_root
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.errors import GradientError
from pybackprop.engine.one_pass import Pass
from pybackprop.teach.names import names_of


@dataclass(frozen=True)
class Operation:
    """One step of a forward pass. kind: lin, @, +, relu, relu_, mse, .clone, or the name of a layer of your own."""

    kind: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    node: Node


@dataclass(frozen=True)
class Network(Sequence[Operation]):
    """The operations between the leaves and root, each after those whose results it reads."""

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
        """What the text calls a tensor: its own name, or the lesson's (x, w1, b1, l1, ..., out, targ, loss)."""
        return self.names.get(id(tensor), tensor.name or "t")

    def uses(self, tensor: Tensor) -> list[tuple[Operation, int]]:
        """Where a tensor goes in: (operation, which of its inputs)."""
        return [(op, slot) for op in self for slot, given in enumerate(op.inputs) if given is tensor]

    def leaves(self) -> list[Tensor]:
        """What no operation computed, in the order of first use."""
        found = {id(t): t for op in self for t in op.inputs if t._node is None}
        return list(found.values())

    def is_loss(self) -> bool:
        """Whether the backward begins here with 1; if not, with the root's `.g`, which somebody gave by hand."""
        g = self.root._g
        return self.root.size == 1 and (g is None or float(g) == 1 or self.operations[-1].kind == "mse")


def network_of(tensor: Tensor, loss: Tensor | None = None) -> Network:
    """The operations that led from the leaves to the loss that tensor takes part in (the latest, if there are several).

    loss: which one is meant. Raises GradientError for a tensor that took no part in a forward pass that is alive.
    """
    return networks_of(tensor, loss)[0]


def networks_of(tensor: Tensor, loss: Tensor | None = None) -> list[Network]:
    """All of them, single numbers first, and the latest first among those."""
    if loss is not None:
        made = _network(loss) if loss._node is not None else None
        if made is None or not _takes_part(tensor, made):
            raise GradientError(f"explain: {describe(tensor)} took no part in computing loss, {describe(loss)}")
        return [made]
    found = [_network(tip) for tip in _tips(on_tape(tensor))]
    fitting = [network for network in reversed(found) if _takes_part(tensor, network)]
    if not fitting:
        _refuse(tensor)
    return sorted(fitting, key=lambda network: (not network.is_loss(), network.root._g is None))


def _network(root: Tensor) -> Network:
    steps = [(t, t._node) for t in reversed(from_root(root))]
    operations = tuple(Operation(node.op.name, tuple(node.inputs), t, node) for t, node in steps if node is not None)
    return Network(operations, root, names_of(operations, root))


def _takes_part(tensor: Tensor, network: Network) -> bool:
    return network.root is tensor or bool(network.uses(tensor))


def on_tape(part: Any) -> list[Tensor]:
    """Every living tensor that has a place on a tape and whose operands are still known, the oldest first.

    part: a tensor, or the data's array, that may be in a pass whose tape is only written down when asked for: what
    that gives comes last.
    """
    living = {id(t): t for t in _objects() if issubclass(type(t), Tensor)}  # isinstance would ask dead weak proxies
    found = {key: t for key, t in living.items() if t._node is not None and _is_known(t._node, part)}
    stack = list(found.values())
    while stack:
        for given in stack.pop()._node.inputs:
            if given._node is not None and id(given) not in found:
                found[id(given)] = given
                stack.append(found[id(given)])
    return list(found.values())


def _objects() -> Iterator[Any]:
    """All that Python's collector knows. The old generation comes first, and each is in the order of creation."""
    try:
        for generation in (2, 1, 0):
            yield from gc.get_objects(generation)
    except ValueError:  # a Python with other generations
        yield from gc.get_objects()


def _is_known(node: Node, part: Any) -> bool:
    """A Pass writes its tape down when asked for its inputs: only the one that part took part in is asked."""
    if not isinstance(node, Pass) or node._inputs is not None:
        return True
    room = node.workspace
    if room is None:
        return False
    parts = (*room.chain.parameters, room.x, room.targ)
    return any(part is one for one in parts) or getattr(part, "_node", None) is node


def _tips(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Those that no other one was computed from."""
    used = {id(given) for t in tensors if t._node is not None for given in t._node.inputs}
    return [t for t in tensors if id(t) not in used]


def _refuse(tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"explain: found a {type(tensor).__name__}, expected a tensor that took part in a forward pass")
    raise GradientError(
        f"explain: {describe(tensor)} took no part in a forward pass that can still be seen. Run one that uses it and "
        "keep its loss in a variable, for a loss that nobody holds is gone: loss = bp.mse(bp.lin(x, w, b), targ), then "
        "loss.backward(). Only operations on tensors that want a gradient are recorded (make weights with bp.param), "
        "and a compiled plan records none: call the model itself"
    )
