"""Updates as the definition computes them: one parameter's by any optimizer, and gradients clipped by their norm."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.nn.optim import SGD, Adam, AdamW, Optimizer
from pybackprop.ops import reference

Kept = tuple[Array, ...]  # what an optimizer keeps of a parameter, as Optimizer.STATE


def nothing_kept(p: Array, optimizer: Optimizer) -> Kept:
    """What is kept of a parameter before its first update."""
    return tuple(np.zeros_like(p) for _ in optimizer.STATE)


def updated(p: Array, kept: Kept, g: Array, optimizer: Optimizer, t: int) -> tuple[Array, Kept]:
    """(the new p, what is then kept of it) of the t-th update, from 1. Of the optimizer only its options are read."""
    if isinstance(optimizer, Adam):
        (m, v), numbers = kept, (optimizer.lr, optimizer.betas, optimizer.eps, _decay(p, optimizer))
        p, m, v = reference.adam_update(p, m, v, g, t, *numbers, isinstance(optimizer, AdamW))
        return p, (m, v)
    assert isinstance(optimizer, SGD)
    return _by_sgd(p, kept, g, optimizer)


def _decay(p: Array, optimizer: SGD | Adam) -> float:
    """The weight decay of a parameter."""
    return optimizer.weight_decay if p.ndim > 1 or optimizer.decay_biases else 0.0


def _by_sgd(p: Array, kept: Kept, g: Array, sgd: SGD) -> tuple[Array, Kept]:
    lr, momentum, (v,) = sgd.lr, sgd.momentum, kept
    decay = _decay(p, sgd)
    if decay or sgd.nesterov:
        before = v if momentum else None
        p, moved = reference.sgd_decay_update(p, before, g, lr, momentum, decay, sgd.nesterov)
        return p, kept if moved is None else (moved,)
    if momentum:
        p, v = reference.sgd_momentum_update(p, v, g, lr, momentum)
        return p, (v,)
    return reference.sgd_update(p, g, lr), kept


def clipped(gradients: Sequence[Array], max_norm: float) -> list[Array] | None:
    """The gradients scaled down to a norm; None if their norm is not finite."""
    total = 0.0
    for g in gradients:
        total += reference.sum_squares(g)
    if not math.isfinite(total):
        return None
    factor = max_norm / (math.sqrt(total) + 1e-6)
    return [reference.scale(g, factor) for g in gradients] if factor < 1 else list(gradients)
