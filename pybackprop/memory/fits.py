"""fits: the largest batch that a step has memory for."""

from __future__ import annotations

from typing import Any

from pybackprop.core import available_memory
from pybackprop.core.units import parse_bytes
from pybackprop.memory.schemes import NAMES, named, network_of
from pybackprop.nn.network import Network
from pybackprop.nn.optimizer import Optimizer, check_optimizer

MOST = 2**40  # rows, the upper limit of the search
CHOSEN, STRATEGIES = "plan", ("plan_layers", "plan_split", "plan_fused")


def fits(model: Any, memory: int | str | None = None, optimizer: Optimizer | None = None) -> dict[str, int]:
    """The largest batch for each way to compute a step, by the names of `Ledger.alternatives`.

    model      a bp.Model of Lin, each with at most one activation after it, and Mse, CrossEntropy or another loss of
               this package
    memory     bytes, or "2GB", "1.5GiB"; None: what is available now. It must hold the batch itself (labels, if the
               loss takes them), the parameters, their gradients and the step's peak
    optimizer  what it keeps of the parameters must fit, too: SGD's momentum, the moments of Adam; None: nothing

    0 means that not even one row fits. Nothing is allocated. Raises ValueError for an invalid memory size and for an
    optimizer of other parameters, TypeError for any other model or optimizer.
    """
    limit = available_memory.available() if memory is None else parse_bytes(memory)
    if limit is None:
        raise ValueError("fits: the available memory is not known on this system; pass it, such as memory='2GB'")
    if optimizer is not None:
        check_optimizer("fits", optimizer)
    return of_network(network_of(model), limit, optimizer)


def of_network(network: Network, limit: int, optimizer: Optimizer | None = None) -> dict[str, int]:
    """The same for a network of which only the sizes are known. limit: bytes."""
    return {name: _largest(network, limit, name, optimizer) for name in NAMES}


def _largest(network: Network, limit: int, name: str, optimizer: Optimizer | None) -> int:
    scheme = named(name)

    def fits_in(batch: int) -> bool:
        return scheme.ledger(network, batch, optimizer).whole <= limit

    low, high = 0, min(MOST, limit // network.data_bytes(1)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits_in(middle) else (low, middle)
    if name != CHOSEN:
        return low
    # for a larger batch, compile may choose a strategy that needs less, so the search may have stopped too early
    candidates = (low, *(_largest(network, limit, each, optimizer) for each in STRATEGIES))
    return max((batch for batch in candidates if fits_in(batch)), default=0)
