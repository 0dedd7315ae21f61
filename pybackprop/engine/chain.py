"""Chain: a network that the C core computes in one call for forward and one for backward: see one_pass.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.nn.network import Network, Stage


class Chain:
    """What all passes of a network share."""

    network: Network
    stages: tuple[Stage, ...]
    dtype: np.dtype[Any]
    parameters: list[Tensor]
    inner: list[Tensor]
    products: int  # in the forward of one row
    forward: Any
    backward: Any

    def __init__(self, network: Network, inplace: bool = False) -> None:
        self.network, self.stages, self.dtype = network, network.stages, network.dtype
        self.inplace = inplace
        self.parameters = network.parameters()
        self.products = sum(stage.w.size for stage in self.stages)
        self.inner = [stage.w for stage in self.stages[1:]]  # those that backward reads: x.g is not computed
        self.forward = native.chain_forward[self.dtype]
        self.backward = native.chain_backward[self.dtype]

    def rows(self, x: tuple[int, ...], targ: tuple[int, ...]) -> int:
        """n, where x (n,m) and targ (n,h), or labels (n) if the loss takes those, fit the layers; else 0."""
        m, h = self.stages[0].w.shape[0], self.stages[-1].w.shape[1]
        is_column = h == 1 or self.network.takes_labels
        fits = len(x) == 2 and x[1] == m and h > 0 and (targ == (x[0], h) or (is_column and targ == x[:1]))
        return x[0] if fits else 0
