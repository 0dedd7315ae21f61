"""Off the tape: values that were computed from a tensor without being recorded, and so are constants to a backward.

The tape records an operation only if an operand wants a gradient. Whoever nudges a tensor and runs the program again
also moves what was computed from it before it wanted one, from a copy of it, or beside tensors that want none. Here
these operations are found by their origins (see autograd/origins.py) and, where nothing was overwritten, run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pybackprop.autograd.messages import describe
from pybackprop.autograd.origins import FORGOTTEN, Operand, Origin
from pybackprop.autograd.tape import NO_PARAMS, Copy, Node
from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core.arrays import Array
from pybackprop.core.errors import GradientError
from pybackprop.ops import Op
from pybackprop.teach.trace.gradients import same
from pybackprop.teach.trace.graph import Network, network_ending_in, operands_on_tape
from pybackprop.teach.trace.operation import Operation
from pybackprop.teach.trace.replay import replay


@dataclass(frozen=True)
class Constant:
    """A value that a backward takes as a constant, though it was computed from the tensor that is explained.

    tensor    the value
    by        the operations that computed it, the first one first
    problem   why they cannot be run again; empty if they can
    """

    tensor: Tensor
    by: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True)
class Program:
    """A network with all that moves when one tensor moves.

    network    what is explained: the tape's operations, and those off the tape that a gradient can pass
    constants  what moves too, and is left out of the gradient
    ran        the network in which these move as well; None where they cannot be run again
    """

    network: Network
    constants: tuple[Constant, ...] = ()
    ran: Network | None = None


def program_of(network: Network, tensor: Tensor) -> Program:
    """The network, extended by what was computed from tensor off the tape."""
    search = _Search(tensor)
    chains = [chain for leaf in network.leaves() if (chain := search.chain(leaf)) is not None]
    if not chains:
        return Program(network, (), network)
    passed = {} if tensor.requires_g else _operations(chain for chain in chains if chain.can_pass)
    explained = network_ending_in(network.root, passed) if passed else network
    left_out = [chain for chain in chains if tensor.requires_g or not chain.can_pass]
    constants = tuple(Constant(chain.leaf, chain.by, chain.problem) for chain in left_out)
    if any(chain.problem for chain in left_out):
        return Program(explained, constants)
    ran = network_ending_in(network.root, _operations(chains)) if left_out else explained
    return Program(explained, constants, Network(ran.operations, ran.root, ran.names | explained.names))


def takes_part(tensor: Tensor, network: Network) -> bool:
    """Whether the network can be extended to one that tensor takes part in."""
    return bool(program_of(network, tensor).network.uses(tensor))


@dataclass
class _Chain:
    """The operations from the tensor to a leaf. by: their names; problem: why they cannot be run again."""

    leaf: Tensor
    by: tuple[str, ...]
    operations: dict[int, Operation] = field(default_factory=dict)
    problem: str = ""

    @property
    def can_pass(self) -> bool:
        """Whether a gradient can pass all of them."""
        return not self.problem and all(op.node is not None for op in self.operations.values())


def _operations(chains: Iterator[_Chain] | Sequence[_Chain]) -> dict[int, Operation]:
    return {key: op for chain in chains for key, op in chain.operations.items()}


@dataclass(frozen=True)
class _Value:
    """A tensor or, where it is gone, its origin or its array."""

    tensor: Tensor | None
    origin: Origin | None
    array: Array | None = None

    @property
    def key(self) -> int:
        return id(next((part for part in (self.tensor, self.origin, self.array) if part is not None), None))

    def operands(self) -> list[_Value]:
        """What it was computed from, on the tape or off it."""
        if self.tensor is not None and on_tape(self.tensor):
            return [_Value(t, t._origin, t._array) for t in operands_on_tape(self.tensor)]
        return [] if self.origin is None else [_value(operand) for operand in self.origin.operands]


def on_tape(tensor: Tensor | None) -> bool:
    """Whether the tape knows what the tensor was computed from."""
    return tensor is not None and tensor._node is not None and tensor._node.has_derivative


def _value(operand: Operand) -> _Value:
    return _Value(operand.tensor(), operand.origin, operand.array() if operand.array else None)


class _Search:
    """What was computed from one tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.moves: dict[int, bool] = {id(tensor): True}  # by key
        self.cut_off: dict[int, bool] = {}  # whether not all that it was computed from is known, by key
        self.kept: list[Any] = [tensor]  # so that ids stay valid
        self.again: dict[int, Tensor] = {}  # the values of tensors that are gone, by key

    def chain(self, leaf: Tensor) -> _Chain | None:
        """The operations from the tensor to a leaf off the tape; None if it was not computed from the tensor."""
        value = _Value(leaf, leaf._origin, leaf._array)
        if leaf is self.tensor or not self._moves(value):
            return _Chain(leaf, (), {}, UNKNOWN) if self.cut_off.get(value.key) else None
        chain = _Chain(leaf, self._names(value))
        try:
            self._rebuild(value, chain)
        except GradientError as error:
            chain.problem = str(error)
        return chain

    def _moves(self, value: _Value) -> bool:
        """Whether it was computed from the tensor."""
        stack = [(value, False)]
        while stack:  # a loop, not a recursion: a graph may be deeper than Python's stack
            one, done = stack.pop()
            if done:
                self.moves[one.key] = any(self.moves.get(o.key, False) for o in one.operands())
                self.cut_off[one.key] |= any(self.cut_off.get(o.key, False) for o in one.operands())
            elif one.key not in self.moves:
                self.moves[one.key], self.cut_off[one.key] = self._shares(one), one.origin is FORGOTTEN
                self.kept.append(one)
                if not self.moves[one.key]:
                    stack += [(one, True), *((operand, False) for operand in one.operands())]
        return self.moves[value.key]

    def _names(self, value: _Value) -> tuple[str, ...]:
        """The operations on a way from the tensor to a value."""
        names: list[str] = []
        while value.tensor is not self.tensor:
            if on_tape(value.tensor):
                names.append(value.tensor._node.op.name)  # type: ignore[union-attr]
            else:
                names.append(SHARED.name if value.origin is None else value.origin.op.name)
            moved = [operand for operand in value.operands() if self.moves.get(operand.key)]
            if not moved:
                break
            value = moved[0]
        return tuple(names[::-1])

    def _shares(self, value: _Value) -> bool:
        """Whether it lies in the tensor's memory, as bp.as_tensor(t.data) does, and is no result of its own."""
        mine, other = self.tensor._array, value.array
        if value.origin is not None or other is None or on_tape(value.tensor):
            return False
        return np.may_share_memory(mine, other) and np.shares_memory(mine, other)

    def _rebuild(self, value: _Value, chain: _Chain) -> Tensor:
        """The value of a tensor off the tape as a tensor, and the operations from the tensor to it, into chain."""
        result, origin = value.tensor, value.origin
        moves = self.moves.get(value.key, False)
        if result is not None and (result is self.tensor or on_tape(result) or not moves):
            return result
        if result is not None and id(result) in chain.operations:
            return result
        if origin is None:
            return self._same_memory(value, chain)
        if origin is FORGOTTEN:
            raise GradientError(UNKNOWN)
        inputs = tuple(self._operand(operand, chain) for operand in origin.operands)
        array = replay(Operation(origin.op, inputs, inputs[0], None, origin.params), [t._array for t in inputs])
        if result is None:
            result = self.again.setdefault(value.key, wrap(np.array(array)))
        elif result._version.count != origin.count or not same(np.asarray(array, result.dtype), result._array):
            raise GradientError("it, or what it was computed from, was overwritten since")
        if moves:
            op = Operation(_record(origin.op), inputs, result, _node(origin, inputs), origin.params)
            chain.operations[id(result)] = op
        return result

    def _same_memory(self, value: _Value, chain: _Chain) -> Tensor:
        """The tensor itself for its array, and a copy of it for a tensor in the same memory."""
        mine, other = self.tensor._array, value.array
        if other is None or not self.moves.get(value.key, False):
            raise GradientError("an operand of it is gone")
        if (mine.ctypes.data, mine.shape, mine.strides) != (other.ctypes.data, other.shape, other.strides):
            raise GradientError(f"a view of the memory of {describe(self.tensor)} was used")
        if value.tensor is None:
            return self.tensor
        chain.operations[id(value.tensor)] = Operation(SHARED, (self.tensor,), value.tensor)
        return value.tensor

    def _operand(self, operand: Operand, chain: _Chain) -> Tensor:
        tensor = operand.tensor()
        if tensor is not None and tensor._version.count != operand.count:
            raise GradientError("what it was computed from was overwritten since")
        return self._rebuild(_value(operand), chain)


UNKNOWN = "it came from too many operations off the tape"


def _record(op: Any) -> Op:
    """The record as an Op, which for a copy passes its operand on."""
    return op if isinstance(op, Op) else Op(op.name, lambda inp: inp, None, ("inp",))


SHARED = _record(Copy("the same memory"))


def _node(origin: Origin, inputs: tuple[Tensor, ...]) -> Node | None:
    """The node that the tape would have had; None if no gradient can pass."""
    if not isinstance(origin.op, Op) or origin.op.backward is None or origin.op.inplace:
        return None
    twins = [wrap(t._array) for t in inputs]
    twins[0].requires_g = True
    node = origin.op.forward(*twins, **origin.params)._node
    real = {id(twin): t for twin, t in zip(twins, inputs, strict=True)}
    saved = [real.get(id(t), t) for t, _ in node.saved]
    return Node(origin.op, inputs, saved, origin.params or NO_PARAMS)
