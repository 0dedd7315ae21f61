"""The operands of mse: the output and the targets."""

from __future__ import annotations

import numpy as np

from pybackprop import ops
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.teach.explain.rules.rule import Marks, Path, Rule, Words, line, rule
from pybackprop.teach.render.formula import Name, Part, Partial
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import Index, among, element, other_at, shape
from pybackprop.teach.trace.operation import Operation


class OfLoss(Rule):
    """An operand of a loss, which is one number: its path has no index, and may end where the backward pass begins."""

    def index(self, path: Path) -> tuple[str, ...]:
        return ()

    def last(self, path: Path, network: Network, alone: str) -> tuple[str, tuple[str, ...]]:
        """The last two of an operand's Words: what the loss is to the rest, and the lines about all elements.

        alone   how the elements move the loss, so that there is nothing to add up
        """
        op, mine = path.operation, path.operation.inputs[path.slot]
        loss, starts = network.name(op.output), begins(op, network)
        gradient, computed = path.gradient(network.name(mine)), self.computed(op, path.slot, network)
        lines = (
            f"Only {loss} moves, so there is nothing to add up{alone}",
            f"  {gradient} = {computed}        {shape(mine)}",
            *([f"The last factor, ∂{loss}/∂{loss} = 1, is where the backward pass begins."] * starts),
        )
        return f"∂{loss}/∂{loss}" if starts else f"{loss}.g", lines

    def chain(self, path: Path, network: Network, loss: Name, me: Name) -> list[Part]:
        if begins(path.operation, network):
            return [Partial(Name(network.name(path.operation.output)), me)]
        return super().chain(path, network, loss, me)


@rule(ops.MSE, "out")
class Output(OfLoss):
    """out[i,j] moves the loss, by 2 (out[i,j] - targ[i,j]) / size."""

    with_a_minus: str

    sign: float = 1.0
    minus, with_a_minus = "", ""

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        out, targ = (given._array.reshape(op.inputs[0].shape) for given in op.inputs)
        where = at if len(at) == out.ndim else (*at, 0)
        with np.errstate(all="ignore"):
            slope = (out[where] - targ[where]) * out.dtype.type(2.0 / out.size)
        return np.empty((1, 0), int), np.array([self.sign * slope])

    def words(self, path: Path, network: Network) -> Words:
        op = path.operation
        out, targ = op.inputs
        O, T, L = map(network.name, (out, targ, op.output))  # noqa: E741
        mine = op.inputs[path.slot]
        name, size = network.name(mine), out.size
        me = element(name, path.at)
        place = int(np.ravel_multi_index(path.at, mine.shape)) if path.at else 0
        pair = f"({element(O, other_at(path.at, out.ndim))} - {element(T, other_at(path.at, targ.ndim))})"
        return Words(
            L,
            f"{self.used(op, me, network)} It moves {L} directly, through its own square.",
            f"{L} = ({among(f'{pair}²', place, size)}) / {size}, the mean over {size} element{'s' * (size > 1)}.",
            f"The square's slope is 2 times the difference{self.with_a_minus}; the mean divides by {size}.",
            L,
            f"{self.minus}2 {pair} / {size}",
            *self.last(path, network, f": each element of {O} has its own square in {L}."),
        )

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        mine, other = op.inputs[slot], op.inputs[1 - slot]
        difference = f"{network.name(mine)} - {as_shaped(network.name(other), other, mine)}"
        further = "" if begins(op, network) else f" * {network.name(op.output)}.g"
        return f"2 * ({difference}) / {op.inputs[0].size}{further}"

    def known(self, path: Path, network: Network) -> list[Part]:
        other = path.operation.inputs[1 - path.slot]
        index = tuple(map(str, other_at(path.at, other.ndim))) if path.at else ()
        mine, at = path.operation.inputs[path.slot], tuple(map(str, path.at))
        called = network.name(other) if path.at else as_shaped(network.name(other), other, mine)
        slope = _slope(Name(network.name(mine), at), Name(called, index), mine.size)
        return [*slope, *further(path.operation, network, "·")]

    def whole(self, op: Operation, slot: int, network: Network) -> list[Part]:
        mine, other = op.inputs[slot], op.inputs[1 - slot]
        slope = _slope(Name(network.name(mine)), Name(as_shaped(network.name(other), other, mine)), mine.size)
        return [*slope, *further(op, network, "*")]

    def marks(self, path: Path) -> Marks:
        other = path.operation.inputs[1 - path.slot]
        return Marks(None, (1 - path.slot, line(path.at[: other.ndim])))


@rule(ops.MSE, "targ")
class Target(Output):
    """targ[i,j] moves the loss the other way."""

    with_a_minus: str

    sign: float = -1.0
    minus, with_a_minus = "-", ", with a minus for the target"
    filled = -1


def begins(op: Operation, network: Network) -> bool:
    """Whether the backward pass begins with 1 at the operation's result."""
    return op.output is network.root and network.is_loss()


def further(op: Operation, network: Network, times: str) -> list[Part]:
    """The gradient that arrives at the operation's result, unless the backward pass begins there."""
    return [] if begins(op, network) else [times, Name(network.name(op.output), g=True)]


def as_shaped(name: str, tensor: Tensor, like: Tensor) -> str:
    """A name, with an index that matches the shape of like where one of the two is (n) and the other (n,1)."""
    if tensor.ndim == like.ndim:
        return name
    return f"{name}[:,None]" if tensor.ndim < like.ndim else f"{name}[:,0]"


def _slope(mine: Name, other: Name, size: int) -> list[Part]:
    return ["2", "(", mine, "-", other, ")", "/", str(size)]
