"""What the tensors of a network are called in texts: their own names, or the lesson's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pybackprop import ops
from pybackprop.autograd.tensor import Tensor
from pybackprop.teach.trace.operation import Operation
from pybackprop.teach.trace.steps import WrittenLoss, bias_added, written_loss


def names_of(operations: Sequence[Operation], root: Tensor) -> dict[int, str]:
    """Names by id: the tensors' own, or else the lesson's (x, w1, b1, l1, l2, w2, b2, out, targ, loss).

    x @ w1 + b1 is one step of the lesson, l1. Its product alone is called (x @ w1).
    """
    roles: list[tuple[Tensor, str]] = []
    layer = number = 0
    computed, loss = {id(op.output) for op in operations}, written_loss(operations)
    products = {id(op.output): op for op in operations if bias_added(operations, op)}
    for op in operations:
        layer += op.is_product
        leaves = [(slot, given) for slot, given in enumerate(op.inputs) if id(given) not in computed]
        roles += [(given, _leaf(op, slot, layer, loss)) for slot, given in leaves]
        if id(op.output) not in products:
            number += 1
            roles.append((op.output, _result(op, operations[-1], number, root, loss)))
    names = unique(roles)
    for op in products.values():
        left, right = (names[id(given)] for given in op.inputs)
        names[id(op.output)] = op.output.name or f"({left} @ {right})"
    return names


def _leaf(op: Operation, slot: int, layer: int, loss: WrittenLoss | None) -> str:
    role, given = op.op.operands[slot], op.inputs[slot]
    if loss is not None and given is loss.targ:
        return "targ"
    if op.is_loss:
        return role
    if op.is_product:
        return f"{role}{layer}" if slot else role
    if slot and op.op is not ops.ADD and not role.startswith("inp"):  # both operands of + are alike
        return role
    return f"b{layer}" if given.requires_g and given.ndim == 1 else "x"


def _result(op: Operation, last: Operation, number: int, root: Tensor, loss: WrittenLoss | None) -> str:
    if op.output is root and root.size == 1:
        return "loss"
    is_output = op.output is root or (last.is_loss and last.inputs[0] is op.output)
    return "out" if is_output or (loss is not None and op.output is loss.out) else f"l{number}"


def unique(roles: Iterable[tuple[Tensor, str]]) -> dict[int, str]:
    """Unique names by id, from (tensor, lesson's name): own names take precedence, and repeated names get a number."""
    roles, names = list(roles), dict[int, str]()
    taken: set[str] = set()
    for own in (True, False):
        for tensor, role in roles:
            if id(tensor) in names or bool(tensor.name) != own:
                continue
            name = first = tensor.name or role
            count = 2
            while name in taken:
                name, count = f"{first}_{count}", count + 1
            names[id(tensor)] = name
            taken.add(name)
    return names
