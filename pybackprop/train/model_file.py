"""Models in checkpoints: bp.save and bp.load, in the format of `pybackprop train --save`.

Arrays are named as mlp names its parameters: w1, b1, w2, ...; their momentum is velocity.w1, ..., their moments in Adam
exp_avg.w1, ... and exp_avg_sq.w1, ... The layers, the loss and the optimizer's options are in the metadata. A
checkpoint of the command line lists no layers: it holds an mlp. Where no loss is told it is Mse.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from pybackprop.autograd.messages import describe
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.core.errors import CheckpointError
from pybackprop.data import Description
from pybackprop.engine.model import Model, has_own_forward
from pybackprop.nn import layers as nn
from pybackprop.nn.layers import LOSSES, Activation, Lin, Loss, Mse
from pybackprop.nn.network import is_activation, is_unchanged, loss_of, name_of, takes_labels
from pybackprop.nn.optim import OPTIMIZERS, Optimizer, optimizer_of
from pybackprop.nn.optimizer import check_optimizer
from pybackprop.ops import registry
from pybackprop.train import checkpoint, contents

NEWER = ("decay_biases",)  # options that a file need not tell
__all__ = ["Contents", "description_of", "load", "load_description", "read", "save"]


def save(
    model: Model,
    path: str | Path,
    *,
    optimizer: Optimizer | None = None,
    classifies: bool | None = None,
    description: Description | None = None,
) -> None:
    """Writes a model, and an optimizer's options and state, to a checkpoint that bp.load reads.

    model       layers are Lin, Relu, LeakyRelu, Sigmoid, Tanh and Activation, in any order, and the loss is Mse,
                CrossEntropy or another one of this package
    path        ends in .npz, or in .safetensors, which needs that library
    optimizer   what updates the model's parameters, or some of them
    classifies  whether the outputs are the scores of classes: `pybackprop predict` then prints the classes; None: if
                the description or the loss does
    description of the data, from bp.data.read: `pybackprop predict` then scales rows, orders their columns and names
                classes as in training; bp.load_description gives it back

    Parameters are in the file as w1, b1, w2, ... whatever their names are. An existing file is replaced
    atomically or, if anything fails, left unchanged. `pybackprop predict` reads the file; `pybackprop train --resume`
    does not, as it also needs the data and the settings of the training.
    Raises CheckpointError, before anything is written, for a layer or loss that a file cannot hold, for a parameter
    that is used in two layers, for a description of other features or outputs, and for a path that cannot be written
    to; TypeError for what is not a Model, an optimizer or a description.
    """
    if not isinstance(model, Model):
        raise TypeError(f"save: found {type(model).__name__}, expected a bp.Model")
    if description is not None and not isinstance(description, Description):
        found = type(description).__name__
        raise TypeError(f"save: description: found {found}, expected a bp.data.Description, as bp.data.read gives it")
    _check_is_plain(path, model)
    parameters = _parameters(path, model)
    meta: dict[str, Any] = {
        "kind": "layers",
        "classifies": _classifies(model, description) if classifies is None else bool(classifies),
        "layers": [_described(path, k, layer) for k, layer in enumerate(model.layers)],
        "loss": type(model.loss).__name__,
        "inplace": model.inplace,
        "frozen": [name for name, p in parameters.items() if not p.requires_g],
    }
    arrays = {name: p.data for name, p in parameters.items()}
    if description is not None:
        _check_description(path, description, parameters)
        meta["description"] = description.to_json()
    if optimizer is not None:
        meta["optimizer"], velocities = _optimizer_state(optimizer, parameters)
        arrays |= velocities
    checkpoint.save(path, arrays, meta)


@overload
def load(path: str | Path, *, with_optimizer: Literal[False] = False) -> Model: ...
@overload
def load(path: str | Path, *, with_optimizer: Literal[True]) -> tuple[Model, Optimizer]: ...
@overload
def load(path: str | Path, *, with_optimizer: bool) -> Model | tuple[Model, Optimizer]: ...
def load(path: str | Path, *, with_optimizer: bool = False) -> Model | tuple[Model, Optimizer]:
    """The model that bp.save or `pybackprop train --save` wrote: a new Model, with parameters of the same bits.

    with_optimizer  True: the pair (model, optimizer), of the kind that was saved, with its options and state, so
                    that training continues as if it had not stopped. Raises CheckpointError if the file holds none

    Parameters are named w1, b1, w2, ... Those saved without requires_g have none. Gradients are not in the file.
    Raises CheckpointError for a file that is missing, damaged or not a checkpoint, or has a layer whose operation
    is not registered (see bp.define_op).
    """
    found = read(path)
    return (found.model, found.optimizer()) if with_optimizer else found.model


def load_description(path: str | Path) -> Description:
    """What bp.save or `pybackprop train --save` wrote of the data: their columns, classes and scaling, for
    bp.data.read_rows.

    Raises CheckpointError for a file that is no checkpoint, or does not tell.
    """
    found = read(path).description
    if found is None:
        raise CheckpointError(f"{path}: says nothing of its data; save it with bp.save(model, path, description=...)")
    return found


class Contents(NamedTuple):
    """What a checkpoint holds."""

    path: str | Path
    model: Model
    parameters: dict[str, Tensor]
    arrays: dict[str, Array]
    meta: dict[str, Any]

    @property
    def classifies(self) -> bool:
        return bool(self.meta.get("classifies"))

    @property
    def description(self) -> Description | None:
        """What the model was trained on; None if the file does not tell. Raises CheckpointError."""
        found = description_of(self.path, self.meta)
        if found is not None:
            _check_description(self.path, found, self.parameters)
        return found

    def optimizer(self) -> Optimizer:
        """The optimizer that trained the model. Raises CheckpointError if there is none."""
        told, settings = self.meta.get("optimizer"), self.meta.get("settings")
        if told is None and settings is None:
            raise CheckpointError(f"{self.path}: holds no optimizer; save it with bp.save(model, path, optimizer=sgd)")
        try:
            if settings is not None:
                told = {**contents.optimizer_of_settings(settings), "steps": self.meta.get("steps", 0)}
            assert told is not None
            names = told.get("parameters", self.parameters)
            kind = told.get("kind", "SGD")
            options = {name: value for name, value in told.items() if name not in ("kind", "parameters", "steps")}
            missing = set(OPTIMIZERS[kind].OPTIONS if "kind" in told else ("lr", "momentum")) - {*options, *NEWER}
            if missing:
                raise KeyError(*missing)
            made = optimizer_of(kind, [self.parameters[name] for name in names], options)
            made.steps = contents.whole_steps(told.get("steps", 0))
        except contents.UNUSABLE as error:
            raise contents.unusable(self.path, f"holds no optimizer that can be used: {error!r}") from error
        listed = {name: self.parameters[name] for name in names}
        kept = {
            name: p for name, p in listed.items() if f"{made.STATE[0]}.{name}" in self.arrays or _is_updated(made, p)
        }
        copy_arrays(self.path, state_arrays(made, kept), self.arrays)
        return made


def read(path: str | Path) -> Contents:
    """A checkpoint's model and everything else that it holds. Raises CheckpointError."""
    arrays, meta = checkpoint.load(path)
    count = contents.count_weights(arrays)
    if meta.get("kind") not in ("mlp", "layers") or count == 0:
        raise CheckpointError(f"{path}: holds no model; bp.save and 'pybackprop train --save' write one")
    descriptions = meta.get("layers", [{"layer": "Lin"}, *[{"layer": "Relu"}, {"layer": "Lin"}] * (count - 1)])
    try:
        lins = sum(described["layer"] == "Lin" for described in descriptions)
        contents.check_arrays(path, arrays, lins)
        loss = _loss(path, meta.get("loss", Mse.__name__))
        model = Model(_layers(path, descriptions, arrays), loss, inplace=bool(meta.get("inplace")))
        parameters = _parameters(path, model)
        for name in meta.get("frozen", []):
            parameters[name].requires_g = False
    except CheckpointError:
        raise
    except contents.UNUSABLE as error:
        raise contents.unusable(path, f"holds no model that can be used: {error!r}") from error
    return Contents(path, model, parameters, arrays, meta)


