"""What the tensors of a network are called: by their own names, or as the lesson calls them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pybackprop.tensor import Tensor

__all__ = ["named"]


def named(operations: Sequence[tuple[str, Sequence[Tensor], Tensor]]) -> dict[int, str]:
    """id of a tensor -> its name, different for each: x w1 b1 l1 l2 w2 b2 l3 ... out targ loss.

    operations: (op, operands, output) in forward order. Of two tensors with the same name of their own, the second
    one goes by the lesson's.
    """
    names: dict[int, str] = {}
    taken: set[str] = set()
    proposals = list(_lesson(operations))
    for t, _ in proposals:
        if t.name and id(t) not in names and t.name not in taken:
            names[id(t)] = t.name
            taken.add(t.name)
    for t, name in proposals:
        if id(t) not in names:
            while name in taken:
                name += "'"
            names[id(t)] = name
            taken.add(name)
    return names


def _lesson(operations: Sequence[tuple[str, Sequence[Tensor], Tensor]]) -> Iterator[tuple[Tensor, str]]:
    """Each tensor with the lesson's name for it, in forward order."""
    yield operations[0][1][0], "x"
    weights = 0
    for k, (op, operands, out) in enumerate(operations, 1):
        weights += op == "lin"
        others = ("targ",) if op == "mse" else (f"w{weights}", f"b{weights}")
        yield from zip(operands[1:], others, strict=False)
        is_last = k == len(operations) - 1
        yield out, "loss" if op == "mse" else "out" if is_last else f"l{k}"
