"""Network: layers of which only the sizes are known. Nothing of their size is allocated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pybackprop import _native
from pybackprop.chain import Stage
from pybackprop.convert import float_type
from pybackprop.layout import stages_for
from pybackprop.model import Model
from pybackprop.tensor import Tensor, wrap

MOST = 2**30  # of a size, so that products of sizes can be addressed


@dataclass(frozen=True)
class Network:
    """Lin layers, each with at most one Relu after it, and Mse: stages, and the dtype of all."""

    stages: tuple[Stage, ...]
    dtype: np.dtype[Any]

    @property
    def widths(self) -> list[int]:
        return [int(self.stages[0].w.shape[0]), *(int(stage.w.shape[1]) for stage in self.stages)]

    @property
    def parameter_bytes(self) -> int:
        return sum(p.nbytes for stage in self.stages for p in stage.parameters())

    def data_bytes(self, batch: int) -> int:
        """Of x (batch,m) and targ (batch,h)."""
        return batch * (self.widths[0] + self.widths[-1]) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{'→'.join(map(str, self.widths))}, {self.dtype}"


def of_sizes(sizes: Sequence[int], dtype: Any = np.float32) -> Network:
    """What `mlp(sizes)` would be. Raises ValueError for fewer than two sizes, or one that is none."""
    widths = list(sizes)
    if len(widths) < 2:
        raise ValueError(f"layers: found {widths}, expected at least two sizes: inputs and outputs")
    for size in widths:
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not 1 <= size <= MOST:
            raise ValueError(f"layers: found a size of {size!r}, expected a whole number from 1")
    real, last = float_type(dtype), len(widths) - 2
    return Network(
        tuple(
            Stage(_ghost((m, h), real), _ghost((h,), real), k, None if k == last else k)
            for k, (m, h) in enumerate(pairwise(map(int, widths)))
        ),
        real,
    )


def of_model(model: Any) -> Network:
    """A model's layers. Raises TypeError for one that is no chain of Lin, Relu and Mse, and names the layer."""
    if not isinstance(model, Model):
        raise TypeError(f"memory: found {type(model).__name__}, expected a bp.Model")
    try:
        stages, _ = stages_for(model, None)
    except TypeError as error:
        said = str(error).removeprefix("compile: ").split(";")[0]
        raise TypeError(
            f"memory: {said}; a prediction knows Lin, each with at most one Relu after it, and Mse. "
            "Count a real step instead: with bp.ledger() as led: model(x, targ).backward()"
        ) from error
    return Network(tuple(stages), stages[0].w.dtype)


def _ghost(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
    """A tensor of this shape whose numbers are all one and the same."""
    ghost = wrap(np.broadcast_to(np.zeros((), dtype), shape))
    ghost.requires_g = True
    return ghost


def packed_bytes(products: Iterable[tuple[int, int, int]], dtype: np.dtype[Any]) -> int:
    """What the C core takes to pack the operands of products (rows, inner, cols), one after another, at most."""
    return max((int(_native.matmul_workspace[dtype](*sizes)) for sizes in products), default=0)


def backward_products(n: int, m: int, h: int, gradient_of_x: bool) -> list[tuple[int, int, int]]:
    """w.g = inp.T @ out.g, and where it is wanted inp.g = out.g @ w.T"""
    return [(m, n, h), *([(n, h, m)] if gradient_of_x else [])]


def workspace_bytes(network: Network, batch: int, strategy: str) -> int | None:
    """A plan's workspace beside the layers' own arrays; None where there is no such plan."""
    layers, plan = _native.layers(len(network.stages)), _native.plan()
    for layer, stage in zip(layers, network.stages, strict=True):
        layer.m, layer.h = stage.w.shape
    plan.layers, plan.count, plan.batch = layers, len(network.stages), batch
    plan.strategy, plan.sparse = _native.STRATEGIES[strategy], True
    return _native.workspace_bytes(plan, network.dtype)
