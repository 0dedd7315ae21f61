"""leaky_relu: out = inp where inp > 0, else negative_slope * inp, and its gradient. In C: csrc/ops/leaky_relu.c.

Source: Maas et al., "Rectifier Nonlinearities Improve Neural Network Acoustic Models" (2013); the slope is PyTorch's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.ops.activation import activation
from pybackprop.ops.op import Counterpart

SLOPE = 0.01


def leaky_relu(x: ArrayLike, negative_slope: float = SLOPE, out: Tensor | Array | None = None) -> Tensor:
    """out = x where x > 0, else negative_slope * x; NaN stays NaN. x: a tensor or array of any shape.

    out: as in relu. Raises ValueError for a slope that is not positive and finite in x's dtype; else as relu does.
    """
    result: Tensor = LEAKY_RELU(x, out=out, negative_slope=negative_slope)
    return result


def leaky_relu_grad(inp: Tensor, out: Tensor, negative_slope: float = SLOPE) -> None:
    """inp.g = out.g where inp > 0, else negative_slope * out.g: each out[i,j] depends on its own inp[i,j] alone.

    inp and out: of one shape and dtype. Raises as relu_grad does, and ValueError for the slope as leaky_relu does.
    """
    LEAKY_RELU.grad(inp, out, negative_slope=negative_slope)  # type: ignore[misc]


def _check(dtype: np.dtype[Any], negative_slope: Any = SLOPE) -> None:
    fits = isinstance(negative_slope, (int, float, np.number)) and not isinstance(negative_slope, bool)
    if not fits or not 0 < dtype.type(negative_slope) < np.inf:
        raise ValueError(
            f"leaky_relu: found negative_slope={negative_slope!r}, expected a finite number above 0; for 0 use relu"
        )


LEAKY_RELU = activation(
    "leaky_relu",
    native.leaky_relu_forward,
    native.leaky_relu_backward,
    check=_check,
    defaults={"negative_slope": SLOPE},
    equation="out = inp where inp > 0, else negative_slope inp",
    gradients=("(inp > 0) * out.g + negative_slope * (inp <= 0) * out.g",),
    kink=0.0,
    torch=Counterpart("LeakyReLU", {"negative_slope": "negative_slope"}),
    onnx=Counterpart("LeakyRelu", {"negative_slope": "alpha"}),
)
