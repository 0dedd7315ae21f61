"""The buffers of an optimizer that updates a model's parameters one by one; a plan's are in predict_plan.py."""

from __future__ import annotations

from collections.abc import Iterator

from pybackprop.autograd.tensor import Tensor
from pybackprop.memory.buffers import Buffer, BufferLog
from pybackprop.nn.network import Network, updated_by
from pybackprop.nn.optimizer import Optimizer


def add(log: BufferLog, network: Network, optimizer: Optimizer) -> None:
    """Adds optimizer.step() after a step's other operations: it allocates nothing but what it keeps from then on."""
    updated = {id(p) for p in updated_by(optimizer, network.parameters())}
    known = {buffer.name: buffer for buffer in log.buffers}
    used = list[Buffer]()
    for name, p in _named(network):
        if id(p) in updated:
            states = optimizer.STATE if optimizer.keeps else ()
            used += [known[name], known[f"{name}.g"]]
            used += [log.hold(f"{state}.{name}", p.shape, "momentum") for state in states]
    log.step(f"{optimizer.name}.step", *used)


def _named(network: Network) -> Iterator[tuple[str, Tensor]]:
    for k, stage in enumerate(network.stages, 1):
        yield f"w{k}", stage.w
        if stage.b is not None:
            yield f"b{k}", stage.b
