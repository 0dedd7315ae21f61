"""Replay: runs the recorded forward pass again, to check that nothing was overwritten, and in double."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.core.errors import GradientError
from pybackprop.ops import Op
from pybackprop.teach.trace.gradients import same
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.operation import Operation

Values: TypeAlias = "dict[int, Array]"


def replay(op: Operation, arrays: Sequence[Array]) -> Array:
    """The operation's output for these arrays, computed off the tape."""
    with np.errstate(all="ignore"):
        return op.op.replay(arrays, **op.params)


def check_unchanged(network: Network) -> None:
    """Raises GradientError if a value of the forward pass was overwritten since."""
    overwritten: Values = {}  # inputs that relu_ overwrote on purpose
    below = {id(op.inputs[0]) for op in network if op.op.inplace}
    for op in network:
        changed = [t for t, version in op.node.saved if t._version.count != version] if op.node else []
        if changed:
            _refuse(changed[0], op, network)
        if not isinstance(op.op, Op) or op.op.backward is None:  # a user's layer may compute something else each time
            continue
        values = replay(op, [overwritten.get(id(t), t._array) for t in op.inputs])
        if id(op.output) in below:
            overwritten[id(op.output)] = values
        elif not same(values, op.output._array):
            _refuse(op.output if op.output._version.count and not op.op.inplace else None, op, network)


def _refuse(tensor: Any, op: Operation, network: Network) -> None:
    names = [network.name(given) for given in op.inputs]
    what = " or ".join(names) if tensor is None else network.name(tensor)
    if tensor is not None and tensor._g is not None and np.shares_memory(tensor._array, tensor._g._array):
        raise GradientError(
            f"explain: {what}.g was written over {what} itself, as mse_grad(inplace=True) does, so the values of the "
            "forward pass are gone. Run forward again, and then backward without inplace=True"
        )
    raise GradientError(
        f"explain: {what} was overwritten after the forward pass: '{op.name}' of {', '.join(names)} no longer gives "
        f"the {network.name(op.output)} that was recorded. An explanation would mix old and new numbers. Run forward "
        "and backward again, and explain before the update (p -= lr * p.g) and before any in-place operation"
    )


# ---- in double ----


def in_double(network: Network) -> Values:
    """All values of the forward pass in double, by tensor."""
    values: Values = {id(t): t._array.astype(np.float64) for t in network.leaves()}
    for op in network:
        values[id(op.output)] = replay(op, [values[id(given)] for given in op.inputs])
    return values


class Double:
    """The forward pass in double, with one element moved. Only what depends on its tensor is run again."""

    network: Network
    tensor: Tensor
    values: Values

    def __init__(self, network: Network, tensor: Tensor, values: Values) -> None:
        """values: the result of in_double."""
        self.network, self.tensor, self.values = network, tensor, values
        self.depend: set[int] = {id(tensor)}
        for op in network:
            if any(id(given) in self.depend for given in op.inputs) and op.output is not tensor:
                self.depend.add(id(op.output))

    def moved(self, at: Any, by: float) -> Values:
        """All values when the element at `at` is moved by `by`."""
        values = dict(self.values)
        values[id(self.tensor)] = values[id(self.tensor)].copy()
        values[id(self.tensor)][at] += by
        for op in self.network:
            if id(op.output) in self.depend and op.output is not self.tensor:
                values[id(op.output)] = replay(op, [values[id(given)] for given in op.inputs])
        return values

    def result(self, values: Values) -> float:
        """The loss; if there is none, the sum of out * out.g, which has the same gradients."""
        root = self.network.root
        if self.network.is_loss():
            return float(values[id(root)].reshape(()))
        assert root._g is not None
        return float((values[id(root)] * root._g._array.astype(np.float64)).sum())
