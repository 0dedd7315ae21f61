"""Names: what the text calls each tensor. Its own name, or the one that the lesson has for its part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pybackprop.autograd.tensor import Tensor

if TYPE_CHECKING:
    from pybackprop.teach.trace.graph import Operation

PRODUCTS = ("lin", "@")


def names_of(operations: Sequence[Operation], root: Tensor) -> dict[int, str]:
    """By id: x, w1, b1, l1, l2, w2, b2, out, targ, loss, for those that have no name of their own."""
    wanted: list[tuple[Tensor, str]] = []
    layer = 0
    for results, op in enumerate(operations, 1):
        layer += op.kind in PRODUCTS
        wanted += [(given, _leaf(op, slot, layer)) for slot, given in enumerate(op.inputs) if given._node is None]
        wanted.append((op.output, _result(op, operations, results, root)))
    return unique(wanted)


def names_in_chain(operations: Sequence[tuple[str, Sequence[Tensor], Tensor]]) -> dict[int, str]:
    """The same for (op, operands, output) of a chain in forward order, in which an operand's place tells its part."""
    return unique(_parts(operations))


def _parts(operations: Sequence[tuple[str, Sequence[Tensor], Tensor]]) -> Iterator[tuple[Tensor, str]]:
    yield operations[0][1][0], "x"
    weights = 0
    for k, (op, operands, out) in enumerate(operations, 1):
        weights += op == "lin"
        others = ("targ",) if op == "mse" else (f"w{weights}", f"b{weights}")
        yield from zip(operands[1:], others, strict=False)
        is_last = k == len(operations) - 1
        yield out, "loss" if op == "mse" else "out" if is_last else f"l{k}"


def _leaf(op: Operation, slot: int, layer: int) -> str:
    given = op.inputs[slot]
    if op.kind == "mse":
        return ("out", "targ")[slot]
    if op.kind in PRODUCTS:
        return f"{('x', 'w', 'b')[slot]}{layer}" if slot else "x"
    if own := _attribute(op, given):
        return own
    return f"b{layer}" if given.requires_g and given.ndim == 1 else "x"


def _attribute(op: Operation, given: Tensor) -> str:
    """What a layer of the learner's own calls its parameter."""
    layer = getattr(op.node.op, "layer", None)
    return next((name for name, part in getattr(layer, "__dict__", {}).items() if part is given), "")


def _result(op: Operation, operations: Sequence[Operation], number: int, root: Tensor) -> str:
    if op.output is root and root.size == 1:
        return "loss"
    is_last = op.output is root or any(last.kind == "mse" and last.inputs[0] is op.output for last in operations[-1:])
    return "out" if is_last else f"l{number}"


def unique(wanted: Iterable[tuple[Tensor, str]]) -> dict[int, str]:
    """By id, for tensors and their parts' names: own names first; the later of two that are the same is numbered."""
    wanted, names = list(wanted), dict[int, str]()
    taken: set[str] = set()
    for own in (True, False):
        for tensor, role in wanted:
            if id(tensor) in names or bool(tensor.name) != own:
                continue
            name = first = tensor.name or role
            count = 2
            while name in taken:
                name, count = f"{first}_{count}", count + 1
            names[id(tensor)] = name
            taken.add(name)
    return names
