"""Stands in for pybackprop.ops until the operations are records there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pybackprop.ops import linear


@dataclass(frozen=True, eq=False)
class Op:
    name: str
    forward: Callable[..., Any]
    grad: Callable[..., Any]
    activation: str | None = None

    def __call__(self, *operands: Any, **params: Any) -> Any:
        return self.forward(*operands, **params)


RELU = Op("relu", linear.relu, linear.relu_grad, "relu")
RELU_ = Op("relu_", linear.relu_, linear.relu_grad)
