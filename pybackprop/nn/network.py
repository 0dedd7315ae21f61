"""Network: a chain of linear layers, each with at most one activation after it, that ends in a loss.

This is the only definition of such a chain, for what computes one in one call (a Model's pass, a plan) and for what
predicts its memory. Other models are computed layer by layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
from math import prod
from typing import Any

import numpy as np

from pybackprop.autograd.messages import describe
from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core import native
from pybackprop.core.arrays import float_type
from pybackprop.core.checks import width
from pybackprop.core.errors import DTypeError, ShapeError
from pybackprop.nn.bound import is_bias
from pybackprop.nn.layers import Activation, Lin, Loss, Relu
from pybackprop.nn.optimizer import Optimizer
from pybackprop.ops import MSE, Op

CHAIN = "a plan is made of Lin, each with at most one activation after it, and Mse, CrossEntropy or BinaryCrossEntropy"
METHODS = ("__call__", "backward", "bwd", "forward")  # a layer that overrides none of them computes as its class does
LARGEST_SIZE = 2**30  # of a layer without arrays, so that products of sizes do not overflow


@dataclass(frozen=True)
class Stage:
    """A Lin and the activation after it, if there is one.

    activation  an operation that the C core knows, see `Op.activation`; params: its further arguments
    inplace     the operation that overwrites z with the same values; None: there is none
    layers      the ids of the layers, Lin's first; a Pass finds its calls by them
    """

    w: Tensor
    b: Tensor | None
    activation: Op | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    inplace: Op | None = None
    layers: tuple[int, ...] = ()

    def followed_by(self, layer: Activation) -> Stage:
        """The stage with an activation after its Lin."""
        op, layers = layer.op, (*self.layers, id(layer))
        return replace(
            self, activation=op, params={**op.defaults, **layer.params}, inplace=layer.inplace, layers=layers
        )

    def check_params(self, dtype: np.dtype[Any]) -> None:
        """Raises ValueError or TypeError for arguments that the activation does not take for this dtype."""
        if self.activation is not None and self.activation.check is not None:
            self.activation.check(dtype, **self.params)

    def parameters(self) -> tuple[Tensor, ...]:
        return (self.w,) if self.b is None else (self.w, self.b)


@dataclass(frozen=True)
class Network:
    """The stages of a chain, the dtype of all parameters, and the loss at its end, see `Op.loss`."""

    stages: tuple[Stage, ...]
    dtype: np.dtype[Any]
    loss: Op = MSE

    @property
    def widths(self) -> list[int]:
        return [int(self.stages[0].w.shape[0]), *(int(stage.w.shape[1]) for stage in self.stages)]

    def parameters(self) -> list[Tensor]:
        return [p for stage in self.stages for p in stage.parameters()]

    @property
    def parameter_bytes(self) -> int:
        return sum(p.nbytes for p in self.parameters())

    @property
    def takes_labels(self) -> bool:
        """Whether the targets may be one label for each row."""
        return takes_labels(self.loss)

    def targets_shape(self, batch: int) -> tuple[int, ...]:
        """Of targ: labels (batch) if the loss takes those, else (batch,h)."""
        return (batch,) if self.takes_labels else (batch, self.widths[-1])

    def data_bytes(self, batch: int) -> int:
        """Of x (batch,m) and targ."""
        return (batch * self.widths[0] + prod(self.targets_shape(batch))) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{'→'.join(map(str, self.widths))}, {self.dtype}"


def takes_labels(loss: Op) -> bool:
    """Whether the targets of one of the C core's losses may be one label for each row."""
    return native.LOSSES[str(loss.loss)][1] is not None


def of_sizes(
    sizes: Sequence[int], dtype: Any = np.float32, activation: Activation | None = None, loss: Op = MSE
) -> Network:
    """The network of `mlp(sizes)`, without allocated parameters; with another activation or loss, if they are given.

    Raises ValueError for fewer than two sizes, or one that is not a whole number from 1.
    """
    listed = list(sizes)
    if len(listed) < 2:
        raise ValueError(f"layers: found {listed}, expected at least two sizes: inputs and outputs")
    pairs = list(pairwise(width("layers", size, LARGEST_SIZE) for size in listed))
    real, between = float_type(dtype), activation or Relu()
    stages = [Stage(_unallocated((m, h), real), _unallocated((h,), real)) for m, h in pairs]
    return Network((*(stage.followed_by(between) for stage in stages[:-1]), stages[-1]), real, loss)


