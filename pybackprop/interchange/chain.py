"""What a model computes, layer by layer, for formats of other libraries: linear layers, and operations by their record.

The layers of a model in a model stand where that model stands. What has a method of its own is refused, as only its
program says what it computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pybackprop import ops
from pybackprop.autograd.messages import describe
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.errors import DTypeError, ShapeError
from pybackprop.engine.model import Model, has_own_forward
from pybackprop.nn.layers import ACTIVATIONS, Activation, Lin
from pybackprop.nn.network import is_unchanged, name_of
from pybackprop.ops import Op, registry
from pybackprop.ops.op import Counterpart

KNOWN = ", ".join(kind.__name__ for kind in (Lin, *ACTIVATIONS.values()))  # type: ignore[attr-defined]
POSSIBLE = f"possible are {KNOWN}, bp.softmax and bp.log_softmax"


@dataclass(frozen=True)
class Linear:
    """inp @ w + b, at a place among a model's layers. w (m,h), b (h) or None."""

    place: str
    w: Tensor
    b: Tensor | None

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        return (self.w,) if self.b is None else (self.w, self.b)


@dataclass(frozen=True)
class Applied:
    """An operation on what is before it, with all its further arguments, at a place among a model's layers."""

    place: str
    op: Op
    params: Mapping[str, Any] = field(default_factory=dict)


Step: TypeAlias = Linear | Applied


def steps_of(operation: str, model: Any) -> list[Step]:
    """The steps of a model, checked: their shapes fit, and all parameters have one dtype.

    operation: for messages. Raises TypeError for what is no Model and for a layer that is neither a Lin nor a known
    operation, ShapeError and DTypeError for parameters that do not fit each other.
    """
    if not isinstance(model, Model):
        raise TypeError(f"{operation}: found {type(model).__name__}, expected a bp.Model{_hint(model)}")
    steps = list(_steps(operation, model, "layers"))
    check_fit(operation, steps)
    return steps


def _hint(found: Any) -> str:
    """Where a plan and an estimator have their model."""
    if isinstance(getattr(found, "__dict__", {}).get("model"), Model):
        return ": give its .model"
    return ": give its .model_" if hasattr(type(found), "model_") else ""


def _steps(operation: str, model: Model, within: str) -> Iterator[Step]:
    if has_own_forward(model):
        raise TypeError(f"{operation}: {type(model).__name__} has a forward of its own; only layers can be converted")
    for k, layer in enumerate(model.layers):
        place = f"{within}[{k}]"
        if isinstance(layer, Model):
            yield from _steps(operation, layer, f"{place}.layers")
        elif type(layer) is Lin and is_unchanged(layer, Lin):
            yield Linear(place, layer.w, layer.b)
        else:
            yield _applied(operation, place, layer)


def _applied(operation: str, place: str, layer: Any) -> Applied:
    if isinstance(layer, Activation) and is_unchanged(layer, Activation):
        return Applied(place, layer.op, {**layer.op.defaults, **layer.params})
    op = layer if isinstance(layer, Op) else _operation_of(layer)
    if op is None or len(op.operands) != 1:
        raise TypeError(f"{operation}: {place} is {name_of(layer)}, whose program cannot be converted; {POSSIBLE}")
    return Applied(place, op, op.defaults)


def _operation_of(layer: Any) -> Op | None:
    """The operation that one of this package's functions computes, such as bp.relu."""
    name = getattr(layer, "__name__", "")
    return registry.get(name) if name and getattr(ops, name, None) is layer else None


def counterpart(operation: str, step: Applied, found: Counterpart | None, library: str) -> Counterpart:
    """What computes the same elsewhere. Raises TypeError, with what is possible, if nothing does."""
    if found is None:
        raise TypeError(
            f"{operation}: {step.place} is the operation '{step.op.name}', which has no counterpart in {library}; "
            f"{POSSIBLE}. Convert the layers before it, bp.Model(model.layers[:{step.place[7]}]), and write it there"
        )
    return found


def arguments_of(step: Applied, found: Counterpart) -> dict[str, Any]:
    """The further arguments of a step, by their names elsewhere."""
    ours = {found.arguments[name]: float(value) for name, value in step.params.items()}
    return {**ours, **found.fixed}


def check_fit(operation: str, steps: Sequence[Step]) -> None:
    """Raises ShapeError where a layer takes another number of inputs than the one before it gives, and DTypeError for
    parameters of different dtypes.
    """
    before: Linear | None = None
    for step in steps:
        if isinstance(step, Applied):
            continue
        if before is not None and before.w.shape[1] != step.w.shape[0]:
            raise ShapeError(
                f"{operation}: {step.place}: found w {step.w.shape}, expected {before.w.shape[1]} inputs, as "
                f"{before.place} with w {before.w.shape} has so many outputs"
            )
        first = (before or step).w
        for p in step.parameters:
            if p.dtype != first.dtype:
                raise DTypeError(
                    f"{operation}: {step.place}: {describe(p)} is {p.dtype}, {describe(first)} is {first.dtype}; "
                    "convert all of them: model.double()"
                )
        before = step
