"""The buffers of a plan: predicted before it is compiled, or those of a compiled one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pybackprop.core import native
from pybackprop.core.arrays import Array, round_up_to_lines
from pybackprop.engine import placement
from pybackprop.engine.layout import Layout
from pybackprop.engine.placement import workspace_bytes
from pybackprop.memory.buffers import HELD, Buffer, BufferLog
from pybackprop.nn.network import Network, updated_by, updated_first
from pybackprop.nn.optimizer import Optimizer

if TYPE_CHECKING:
    from pybackprop.engine.plan import Plan


def predicted(
    network: Network, batch: int, optimizer: Optimizer | None = None, strategy: str | None = None
) -> BufferLog:
    """The buffers of `compile(model, batch=batch, optimizer=optimizer, strategy=strategy)` and of a step.

    strategy None: compile's own choice
    """
    layout = Layout(network, batch, strategy, None)
    updated = [] if optimizer is None else updated_by(optimizer, network.parameters())
    parameters, trained = updated_first(network.parameters(), updated)
    sizes = [round_up_to_lines(p.size, network.dtype) * network.dtype.itemsize for p in parameters]
    arena = {"parameters": sum(sizes), "gradients": sum(sizes[:trained])}
    if optimizer is not None and optimizer.keeps:
        arena |= {kept_name(name): sum(sizes[: len(updated)]) for name in optimizer.STATE}
    log = BufferLog(network.dtype)
    return _work(log, network, layout, _hold(log, network, batch, arena))


def of_plan(plan: Plan) -> BufferLog:
    """The buffers that a plan has."""
    arena, network = plan.arena, plan.layout.network
    kept = {kept_name(name): array.nbytes for name, array in arena.kept.items()}
    log = BufferLog(network.dtype)
    held = {"parameters": arena.values.nbytes, "gradients": arena.gradients.nbytes, **kept}
    used = _hold(log, network, plan.batch, held)
    return _work(log, network, plan.layout, used, plan.for_ranks)


def kept_name(state: str) -> str:
    """What a ledger calls an array of the optimizer's state: SGD's is the momentum."""
    return "momentum" if state == "velocity" else state


def _hold(log: BufferLog, network: Network, batch: int, arena: Mapping[str, int]) -> list[Buffer]:
    """The data, and the plan's parameters, gradients and the optimizer's momentum or moments, each as one buffer."""
    itemsize = network.dtype.itemsize
    held = [
        log.hold("x", (batch, network.widths[0]), "data"),
        log.hold("targ", network.targets_shape(batch), "data"),
    ]
    for name, nbytes in arena.items():
        if nbytes:
            kind = name if name in HELD else "momentum"
            held.append(log.hold(name, (nbytes // itemsize,), kind, nbytes=nbytes))
    return held


def _work(
    log: BufferLog, network: Network, layout: Layout, held: list[Buffer], for_ranks: Mapping[str, Array] | None = None
) -> BufferLog:
    buffers = [*_arrays(log, layout), *_workspace(log, network, layout)]
    of_fit = {"a gathered batch": layout.gathered, "copies of the parameters for fit": layout.copies}
    for name, array in (of_fit | dict(for_ranks or {})).items():
        if array.size:
            buffers.append(log.make(name, (array.size,), "workspace"))
    log.step("compile", *buffers)
    for buffer in buffers:
        buffer.first_use = None
    log.step("step", *held, *buffers)
    return log


def _arrays(log: BufferLog, layout: Layout) -> list[Buffer]:
    """Each layer's z and dz, all in one array. An activation works in place. The fused strategy has none."""
    if layout.strategy == "fused":
        return []
    places, size = placement.of_plan(layout.network, layout.batch, layout.strategy)
    owner = log.make("activations and their gradients", (size,), "activations")
    parts = []
    for k, (stage, (z, _, dz)) in enumerate(zip(layout.network.stages, places, strict=True), 1):
        shape = (layout.batch, stage.w.shape[1])
        name = f"l{k}" if stage.activation is None else f"l{k}, then {stage.activation.name}(l{k})"
        parts.append(log.share(name, shape, "activations", owner))
        gradient = f"l{k}.g" if dz != z else f"l{k}.g (where l{k} was)"
        parts.append(log.share(gradient, shape, "activation gradients", owner))
    return [owner, *parts]


def _workspace(log: BufferLog, network: Network, layout: Layout) -> list[Buffer]:
    """The C core's workspace: if fused, the parts for all threads and for each thread, else the packed operands."""
    nbytes = layout.workspace.nbytes or workspace_bytes(network, layout.batch, layout.strategy) or 0
    if layout.strategy != "fused":
        return [log.make("packed operands", (nbytes,), "workspace", "uint8")]
    one, two = (workspace_bytes(network, count * native.SEGMENT, "fused") or 0 for count in (1, 2))
    each = two - one
    if each <= 0 or nbytes < one:
        return [log.make("a tile of rows, sums, copies of the parameters", (nbytes,), "workspace", "uint8")]
    threads = (nbytes - one) // each + 1
    shared = log.make("copies of the parameters, for all threads", (one - each,), "workspace", "uint8")
    own = [
        log.make(f"thread {k + 1}: a tile of rows, a segment's sums", (each,), "workspace", "uint8")
        for k in range(threads)
    ]
    rest = nbytes - (one - each) - threads * each
    return [shared, *own, *([log.make("rest of the workspace", (rest,), "workspace", "uint8")] if rest else [])]
