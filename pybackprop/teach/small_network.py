"""The small network of the exercises and of `pybackprop judge`, on numbers that a person can add up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pybackprop import ops
from pybackprop.autograd.tensor import Tensor, param
from pybackprop.core.arrays import Array

OUTPUTS = 2
ROLE_OF = {"x": "x", "w": "w1", "b": "b1", "z": "l1", "a": "l2", "out": "out", "targ": "targ"}


def example(shape: Sequence[int] = (4, 3, 2), seed: int = 0, dtype: Any = np.float32) -> dict[str, Tensor]:
    """mse(lin(relu(lin(x, w1, b1)), w2, b2), targ) after a backward, every gradient kept; x is (n,m), w1 (m,h)."""
    n, m, h = shape
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> Array:
        """To one decimal, so that a person can add them up; no element is 0."""
        return np.asarray(rng.choice([-1, 1], shape) * rng.integers(1, 15, shape) / 10, dtype)

    x, targ = param(numbers(n, m)), param(numbers(n, OUTPUTS))
    w1, b1, w2, b2 = (param(numbers(*s)) for s in ((m, h), (h,), (h, OUTPUTS), (OUTPUTS,)))
    b1.data[:] = np.abs(b1.data)  # so that most of relu is open
    l1 = ops.lin(x, w1, b1)
    l2 = ops.relu(l1)
    out = ops.lin(l2, w2, b2)
    loss = ops.mse(out, targ)
    loss.backward(keep=True)
    names = ("x", "w1", "b1", "l1", "l2", "w2", "b2", "out", "targ", "loss")
    return dict(zip(names, (x, w1, b1, l1, l2, w2, b2, out, targ, loss), strict=True))
