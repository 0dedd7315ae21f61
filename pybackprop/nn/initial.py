"""The first values of a layer's parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core import native
from pybackprop.core.arrays import aligned_empty, check_size
from pybackprop.core.checks import check_seed

PARAMETER_STREAM = 0  # the stream of a seed for parameters; the order of the samples uses those after it


def parameter_stream(seed: Any) -> Any:
    """The state of the random stream that parameters are drawn from. Raises ValueError for an invalid seed."""
    return native.new_state(check_seed(seed), PARAMETER_STREAM)


def he_uniform(operation: str, m: int, h: int, dtype: np.dtype[Any], state: Any) -> Tensor:
    """w (m,h), uniform in [-b, b) with b = sqrt(6 / m), drawn from a random stream, the same bits on every machine.

    operation: the caller, for messages. Source: He et al., "Delving Deep into Rectifiers" (arXiv:1502.01852),
    equation 10.
    """
    return uniform(operation, (m, h), float(np.sqrt(6.0 / m)), dtype, state)


def uniform(operation: str, shape: tuple[int, ...], bound: float, dtype: np.dtype[Any], state: Any) -> Tensor:
    """Numbers in [-bound, bound), drawn from a random stream, the same bits on every machine."""
    check_size(operation, shape, dtype)
    tensor = wrap(aligned_empty(shape, dtype))
    native.random_uniform[dtype](tensor.pointer(), bound, state, tensor.size)
    return tensor


def zero_bias(h: int, dtype: np.dtype[Any]) -> Tensor:
    """b (h), all zero."""
    return wrap(np.zeros(h, dtype))
