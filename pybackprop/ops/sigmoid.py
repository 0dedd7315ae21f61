"""sigmoid: out = 1 / (1 + exp(-inp)), and its gradient. In C: csrc/ops/sigmoid.c."""

from __future__ import annotations

from numpy.typing import ArrayLike

from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.ops.activation import activation
from pybackprop.ops.op import Counterpart


def sigmoid(x: ArrayLike, out: Tensor | Array | None = None) -> Tensor:
    """out = 1 / (1 + exp(-x)), element by element; NaN stays NaN. x: a tensor or array of any shape.

    out: as in relu. Raises as relu does.
    """
    result: Tensor = SIGMOID(x, out=out)
    return result


def sigmoid_grad(inp: Tensor, out: Tensor) -> None:
    """inp.g = sigmoid(inp) * (1 - sigmoid(inp)) * out.g: each out[i,j] depends on its own inp[i,j] alone.

    inp and out: of one shape and dtype. Raises as relu_grad does.
    """
    SIGMOID.grad(inp, out)  # type: ignore[misc]


SIGMOID = activation(
    "sigmoid",
    native.sigmoid_forward,
    native.sigmoid_backward_of_input,
    equation="out = 1 / (1 + exp(-inp))",
    gradients=("sigmoid(inp) * (1 - sigmoid(inp)) * out.g",),
    torch=Counterpart("Sigmoid"),
    onnx=Counterpart("Sigmoid"),
)
