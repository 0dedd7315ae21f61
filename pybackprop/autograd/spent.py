"""Spent losses: a loss that is kept after its step keeps its number, and not the values that it was computed from.

After a backward, a second backward or an explanation may still ask for these values. Once a parameter that the backward
reads was updated, both could only raise, so nothing that is left can use them. The next backward then takes them off
the loss. Losses are remembered by weak references: what nobody keeps is freed at once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, NoReturn
from weakref import ref

from pybackprop.autograd import messages
from pybackprop.autograd.protocols import Operation, TensorLike
from pybackprop.core.errors import GradientError

LOOKED_AT = 4  # by each backward, which adds one: so losses whose parameters never change do not hold up the others


class Spent:
    """In place of the operation of a loss whose values were freed. updated: the parameter that was updated."""

    name: str

    inplace = False
    op: Operation
    updated: TensorLike

    def __init__(self, op: Operation, updated: TensorLike) -> None:
        self.op, self.updated, self.name = op, updated, op.name

    def backward(self, *_: Any, **__: Any) -> None:
        """Raises GradientError."""
        self.refuse("backward")

    def lasting(self) -> Spent:
        """Itself."""
        return self

    def purpose(self, inputs: Sequence[TensorLike], tensor: TensorLike) -> str:
        """Empty: its inputs are gone."""
        return ""

    def replay(self, arrays: Sequence[Any], **params: Any) -> Any:
        """Raises GradientError."""
        self.refuse("replay")

    def refuse(self, operation: str) -> NoReturn:
        """Raises GradientError. operation: the caller, for the message."""
        raise GradientError(
            f"{operation}: the values behind this '{self.name}' are gone: its backward has run, and "
            f"{messages.describe(self.updated)} was updated since, by {self.updated._version.by}. Run forward again, "
            "or keep the values with backward(keep=True)"
        )


class _Thread(threading.local):
    def __init__(self) -> None:
        self.losses: deque[ref[Any]] = deque()


_thread = _Thread()


def retire(loss: Any, read: list[tuple[TensorLike, int]]) -> None:
    """Remembers a loss whose backward has just run, and frees what earlier ones cannot use any more.

    read: the parameters that it read, with their version counts.
    """
    losses = _thread.losses
    for _ in range(min(len(losses), LOOKED_AT)):
        reference = losses.popleft()
        earlier = reference()
        if earlier is not None and earlier is not loss and not _free(earlier):
            losses.append(reference)
    loss._node.read = read
    losses.append(ref(loss))


def _free(loss: Any) -> bool:
    """Whether nothing has to be freed any more: a parameter was updated, or the loss is on no tape."""
    node = loss._node
    if node is None or isinstance(node.op, Spent):
        return True
    for leaf, count in node.read:
        if leaf._version.count != count:
            node.free(leaf)
            return True
    return False
