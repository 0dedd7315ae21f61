"""fits: the largest batch for so much memory."""

from __future__ import annotations

from typing import Any

from pybackprop.core import available_memory
from pybackprop.memory.schemes import NAMES, named, network_of
from pybackprop.nn.network import Network

MOST = 2**40  # rows: more is said to be no limit
CHOSEN, STRATEGIES = "plan", ("plan_layers", "plan_split", "plan_fused")


def fits(model: Any, memory: int | str | None = None) -> dict[str, int]:
    """The largest batch of each way to compute a step, by the way's name: see `Ledger.alternatives`.

    model   a bp.Model of Lin, Relu and Mse
    memory  bytes, or "2GB", "1.5GiB"; None: what is available now. It has to hold the batch itself, the parameters,
            their gradients and the step's peak; the momentum of an optimizer is not counted

    0: not even one row fits. Nothing is allocated. Raises ValueError for memory that is no size, TypeError for
    another model.
    """
    room = available_memory.available() if memory is None else available_memory.read(memory)
    if room is None:
        raise ValueError("fits: this system does not tell how much memory is available; give memory='2GB'")
    return of_network(network_of(model), room)


def of_network(network: Network, room: int) -> dict[str, int]:
    """The same for layers of which only the sizes are known."""
    return {name: _largest(network, room, name) for name in NAMES}


def _largest(network: Network, room: int, name: str) -> int:
    way = named(name)

    def fits_in(batch: int) -> bool:
        return way.ledger(network, batch).whole <= room

    low, high = 0, min(MOST, room // network.data_bytes(1)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits_in(middle) else (low, middle)
    if name != CHOSEN:
        return low
    # another strategy is chosen for a larger batch, and that may need less
    others = (_largest(network, room, each) for each in STRATEGIES)
    return max((batch for batch in (low, *others) if fits_in(batch)), default=0)
