"""Layers of other libraries as layers of this one, by the counterparts that operations have there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pybackprop.nn.layers import ACTIVATIONS, LOSSES, Activation, Loss
from pybackprop.ops import Op, registry
from pybackprop.ops.op import Counterpart


def operation_named(name: str, library: str) -> tuple[Op, Counterpart] | None:
    """The operation that another library, "torch" or "onnx", has under this name; None: there is none here."""
    for op in registry.values():
        found: Counterpart | None = getattr(op, library)
        if found is not None and found.name == name and not op.inplace:
            return op, found
    return None


def activation_of(op: Op, found: Counterpart, arguments: Mapping[str, Any]) -> Activation:
    """The layer of an operation, with its arguments in the other library. Raises ValueError for those without a
    counterpart, and for values that the operation does not take.
    """
    check_fixed(found, arguments)
    params = {ours: arguments[theirs] for ours, theirs in found.arguments.items() if theirs in arguments}
    kind: Any = ACTIVATIONS.get(op.name)
    activation: Activation = Activation(op, **params) if kind is None else kind(**params)
    return activation


def loss_named(op: Op, found: Counterpart, arguments: Mapping[str, Any]) -> Loss:
    """The layer of a loss. Raises ValueError as `activation_of` does."""
    check_fixed(found, arguments)
    return LOSSES[op.name]()


def check_fixed(found: Counterpart, arguments: Mapping[str, Any]) -> None:
    """Raises ValueError for an argument that is unknown, or has another value than the one that computes the same."""
    for name, value in arguments.items():
        if name not in (*found.arguments.values(), *found.fixed):
            raise ValueError(f"{name}={value!r} has no counterpart here")
        if name in found.fixed and not _is_same(value, found.fixed[name]):
            raise ValueError(f"found {name}={value!r}, expected {found.fixed[name]!r}: there is nothing else here")


def _is_same(value: Any, fixed: Any) -> bool:
    """Whether an argument says the same. An axis of (n,h) may be counted from the end."""
    if fixed is None or value is None:
        return value is fixed
    return bool(value == fixed or (type(fixed) is int and fixed > 0 and value == fixed - 2))
