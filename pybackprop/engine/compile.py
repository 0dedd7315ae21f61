"""compile: a plan of a model's step, for one process or for the ranks of an MPI communicator."""

from __future__ import annotations

from typing import Any

from pybackprop.engine.model import Model
from pybackprop.engine.plan import Plan
from pybackprop.nn.optimizer import Optimizer

__all__ = ["compile"]


def compile(
    model: Model,
    *,
    batch: int,
    optimizer: Optimizer | None = None,
    clip_norm: float | None = None,
    strategy: str | None = None,
    sparse: bool | None = None,
    comm: Any = None,
) -> Plan:
    """A Plan of the model's step for up to `batch` rows.

    model      a chain: Lin, each with at most one activation after it, ended by Mse, CrossEntropy or
               BinaryCrossEntropy; one dtype
    optimizer  updates its parameters, or the model's if it was given none; needed by step and fit
    clip_norm  before each update, scale the gradients of the updated parameters down to this norm, as
               `bp.clip_grad_norm` does with them in the model's order; None: do not
    strategy   "layers": one layer after another; "split": threads share a step's rows, then the gradients;
               "fused": one pass over the rows; None: the one expected to be fastest. Affects speed only
    sparse     whether terms that are exactly zero may be left out; None: if it is expected to pay. Affects speed only

    comm       an MPI communicator, such as mpi4py.MPI.COMM_WORLD: its ranks share the rows of each step, and end with
               the bits of a single process. See pybackprop.engine.distributed

    The parameters, their `.g` and the optimizer's momentum or moments move into the plan's memory. The tensors stay
    the same objects; arrays and views taken from them before (`w.data`, `w[0]`, `w.g`) keep the old memory.
    A parameter without requires_g gets neither gradient nor update.
    Raises TypeError, naming the layer, for a model that is not such a chain; ShapeError and DTypeError for
    parameters that do not fit each other; ValueError for options that do not exist.
    """
    if comm is None:
        return Plan(model, batch, optimizer, clip_norm, strategy, sparse)
    from pybackprop.engine.distributed import DistributedPlan  # loaded only where there are ranks

    return DistributedPlan(model, batch, optimizer, clip_norm, strategy, sparse, comm)