def description_of(path: str | Path, meta: Mapping[str, Any]) -> Description | None:
    """What a checkpoint's meta tells of the data; None if it does not. Raises CheckpointError."""
    told = meta.get("description")
    if told is None:
        return None
    try:
        return Description.from_json(told)
    except contents.UNUSABLE as error:
        raise contents.unusable(path, f"holds no description of data that can be used: {error!r}") from error


def copy_arrays(path: str | Path, targets: Mapping[str, Array], arrays: Mapping[str, Array]) -> None:
    """Copies all or nothing: shapes and dtypes are checked before the first copy."""
    for name, array in targets.items():
        source = arrays.get(name)
        if source is None or source.shape != array.shape or source.dtype != array.dtype:
            holds = "nothing" if source is None else f"{source.dtype} {source.shape}"
            raise CheckpointError(f"{path}: {name}: found {holds}, expected {array.dtype} {array.shape}")
    for name, array in targets.items():
        np.copyto(array, arrays[name])


def state_arrays(optimizer: Optimizer, parameters: Mapping[str, Tensor]) -> dict[str, Array]:
    """What an optimizer keeps of parameters, by the names in a file: velocity.w1, ..."""
    return {
        f"{kind}.{name}": kept.data
        for name, p in parameters.items()
        for kind, kept in zip(optimizer.STATE, optimizer.kept(p), strict=True)
    }


