"""tanh: out = (exp(2 inp) - 1) / (exp(2 inp) + 1), and its gradient. In C: csrc/ops/tanh.c."""

from __future__ import annotations

from numpy.typing import ArrayLike

from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.ops.activation import activation
from pybackprop.ops.op import Counterpart


def tanh(x: ArrayLike, out: Tensor | Array | None = None) -> Tensor:
    """out = (exp(2x) - 1) / (exp(2x) + 1), element by element; NaN stays NaN. x: a tensor or array of any shape.

    out: as in relu. Raises as relu does.
    """
    result: Tensor = TANH(x, out=out)
    return result


def tanh_grad(inp: Tensor, out: Tensor) -> None:
    """inp.g = (1 - tanh(inp)**2) * out.g: each out[i,j] depends on its own inp[i,j] alone.

    inp and out: of one shape and dtype. Raises as relu_grad does.
    """
    TANH.grad(inp, out)  # type: ignore[misc]


TANH = activation(
    "tanh",
    native.tanh_forward,
    native.tanh_backward_of_input,
    equation="out = (exp(2 inp) - 1) / (exp(2 inp) + 1)",
    gradients=("(1 - tanh(inp)**2) * out.g",),
    torch=Counterpart("Tanh"),
    onnx=Counterpart("Tanh"),
)
