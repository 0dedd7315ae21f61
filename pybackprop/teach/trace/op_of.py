"""The record of an operation, of a node of the tape. A stand-in until operations are records themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pybackprop.ops import linear


@dataclass(frozen=True, eq=False)
class Op:
    name: str
    forward: Callable[..., Any]
    operands: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    gradients: tuple[str, ...] = ()
    inplace: bool = False
    elementwise: bool = False
    registered: bool = True

    def __call__(self, *operands: Any, **params: Any) -> Any:
        return self.forward(*operands, **params)


class ops:
    LIN = Op("lin", linear.lin, ("x", "w", "b"), ("ik", "kj", "j", "ij"))
    MATMUL = Op("@", lambda a, b: a @ b, ("x", "w"), ("ik", "kj", "ij"))
    ADD = Op("+", lambda a, b: a + b, ("x", "b"))
    RELU = Op("relu", linear.relu, ("inp",), ("", ""), elementwise=True)
    RELU_ = Op("relu_", linear.relu_, ("inp",), ("", ""), elementwise=True, inplace=True)
    MSE = Op("mse", linear.mse, ("out", "targ"))
    CLONE = Op(".clone", lambda a: a.clone(), ("inp",), ("", ""), elementwise=True)


_BY_NAME = {op.name: op for op in vars(ops).values() if isinstance(op, Op)}
_OWN: dict[str, Op] = {}


def op_of(node: Any) -> Any:
    name = node.operation
    if name not in _BY_NAME and name not in _OWN:
        _OWN[name] = Op(name, lambda *_: None)
    return _BY_NAME.get(name) or _OWN[name]


def params_of(node: Any) -> dict[str, Any]:
    return getattr(node, "params", None) or {}
