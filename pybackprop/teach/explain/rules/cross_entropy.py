"""The scores of cross_entropy: why their gradient is the softmax less the target."""

from __future__ import annotations

import numpy as np

from pybackprop import ops
from pybackprop.core.arrays import Array
from pybackprop.ops import reference
from pybackprop.teach.explain.rules.loss import OfLoss, begins, further
from pybackprop.teach.explain.rules.rule import Marks, Path, Words, line, rule
from pybackprop.teach.render.formula import Name, Part
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import Index, element
from pybackprop.teach.trace.operation import Operation


@rule(ops.CROSS_ENTROPY, "out")
class Score(OfLoss):
    """out[i,j] moves the loss of row i alone, by (softmax(out)[i,j] - targ[i,j]) / n."""

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        gradient = reference.cross_entropy_backward(*(given._array for given in op.inputs))
        return np.empty((1, 0), int), np.array([gradient[at]])

    def words(self, path: Path, network: Network) -> Words:
        op, (i, j) = path.operation, path.at
        out, targ = op.inputs
        O, T, L = map(network.name, (out, targ, op.output))  # noqa: E741
        me, n = element(O, path.at), out.shape[0]
        terms = f"log(Σ_k exp({O}[{i},k]))"
        share = _chance(targ._array, i, j)
        if targ.ndim == 1:
            label = int(targ._array[i])
            row, second = f"{terms} - {O}[{i},{label}], as {T}[{i}] is {label}", f"{0 - share:g}"
            why = f", since {T}[{i}] is {label}" if share == 0 else f", as {T}[{i}] is this column"
        else:
            row = f"Σ_k {T}[{i},k] ({terms} - {O}[{i},k]), and {T}[{i}] adds up to 1"
            second, why = f"-{T}[{i},{j}] = {0 - share:g}", ""
        return Words(
            L,
            f"{self.used(op, me, network)} It moves {L} through the loss of row {i}, and no other row's.",
            f"{L} is the mean over {n} row{'s' * (n > 1)}; that of row {i} is {row}.",
            f"The logarithm moves by exp({me}) / Σ_k exp({O}[{i},k]), which is softmax({O})[{i},{j}] = "
            f"{_softmax(out._array)[i, j]:.6g}; the rest moves by {second}{why}; the mean divides by {n}.",
            L,
            f"(softmax({O})[{i},{j}] - {share:g}) / {n}",
            *self.last(
                path,
                network,
                f". A row of {O} competes: what is above its target is pushed down, what "
                "is below is pulled up, and the row's gradient adds up to 0:",
            ),
        )

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        further = "" if begins(op, network) else f" * {network.name(op.output)}.g"
        return f"(softmax({network.name(op.inputs[0])}) - {_targets(op, network)}) / {len(op.inputs[0])}{further}"

    def known(self, path: Path, network: Network) -> list[Part]:
        op, index = path.operation, tuple(map(str, path.at))
        softmax = Name(f"softmax({network.name(op.inputs[0])})", index)
        share = f"{_chance(op.inputs[1]._array, *path.at):g}"
        return ["(", softmax, "-", share, ")", "/", str(len(op.inputs[0])), *further(op, network, "·")]

    def whole(self, op: Operation, slot: int, network: Network) -> list[Part]:
        softmax = Name(f"softmax({network.name(op.inputs[0])})")
        targets = Name(_targets(op, network))
        return ["(", softmax, "-", targets, ")", "/", str(len(op.inputs[0])), *further(op, network, "*")]

    def marks(self, path: Path) -> Marks:
        return Marks(None, (1, line(path.at[: path.operation.inputs[1].ndim])))


def _softmax(out: Array) -> Array:
    return reference.softmax_forward(out)


def _chance(targ: Array, row: int, column: int) -> float:
    """The target of one score: its probability."""
    return float(targ[row] == column) if targ.ndim == 1 else float(targ[row, column])


def _targets(op: Operation, network: Network) -> str:
    """The targets in the shape of the scores, as code."""
    out, targ = op.inputs
    name = network.name(targ)
    return name if targ.ndim == 2 else f"one_hot({name}, {out.shape[1]})"