def _unallocated(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
    """A tensor of this shape whose elements all share one number in memory."""
    tensor = wrap(np.broadcast_to(np.zeros((), dtype), shape))
    tensor.requires_g = True
    return tensor


# ---- whether layers are a chain ----


def loss_of(loss: Any) -> Op | None:
    """The operation of a loss, if that is all that it does and the C core knows it as a loss."""
    is_ours = isinstance(loss, Loss) and type(loss).__module__ == Loss.__module__ and is_unchanged(loss, Loss)
    return loss.op if is_ours and loss.op.loss in native.LOSSES else None


def is_mse(loss: Any) -> bool:
    return loss_of(loss) is MSE


def is_unchanged(layer: Any, kind: type) -> bool:
    """Whether a layer computes as `kind` does: neither it nor its class overrides a method."""
    return methods_of(type(layer)) == _METHODS_OF[kind] and not vars(layer).keys() & METHODS


def methods_of(kind: type) -> list[Any]:
    return [getattr(kind, name) for name in METHODS]


_METHODS_OF: dict[type, list[Any]] = {kind: methods_of(kind) for kind in (Lin, Activation, Loss)}


def is_activation(layer: Any) -> bool:
    """Whether a layer is one of this package's activations; a subclass of one may be anything."""
    return isinstance(layer, Activation) and type(layer).__module__ == Activation.__module__


def activation_of(layer: Any) -> Op | None:
    """The operation that a layer applies, if that is all that it does and the C core knows it as an activation."""
    if not is_activation(layer) or not is_unchanged(layer, Activation):
        return None
    return layer.op if layer.op.activation in native.ACTIVATIONS else None


def stages_of(layers: Sequence[Any]) -> list[Stage] | None:
    """Each Lin and the activation after it; None if there is anything else."""
    stages: list[Stage] = []
    for layer in layers:
        if type(layer) is Lin and is_unchanged(layer, Lin):
            stages.append(Stage(layer.w, layer.b, layers=(id(layer),)))
        elif activation_of(layer) is not None and stages and stages[-1].activation is None:
            stages[-1] = stages[-1].followed_by(layer)
        else:
            return None
    return stages


def network_of(layers: Sequence[Any], loss: Any) -> Network:
    """The chain of these layers and this loss. Raises TypeError, ShapeError, DTypeError or ValueError for others."""
    stages = stages_of(layers)
    of_loss = loss_of(loss)
    if not stages or of_loss is None:
        raise TypeError(f"compile: {_fault(layers, loss)}; {CHAIN}")
    _check_parameters([p for stage in stages for p in stage.parameters()])
    _check_shapes(stages)
    for stage in stages:
        stage.check_params(stage.w.dtype)
    return Network(tuple(stages), stages[0].w.dtype, of_loss)


def _fault(layers: Sequence[Any], loss: Any) -> str:
    """Why layers and a loss are not a chain."""
    before: Any = None
    for k, layer in enumerate(layers):
        if type(layer) is not Lin and not is_activation(layer):
            return f"layers[{k}] is {name_of(layer)}"
        if not is_unchanged(layer, Lin if type(layer) is Lin else Activation):
            return f"layers[{k}], {name_of(layer)}, has a method of its own"
        if is_activation(layer):
            if activation_of(layer) is None:
                return f"layers[{k}], {layer!r}, is unknown to the C core; train it with Model"
            if type(before) is not Lin:
                return f"layers[{k}] is a {name_of(layer)} with no Lin before it"
        before = layer
    return f"the loss is {name_of(loss)}" if layers else "the model has no layers"


def name_of(layer: Any) -> str:
    return str(getattr(layer, "__name__", type(layer).__name__))


def _check_parameters(parameters: list[Tensor]) -> None:
    seen: set[int] = set()
    for p in parameters:
        if not isinstance(p, Tensor) or p._node is not None:
            raise TypeError(f"compile: {describe(p)} is not a parameter; make it with bp.param")
        if id(p) in seen:
            raise ValueError(f"compile: {describe(p)} is used twice, which a plan does not support; use Model")
        if p.dtype != parameters[0].dtype:
            raise DTypeError(
                f"compile: {describe(p)} is {p.dtype}, {describe(parameters[0])} is {parameters[0].dtype}; "
                "convert with model.double() or .float()"
            )
        if not p._array.flags.writeable:
            raise ValueError(f"compile: {describe(p)} is read-only memory; use a copy: bp.param(t)")
        seen.add(id(p))
    for p, other in combinations(parameters, 2):
        if np.may_share_memory(p._array, other._array):
            raise ValueError(
                f"compile: {describe(p)} and {describe(other)} share memory, which a plan does not support; use Model"
            )


def _check_shapes(stages: Sequence[Stage]) -> None:
    inputs = stages[0].w.shape[:1]
    for k, stage in enumerate(stages, 1):
        w, b = stage.w.shape, None if stage.b is None else stage.b.shape
        if len(w) != 2 or w[:1] != inputs or (b is not None and b != w[1:]):
            shapes = f"w {w}" + ("" if b is None else f" and b {b}")
            raise ShapeError(f"compile: Lin {k}: found {shapes}, expected {inputs[0] if inputs else 'some'} inputs")
        inputs = w[1:]


# ---- which parameters an optimizer updates ----


def updated_by(optimizer: Optimizer, parameters: Sequence[Tensor]) -> list[Tensor]:
    """The parameters that have requires_g and belong to the optimizer.

    Raises ValueError if the optimizer has one that is not among parameters.
    """
    listed = parameters if optimizer.parameters is None else optimizer.parameters
    known, listed_ids = {id(p) for p in parameters}, {id(p) for p in listed}
    for p in listed:
        if id(p) not in known:
            raise ValueError(f"compile: the optimizer updates {describe(p)}, which the model does not have")
    return [p for p in parameters if p.requires_g and id(p) in listed_ids]


def updated_first(parameters: Sequence[Tensor], updated: Sequence[Tensor]) -> tuple[list[Tensor], int]:
    """(all parameters, and how many have requires_g). The updated ones come first, their weights before their biases,
    then others with requires_g, then the rest.
    """
    updated_ids = {id(p) for p in updated}
    with_g = [*sorted(updated, key=is_bias), *(p for p in parameters if p.requires_g and id(p) not in updated_ids)]
    return [*with_g, *(p for p in parameters if not p.requires_g)], len(with_g)
