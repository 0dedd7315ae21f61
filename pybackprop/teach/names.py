"""Names: what the text calls each tensor. Its own name, or the one that the lesson has for its part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pybackprop.storage import Storage

if TYPE_CHECKING:
    from pybackprop.teach.find import Operation

PRODUCTS = ("lin", "@")


def names_of(operations: Sequence[Operation], root: Storage) -> dict[int, str]:
    """By id: x, w1, b1, l1, l2, w2, b2, out, targ, loss, for those that have no name of their own."""
    wanted: list[tuple[Storage, str]] = []
    layer = 0
    for results, op in enumerate(operations, 1):
        layer += op.kind in PRODUCTS
        wanted += [(given, _leaf(op, slot, layer)) for slot, given in enumerate(op.inputs) if given._node is None]
        wanted.append((op.output, _result(op, operations, results, root)))
    return _unique(wanted)


def _leaf(op: Operation, slot: int, layer: int) -> str:
    given = op.inputs[slot]
    if op.kind == "mse" and slot == 1:
        return "targ"
    if not given.requires_g:
        return "x"
    if op.kind == "lin":
        return f"{('x', 'w', 'b')[slot]}{layer}" if slot else "x"
    return f"{'w' if given.ndim == 2 else 'b'}{layer}"


def _result(op: Operation, operations: Sequence[Operation], number: int, root: Storage) -> str:
    if op.output is root and root.size == 1:
        return "loss"
    is_last = op.output is root or any(last.kind == "mse" and last.inputs[0] is op.output for last in operations[-1:])
    return "out" if is_last else f"l{number}"


def _unique(wanted: list[tuple[Storage, str]]) -> dict[int, str]:
    """Own names first; where two would be called the same, the later one is numbered."""
    names: dict[int, str] = {}
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
