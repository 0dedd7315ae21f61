"""The scores of binary_cross_entropy_with_logits: why their gradient is the sigmoid less the target."""

from __future__ import annotations

import numpy as np

from pybackprop import ops
from pybackprop.core.arrays import Array
from pybackprop.ops import reference
from pybackprop.teach.explain.rules.loss import OfLoss, as_shaped, begins, further
from pybackprop.teach.explain.rules.rule import Marks, Path, Words, line, rule
from pybackprop.teach.render.formula import Name, Part
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import Index, element, other_at
from pybackprop.teach.trace.operation import Operation


@rule(ops.BINARY_CROSS_ENTROPY, "out")
class Answer(OfLoss):
    """out[i,j] moves the loss through its own term alone, by (sigmoid(out[i,j]) - targ[i,j]) / size."""

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        gradient = reference.binary_cross_entropy_backward(*(given._array for given in op.inputs))
        return np.empty((1, 0), int), np.array([gradient[at]])

    def words(self, path: Path, network: Network) -> Words:
        op = path.operation
        out, targ = op.inputs
        O, T, L = map(network.name, (out, targ, op.output))  # noqa: E741
        me, its = element(O, path.at), element(T, other_at(path.at, targ.ndim))
        share = f"{float(targ._array.reshape(out.shape)[path.at]):g}"
        s, size = f"sigmoid({me})", out.size
        value = f"{float(reference.sigmoid_forward(out._array)[path.at]):.6g}"
        return Words(
            L,
            f"{self.used(op, me, network)} It moves {L} through its own term, and no other element's.",
            f"{L} is the mean over {size} element{'s' * (size > 1)}; that of {me} is "
            f"-({its} log(s) + (1 - {its}) log(1 - s)), s = {s}.",
            f"log(s) moves by 1 - s and log(1 - s) by -s, as s itself moves by s (1 - s). With {its} = {share} that is "
            f"s - {share}, s = {value}; the mean divides by {size}.",
            L,
            f"({s} - {share}) / {size}",
            *self.last(path, network, f": each element of {O} answers a question of its own."),
        )

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        out, targ = op.inputs
        further = "" if begins(op, network) else f" * {network.name(op.output)}.g"
        return f"(sigmoid({network.name(out)}) - {as_shaped(network.name(targ), targ, out)}) / {out.size}{further}"

    def known(self, path: Path, network: Network) -> list[Part]:
        op, index = path.operation, tuple(map(str, path.at))
        out, targ = op.inputs
        share = f"{float(targ._array.reshape(out.shape)[path.at]):g}"
        sigmoid = Name(f"sigmoid({network.name(out)})", index)
        return ["(", sigmoid, "-", share, ")", "/", str(out.size), *further(op, network, "·")]

    def whole(self, op: Operation, slot: int, network: Network) -> list[Part]:
        out, targ = op.inputs
        names = Name(f"sigmoid({network.name(out)})"), Name(as_shaped(network.name(targ), targ, out))
        return ["(", names[0], "-", names[1], ")", "/", str(out.size), *further(op, network, "*")]

    def marks(self, path: Path) -> Marks:
        return Marks(None, (1, line(path.at[: path.operation.inputs[1].ndim])))
