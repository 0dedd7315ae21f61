"""Layout: a network as a plan's C struct, and the plan's workspace."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop.core import native
from pybackprop.core.arrays import Array, aligned_zeros, check_size, round_up_to_lines
from pybackprop.engine import placement
from pybackprop.engine.arena import Arena
from pybackprop.engine.descriptors import describe_layers
from pybackprop.engine.strategy import CostModel
from pybackprop.nn.network import Network
from pybackprop.nn.optimizer import Optimizer


class Layout:
    """The bp_plan of a network, for steps of up to `batch` rows.

    values    the stages' results and gradients;  workspace  what the C core needs besides
    gathered  the rows of one shuffled batch, for fit
    copies    the parameters in the form that suits fit's steps, and what these compute; empty where it would not pay
    """

    network: Network
    batch: int
    dtype: np.dtype[Any]
    inputs: int
    outputs: int
    cost: CostModel
    strategy: str
    why: str
    c_layers: Any
    c_plan: Any
    c_optimizer: Any
    gathered_rows: int

    values: Array
    workspace: Array
    gathered: Array
    copies: Array

    def __init__(self, network: Network, batch: int, strategy: str | None, sparse: bool | None) -> None:
        self.network, self.batch, self.dtype = network, batch, network.dtype
        self.inputs, self.outputs = network.widths[0], network.widths[-1]
        check_size("compile: a batch", (batch, max(network.widths)), network.dtype)
        self.cost = CostModel(network, batch)
        self.strategy, self.why = self.cost.choose(strategy)
        self.c_layers, self.c_plan = describe_layers(network.stages), native.plan()
        plan = self.c_plan
        plan.layers, plan.count, plan.batch = self.c_layers, len(network.stages), batch
        plan.strategy, plan.sparse = native.STRATEGIES[self.strategy], sparse is not False
        self.values = self.workspace = self.gathered = self.copies = np.empty(0, self.dtype)
        self.gathered_rows = 0

    def bind(self, arena: Arena) -> None:
        """Sets C's pointers to all arrays."""
        for layer, stage in zip(self.c_layers, self.network.stages, strict=True):
            (layer.w, layer.dw), (layer.b, layer.db) = arena.place(stage.w), arena.place(stage.b)
        self.c_plan.parameters, self.c_plan.parameter_count = arena.update, arena.update_count
        self.c_plan.clipped, self.c_plan.clipped_count = arena.clipped, len(arena.clipped)
        if self.strategy != "fused":
            self._place_values()
        needed = native.workspace_bytes(self.c_plan, self.dtype)
        if needed is None:
            raise ValueError(f"compile: strategy '{self.strategy}' does not exist for these layers")
        self.workspace = aligned_zeros(-(-needed // self.dtype.itemsize), self.dtype)
        self.c_plan.workspace, self.c_plan.workspace_bytes = native.pointer(self.workspace), self.workspace.nbytes

    def _place_values(self) -> None:
        places, size = placement.of_plan(self.network, self.batch, self.strategy)
        self.values = aligned_zeros(size, self.dtype, "compile", self.batch)
        base = native.pointer(self.values)
        for layer, (z, a, dz) in zip(self.c_layers, places, strict=True):
            layer.z, layer.a, layer.dz = base + z, base + a, base + dz

    def update_by(self, optimizer: Optimizer | None) -> None:
        """Makes this optimizer's record that of C's plan, for as long as the plan may read it."""
        self.c_optimizer = native.NULL if optimizer is None else optimizer.c_optimizer
        self.c_plan.optimizer = self.c_optimizer

    def reserve_batch(self, rows: int) -> None:
        """Allocates memory for the gathered rows of a batch of that size, if there is none yet."""
        if rows <= self.gathered_rows:
            return
        widths = self.inputs, self.outputs + 1  # a row's weight may stand behind its targets
        x, targ = (round_up_to_lines(rows * width, self.dtype) for width in widths)
        self.gathered = np.empty(0, self.dtype)  # frees the old memory before the new is allocated
        self.gathered, self.gathered_rows = aligned_zeros(x + targ, self.dtype, "fit", rows), rows
        self.c_plan.x = native.pointer(self.gathered)
        self.c_plan.targ = native.pointer(self.gathered) + x

    def reserve_copies(self) -> None:
        """Allocates memory for copies of the parameters, if fit's steps would use it and there is not enough yet."""
        needed = int(native.plan_run_bytes[self.dtype](self.c_plan))
        if needed <= self.copies.nbytes:
            return
        self.copies = np.empty(0, self.dtype)
        self.copies = aligned_zeros(-(-needed // self.dtype.itemsize), self.dtype, "fit", self.batch)
        self.c_plan.run_memory, self.c_plan.run_bytes = native.pointer(self.copies), self.copies.nbytes

    def nbytes(self) -> int:
        return self.values.nbytes + self.workspace.nbytes + self.gathered.nbytes + self.copies.nbytes

    def describe(self) -> str:
        return f"strategy: {self.strategy} ({self.why})\n{self.cost.describe()}"
