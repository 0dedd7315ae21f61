"""The first values of a layer's parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core import native
from pybackprop.core.arrays import aligned_empty, check_size
from pybackprop.core.checks import check_seed

PARAMETER_STREAM = 0  # of a seed's frozen random streams; the order of the samples takes those after it


def parameter_stream(seed: Any) -> Any:
    """The state of the random stream that parameters are drawn from. Raises ValueError for what is no seed."""
    return native.new_state(check_seed(seed), PARAMETER_STREAM)


def he_uniform(operation: str, m: int, h: int, dtype: np.dtype[Any], state: Any) -> Tensor:
    """w (m,h), uniform in [-b, b) with b = sqrt(6 / m), the next of a random stream, the same bits on every machine.

    operation: who asks, for messages. Source: He et al., "Delving Deep into Rectifiers" (arXiv:1502.01852),
    equation 10.
    """
    check_size(operation, (m, h), dtype)
    w = wrap(aligned_empty((m, h), dtype))
    native.random_uniform[dtype](w.pointer(), float(np.sqrt(6.0 / m)), state, w.size)
    return w


def zero_bias(h: int, dtype: np.dtype[Any]) -> Tensor:
    """b (h), all zero."""
    return wrap(np.zeros(h, dtype))
