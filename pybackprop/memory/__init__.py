"""Memory: a ledger of every byte, what other ways of computing the same step would need, and what fits."""

from pybackprop.memory.fit import fits
from pybackprop.memory.ledger import Ledger
from pybackprop.memory.watch import ledger

__all__ = ["Ledger", "fits", "ledger"]