def _check_description(path: str | Path, description: Description, parameters: Mapping[str, Tensor]) -> None:
    widths = [p.shape for name, p in parameters.items() if name.startswith("w")]
    contents.check_description(path, description, widths[0][0], widths[-1][1])


# ---- writing ----


def _classifies(model: Model, description: Description | None) -> bool:
    return takes_labels(model.loss.op) if description is None else description.classifies


def _check_is_plain(path: str | Path, model: Model) -> None:
    """Raises CheckpointError for a model that computes anything but its layers and one of this package's losses."""
    kind = type(model.loss)
    if loss_of(model.loss) is None or getattr(nn, kind.__name__, None) is not kind:
        known = ", ".join(loss.__name__ for loss in LOSSES.values())
        raise CheckpointError(f"{path}: cannot hold the loss {name_of(model.loss)}, only {known}")
    if has_own_forward(model):
        raise CheckpointError(f"{path}: cannot hold {type(model).__name__}, which has a forward of its own")
    if not any(type(layer) is Lin for layer in model.layers):
        raise CheckpointError(f"{path}: the model has no Lin, so there is nothing to save")


def _described(path: str | Path, k: int, layer: Any) -> dict[str, Any]:
    """A layer as JSON values. Raises CheckpointError for one that cannot be restored from them."""
    if type(layer) is Lin and is_unchanged(layer, Lin):
        return {"layer": "Lin"}
    if not is_activation(layer) or not is_unchanged(layer, Activation):
        raise CheckpointError(
            f"{path}: cannot hold layers[{k}], {name_of(layer)}: its code is not in the file. Save the parameters: "
            "np.savez(path, *[p.data for p in model.parameters()])"
        )
    params = {name: value.item() if isinstance(value, np.generic) else value for name, value in layer.params.items()}
    description = {"layer": type(layer).__name__, "params": params}
    if type(layer) is not Activation:
        return description
    if registry.get(layer.op.name) is not layer.op:
        raise CheckpointError(f"{path}: cannot hold layers[{k}], {layer!r}: make its operation with bp.define_op")
    return {**description, "op": layer.op.name}


