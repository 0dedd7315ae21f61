"""fits: the largest batch that a step has memory for."""

from __future__ import annotations

from typing import Any

from pybackprop.core import available_memory
from pybackprop.core.units import parse_bytes
from pybackprop.memory.schemes import NAMES, named, network_of
from pybackprop.nn.network import Network

MOST = 2**40  # rows, the upper limit of the search
CHOSEN, STRATEGIES = "plan", ("plan_layers", "plan_split", "plan_fused")


def fits(model: Any, memory: int | str | None = None) -> dict[str, int]:
    """The largest batch for each way to compute a step, by the names of `Ledger.alternatives`.

    model   a bp.Model of Lin, each with at most one activation after it, and Mse
    memory  bytes, or "2GB", "1.5GiB"; None: what is available now. It must hold the batch itself, the parameters,
            their gradients and the step's peak; an optimizer's momentum is not counted

    0 means that not even one row fits. Nothing is allocated. Raises ValueError for an invalid memory size, TypeError
    for any other model.
    """
    limit = available_memory.available() if memory is None else parse_bytes(memory)
    if limit is None:
        raise ValueError("fits: the available memory is not known on this system; pass it, such as memory='2GB'")
    return of_network(network_of(model), limit)


def of_network(network: Network, limit: int) -> dict[str, int]:
    """The same for a network of which only the sizes are known. limit: bytes."""
    return {name: _largest(network, limit, name) for name in NAMES}


def _largest(network: Network, limit: int, name: str) -> int:
    scheme = named(name)

    def fits_in(batch: int) -> bool:
        return scheme.ledger(network, batch).whole <= limit

    low, high = 0, min(MOST, limit // network.data_bytes(1)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits_in(middle) else (low, middle)
    if name != CHOSEN:
        return low
    # for a larger batch, compile may choose a strategy that needs less, so the search may have stopped too early
    candidates = (low, *(_largest(network, limit, each) for each in STRATEGIES))
    return max((batch for batch in candidates if fits_in(batch)), default=0)
