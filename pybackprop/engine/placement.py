"""Placement: where the arrays of a step lie in memory, and how much a step needs, from the sizes alone.

What allocates (a Model's pass, a plan) and what predicts memory ask here. Places are numbers of elements from the
start of one array.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from pybackprop.core import native
from pybackprop.core.arrays import check_size, round_up_to_lines
from pybackprop.engine.descriptors import describe_layers
from pybackprop.nn.network import Network


class Places(NamedTuple):
    """Where a stage's z, the activation's result a and the gradient dz begin. Two that are equal are one array."""

    z: int
    a: int
    dz: int


def of_pass(network: Network, n: int, inplace: bool = False) -> tuple[list[Places], int]:
    """(each stage's places in the workspace of a Model's pass, the size of the workspace) for n rows.

    Without an activation a is z. With one, dz takes the place of a, which the activation gives again from z. The
    other gradients lie in two places in turn, so that those of neighbours do not meet. inplace: one place a stage.
    """
    sizes = _sizes(network, n)
    has_a = [not inplace and stage.activation is not None for stage in network.stages]
    of_own = [0 if inplace or a else size for size, a in zip(sizes, has_a, strict=True)]  # for a dz
    turns = [max(of_own[::-1][turn::2], default=0) for turn in (0, 1)]
    places, at = [], sum(turns)
    for k, size in enumerate(sizes):
        z, at = at, at + size
        a, at = (at, at + size) if has_a[k] else (z, at)
        places.append(Places(z, a, turns[0] * ((len(sizes) - 1 - k) % 2) if of_own[k] else a))
    return places, at


def of_plan(network: Network, batch: int, strategy: str) -> tuple[list[Places], int]:
    """(each stage's places in a plan's workspace, its size); not for a fused pass, which keeps no activations.

    Activations work in place, so a is z. Layer by layer, the gradients of neighbours lie in two places in turn; the
    last layer's is where its output was, unless its activation's backward still needs that. Where threads share a
    step, all are needed to its end. Raises ShapeError for a size that cannot be addressed.
    """
    check_size("compile: the workspace", (batch, max(network.widths[1:])), network.dtype)
    sizes = _sizes(network, batch)
    count, over = len(sizes), strategy != "split" and network.stages[-1].activation is None
    if strategy == "split":
        gradients = [sum(sizes[:k]) for k in range(count)]
        start = sum(sizes)
    else:
        turns = [max((sizes[k] for k in range(turn, count - over, 2)), default=0) for turn in (0, 1)]
        gradients = [turns[0] * (k % 2) for k in range(count)]
        start = sum(turns)
    check_size("compile: the workspace", (start + sum(sizes),), network.dtype)
    z = [start + sum(sizes[:k]) for k in range(count)]
    if over:
        gradients[-1] = z[-1]
    return [Places(at, at, dz) for at, dz in zip(z, gradients, strict=True)], start + sum(sizes)


def _sizes(network: Network, n: int) -> list[int]:
    """How many elements the result of each stage has, each array from one cache line to another."""
    return [round_up_to_lines(n * h, network.dtype) for h in network.widths[1:]]


# ---- what the C core needs for itself ----


def packed_bytes(products: Iterable[tuple[int, int, int]], dtype: np.dtype[Any]) -> int:
    """What the C core takes to pack the operands of products (rows, inner, cols), one after another, at most."""
    return max((int(native.matmul_workspace[dtype](*sizes)) for sizes in products), default=0)


def backward_products(n: int, m: int, h: int, gradient_of_x: bool) -> list[tuple[int, int, int]]:
    """w.g = inp.T @ out.g, and where it is wanted inp.g = out.g @ w.T"""
    return [(m, n, h), *([(n, h, m)] if gradient_of_x else [])]


def workspace_bytes(network: Network, batch: int, strategy: str) -> int | None:
    """A plan's workspace beside the layers' own arrays; None where there is no such plan."""
    layers, plan = describe_layers(network.stages), native.plan()
    plan.layers, plan.count, plan.batch = layers, len(network.stages), batch
    plan.strategy, plan.sparse = native.STRATEGIES[strategy], True
    return native.workspace_bytes(plan, network.dtype)
