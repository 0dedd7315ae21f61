"""leaky_relu: out = inp where inp > 0, else negative_slope * inp, and its gradient. In C: csrc/ops/leaky_relu.c.

Source: Maas et al., "Rectifier Nonlinearities Improve Neural Network Acoustic Models" (2013); the slope is PyTorch's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.ops.activation import activation

SLOPE = 0.01


def leaky_relu(x: Any, negative_slope: float = SLOPE, out: Any = None) -> Tensor:
    """out = x where x > 0, else negative_slope * x (NaN stays NaN). Any shape. out: as in lin.

    Raises ValueError for a slope that is not positive and finite in x's dtype, DTypeError for data that is not real.
    """
    result: Tensor = LEAKY_RELU(x, out=out, negative_slope=negative_slope)
    return result


def leaky_relu_grad(inp: Tensor, out: Tensor, negative_slope: float = SLOPE) -> None:
    """inp.g = out.g where inp > 0, else negative_slope * out.g: elementwise, hence * and not @."""
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
)
