"""clip_grad_norm: gradients scaled down to a norm."""

from __future__ import annotations

import math
from typing import Any

from pybackprop.autograd.messages import describe
from pybackprop.core import native, observer
from pybackprop.core.errors import GradientError
from pybackprop.nn.bound import check_gradient
from pybackprop.nn.optimizer import parameter_list, rate

__all__ = ["check_max_norm", "clip_grad_norm"]

OPERATION = "clip_grad_norm"


def clip_grad_norm(parameters: Any, max_norm: float) -> float:
    """Scales the parameters' `.g` in place so that their norm is at most max_norm; the norm that they had.

    parameters  a Model, or tensors with a `.g` of the last backward
    max_norm    above 0

    The norm is that of all gradients as one vector. Its squares are added in double, parameter after parameter; see
    bp_sum_squares in csrc/pybackprop.h. Where it is larger, each `.g` is multiplied by max_norm / (norm + 1e-6), as
    torch.nn.utils.clip_grad_norm_ does. Call it between backward and the optimizer's step; a plan does the same with
    compile(..., clip_norm=max_norm).
    Raises ValueError for another max_norm, and GradientError for a missing `.g` and for a norm that is not finite,
    before any `.g` is changed.
    """
    tensors = parameter_list(parameters, OPERATION)
    limit = check_max_norm(OPERATION, "max_norm", max_norm)
    for p in tensors:
        check_gradient(OPERATION, p)
    gradients: list[Any] = [p._g for p in tensors]
    total = 0.0
    for g in gradients:
        total += native.sum_squares[g.dtype](g.pointer(), g.size)
    if not math.isfinite(total):
        raise GradientError(f"{OPERATION}: the norm is {math.sqrt(total)}: {_culprit(tensors)}. Nothing was scaled")
    factor = native.lib.bp_clip_factor(total, limit)
    if factor < 1:
        for p, g in zip(tensors, gradients, strict=True):
            if not g._array.flags.writeable:
                raise ValueError(f"{OPERATION}: the .g of {describe(p)} is read-only; set it to None first")
        for g in gradients:  # no write that versions count: a stale .g must not pass for one of the last backward
            native.scale[g.dtype](g.pointer(), factor, g.size)
    if observer.active is not None:
        observer.active.ran(OPERATION)
    return math.sqrt(total)


def check_max_norm(operation: str, name: str, value: Any) -> float:
    """value as a float above 0; ValueError for anything else."""
    number = rate(name, value, of=operation)
    if number == 0:
        raise ValueError(f"{operation}: found {name}={value!r}, expected a number above 0; it would undo every step")
    return number


def _culprit(tensors: Any) -> str:
    """Which gradient is not finite."""
    for p in tensors:
        if not math.isfinite(native.sum_squares[p.dtype](p._g.pointer(), p.size)):
            return f"the .g of {describe(p)} has a number that is not finite, or too large to be squared"
    return "the gradients are too large to be squared"
