"""Protocols of tensors and operations, so that the tape need not import their modules.

Tensors are in tensor.py; the operations are records, one package above: see ops/op.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class TensorLike(Protocol):
    """A tensor as the tape sees it; the attributes are documented in Tensor."""

    _array: Any
    _g: Any
    _g_place: Any
    _node: Any
    _origin: Any
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
    """An operation as the tape's nodes keep it.

    name      shown in messages
    inplace   whether its result overwrites its input
    backward  (inputs, saved, gradient of the result, sink, **params); None: it has no derivative here
    """

    @property
    def name(self) -> str: ...
    @property
    def inplace(self) -> bool: ...
    @property
    def backward(self) -> Callable[..., None] | None: ...

    def lasting(self) -> Any:
        """Itself, or a record in its place that keeps no values alive."""
        ...

    def purpose(self, inputs: Sequence[Any], tensor: Any) -> str:
        """The gradient that needs the values of tensor, such as "w.g = x.T @ out.g"; empty if unknown."""
        ...

    def replay(self, arrays: Sequence[Any], **params: Any) -> Any:
        """Computes the result again for these arrays, off the tape."""
        ...