def _parameters(path: str | Path, model: Model) -> dict[str, Tensor]:
    """The parameters by their names in a file. Raises CheckpointError for one that is used twice."""
    named: dict[str, Tensor] = {}
    lins = [layer for layer in model.layers if type(layer) is Lin]
    for k, layer in enumerate(lins, 1):
        for name, p in ((f"w{k}", layer.w), (f"b{k}", layer.b)):
            if p is None:
                continue
            if any(p is other for other in named.values()):
                raise CheckpointError(f"{path}: {describe(p)} is used in two layers, which a file cannot hold")
            named[name] = p
    return named


def _optimizer_state(optimizer: Optimizer, parameters: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Array]]:
    """(kind, options and count of steps, with the names of the updated parameters; what is kept of them by name)."""
    check_optimizer("save", optimizer)
    if type(optimizer) is not OPTIMIZERS.get(optimizer.name):
        raise TypeError(f"save: a file cannot hold {optimizer.name}, a class of your own; save a bp.SGD, Adam or AdamW")
    names = {id(p): name for name, p in parameters.items()}
    listed = list(parameters.values()) if optimizer.parameters is None else optimizer.parameters
    for p in listed:
        if id(p) not in names:
            raise ValueError(f"save: the optimizer updates {describe(p)}, which the model does not have")
    updated = {names[id(p)]: p for p in listed}
    told = {"kind": optimizer.name, **optimizer.options(), "steps": optimizer.steps, "parameters": list(updated)}
    kept = {name: p for name, p in updated.items() if optimizer.has_kept(p)}
    new = {name: np.zeros_like(p.data) for name, p in updated.items() if name not in kept and _is_updated(optimizer, p)}
    zeros = {f"{kind}.{name}": array for name, array in new.items() for kind in optimizer.STATE}
    return told, {**zeros, **state_arrays(optimizer, kept)}


def _is_updated(optimizer: Optimizer, p: Tensor) -> bool:
    """Whether the optimizer's next update of a parameter reads what it keeps of it. Others keep nothing."""
    return optimizer.keeps and p.requires_g


# ---- reading ----


def _layers(path: str | Path, descriptions: list[dict[str, Any]], arrays: Mapping[str, Array]) -> list[Any]:
    layers: list[Any] = []
    lins = 0
    for description in descriptions:
        if description["layer"] == "Lin":
            lins += 1
            layers.append(_lin(lins, arrays))
        else:
            layers.append(_activation(path, description))
    return layers


def _lin(k: int, arrays: Mapping[str, Array]) -> Lin:
    layer = Lin(arrays[f"w{k}"], arrays.get(f"b{k}"))
    layer.w.name = f"w{k}"
    if layer.b is not None:
        layer.b.name = f"b{k}"
    return layer


def _activation(path: str | Path, description: Mapping[str, Any]) -> Activation:
    """Raises CheckpointError for a layer or an operation that is not known here."""
    kind, params = description["layer"], description.get("params", {})
    if kind == "Activation":
        op = registry.get(description["op"])
        if op is None:
            raise CheckpointError(
                f"{path}: has the operation '{description['op']}', which has to be defined with bp.define_op first"
            )
        return Activation(op, **params)
    activation: Activation = _layer_class(path, kind, Activation)(**params)
    return activation


def _loss(path: str | Path, kind: str) -> Loss:
    """Raises CheckpointError for a loss that is not known here."""
    loss: Loss = _layer_class(path, kind, Loss)()
    return loss


def _layer_class(path: str | Path, name: str, kind: type[Any]) -> Any:
    """The layer of this package of this name, if it is of a kind. Raises CheckpointError for others."""
    layer = getattr(nn, name, None) if name in nn.__all__ else None
    if layer is None or layer is kind or not issubclass(layer, kind):
        raise CheckpointError(f"{path}: has a layer {name!r}, which this version does not know")
    return layer
