"""What the tape needs to know of a tensor and of an operation, so that it imports neither.

Tensors are in tensor.py; the operations are records, one package above: see ops/op.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class TensorLike(Protocol):
    """A tensor as the tape sees it: see Tensor for what each is."""

    _array: Any
    _g: Any
    _g_place: Any
    _node: Any
    _version: Any
    name: str | None
    requires_g: bool

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def size(self) -> int: ...
    @property
    def dtype(self) -> Any: ...
    def new_like(self) -> Any: ...
    def write_g(self, operation: str) -> Any: ...
    def lose_g(self, reason: str) -> None: ...


class Operation(Protocol):
    """An operation as a node of the tape keeps it.

    name      as messages call it
    inplace   whether its result overwrites its input
    backward  (inputs, saved, gradient of the result, sink, **params); None: it has no derivative here
    """

    @property
    def name(self) -> str: ...
    @property
    def inplace(self) -> bool: ...
    @property
    def backward(self) -> Callable[..., None] | None: ...

    def purpose(self, inputs: Sequence[Any], tensor: Any) -> str:
        """ "w.g = x.T @ out.g": the gradient that the values of tensor are kept for; empty where it is not known."""
        ...

    def replay(self, arrays: Sequence[Any], **params: Any) -> Any:
        """The result once more for these arrays, off the tape."""
        ...
