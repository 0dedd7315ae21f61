"""Again: the recorded forward pass once more, in its own dtype to see that nothing was overwritten, and in double."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop import ops
from pybackprop.autograd import tape
from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core.arrays import Array
from pybackprop.core.errors import GradientError
from pybackprop.ops.matmul import product
from pybackprop.teach.trace.gradients import same
from pybackprop.teach.trace.graph import Network, Operation

KNOWN = ("lin", "@", "+", "relu", "relu_", "mse", ".clone")
Values = dict[int, Array]


def compute(op: Operation, given: list[Array]) -> Array:
    """The operation's output for these arrays, by the library's own operations."""
    tensors = [wrap(array) for array in given]
    with tape.paused(), np.errstate(all="ignore"):
        if op.kind == "lin":
            return ops.lin(*tensors)._array
        if op.kind == "@":
            return product(tensors[0], tensors[1])._array
        if op.kind == "+":
            return _add(op, given)
        if op.kind in ("relu", "relu_"):
            return ops.relu(tensors[0])._array
        if op.kind == "mse":
            return ops.mse(*tensors)._array
        if op.kind == ".clone":
            return np.array(given[0])
        return op.node.op.replay(given)


def _add(op: Operation, given: list[Array]) -> Array:
    """The sum; a plain number that was added is not on the tape, but seen from what it did."""
    if len(given) == 2:
        return np.asarray(given[0] + given[1])
    before, after = (t._array.astype(np.float64) for t in (op.inputs[0], op.output))
    return np.asarray(given[0] + (after - before).astype(given[0].dtype))


def check_unchanged(network: Network) -> None:
    """Raises GradientError if a value of the forward pass was overwritten since."""
    redone: Values = {}
    below = {id(op.inputs[0]) for op in network if op.kind == "relu_"}
    for op in network:
        changed = [t for t, version in op.node.saved if t._version.count != version]
        if changed:
            _refuse(changed[0], op, network)
        if op.kind not in KNOWN or (op.kind == "+" and len(op.inputs) == 1):
            continue
        found = compute(op, [redone.get(id(t), t._array) for t in op.inputs])
        if id(op.output) in below:  # relu_ wrote over it, as it should
            redone[id(op.output)] = found
        elif not same(found, op.output._array):
            _refuse(op.output if op.output._version.count and op.kind != "relu_" else None, op, network)


def _refuse(tensor: Tensor | None, op: Operation, network: Network) -> None:
    names = [network.name(given) for given in op.inputs]
    what = " or ".join(names) if tensor is None else network.name(tensor)
    if tensor is not None and tensor._g is not None and np.shares_memory(tensor._array, tensor._g._array):
        raise GradientError(
            f"explain: {what}.g was written over {what} itself, as mse_grad(inplace=True) does, and the values that "
            "the forward pass had there are gone. Run forward again, and the backward without inplace=True"
        )
    raise GradientError(
        f"explain: {what} was overwritten after the forward pass: '{op.kind}' of {', '.join(names)} no longer gives "
        f"the {network.name(op.output)} that was recorded. To explain now would mix old numbers with new ones. Run "
        "forward and backward again, and explain before the update (p -= lr * p.g) and before anything in place"
    )


# ---- in double ----


def in_double(network: Network) -> Values:
    """All values of the forward pass in double."""
    values: Values = {id(t): t._array.astype(np.float64) for t in network.leaves()}
    for op in network:
        values[id(op.output)] = compute(op, [values[id(given)] for given in op.inputs])
    return values


class Double:
    """The forward pass in double, with one element moved. Only what depends on its tensor is run anew."""

    def __init__(self, network: Network, tensor: Tensor, values: Values) -> None:
        """values: those of in_double."""
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
                values[id(op.output)] = compute(op, [values[id(given)] for given in op.inputs])
        return values

    def result(self, values: Values) -> float:
        """The loss; where there is none, the sum of out * out.g, which has the same gradients."""
        root = self.network.root
        if self.network.is_loss():
            return float(values[id(root)].reshape(()))
        assert root._g is not None
        return float((values[id(root)] * root._g._array.astype(np.float64)).sum())
