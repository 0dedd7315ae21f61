"""Stand-in for pybackprop.ops until the Op record lands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pybackprop.autograd import tape
from pybackprop.autograd.tensor import wrap
from pybackprop.core.arrays import Array
from pybackprop.ops import linear
from pybackprop.ops.matmul import product


@dataclass(frozen=True, eq=False)
class Op:
    name: str
    forward: Callable[..., Any] | None = None
    operands: tuple[str, ...] = ()
    equation: str = ""
    gradients: tuple[str, ...] = ()
    lesson_grad: str = ""
    inplace: bool = False
    elementwise: bool = False
    kink: float | None = None

    def replay(self, arrays: list[Array], **params: Any) -> Array:
        assert self.forward is not None
        with tape.paused(), np.errstate(all="ignore"):
            made: Array = self.forward(*map(wrap, arrays), **params)._array
            return made


LIN = Op("lin", linear.lin, ("x", "w", "b"), "", ("out.g @ w.T", "x.T @ out.g", "out.g.sum(0)"), "lin_grad")
MATMUL = Op("@", product, ("x", "w"), "", ("out.g @ w.T", "x.T @ out.g"))
ADD = Op("+", lambda a, b: a + b, ("a", "b"), "", ("out.g", "out.g"))
RELU = Op("relu", linear.relu, ("inp",), "", ("(inp > 0) * out.g",), "relu_grad", False, True, 0.0)
RELU_ = Op("relu_", linear.relu, ("inp",), "", ("(inp > 0) * out.g",), "", True, True, 0.0)
MSE = Op("mse", linear.mse, ("out", "targ"), "", (), "mse_grad")
CLONE = Op(".clone", lambda a: a.clone(), ("inp",), "", ("out.g",), "", False, True)
registry = {op.name: op for op in (LIN, MATMUL, ADD, RELU, RELU_, MSE, CLONE)}


def op_of(name: str) -> Op:
    return registry.get(name) or Op(name)
