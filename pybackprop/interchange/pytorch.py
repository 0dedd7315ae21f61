"""to_torch and from_torch: a model as PyTorch's nn.Sequential, and back. Needs PyTorch, the extra `torch`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any, overload

from pybackprop.autograd.messages import describe
from pybackprop.autograd.tensor import Tensor, as_tensor, param
from pybackprop.core.arrays import aligned_copy
from pybackprop.core.errors import DTypeError, ShapeError
from pybackprop.engine.model import Model
from pybackprop.interchange.chain import Applied, Linear, arguments_of, counterpart, steps_of
from pybackprop.interchange.layers import activation_of, loss_named, operation_named
from pybackprop.nn.layers import LOSSES, Activation, Lin, Loss
from pybackprop.nn.network import loss_of
from pybackprop.ops.op import Counterpart

if TYPE_CHECKING:
    import torch

__all__ = ["from_torch", "to_torch"]

LIBRARY = "torch"  # the module, and the field of an operation's record
NO_TORCH = "needs PyTorch; pip install 'pybackprop[torch]'"
POSSIBLE = "nn.Linear, ReLU, LeakyReLU, Tanh, Sigmoid, Softmax and LogSoftmax"
OWN = "bp.define_op makes an operation of two functions on numpy arrays"
REMEDIES = {  # for layers that people put into such networks, by their class or one of its bases
    "_DropoutNd": "it changes no prediction, so leave it out of the nn.Sequential",
    "Identity": "leave it out of the nn.Sequential",
    "Flatten": "leave it out, and give rows that are flat: x.reshape(len(x), -1)",
    "_BatchNorm": "in a network that is trained no further, merge its scale and shift into the nn.Linear before it",
    "LazyLinear": "give it a batch first, which makes it an nn.Linear",
}


@overload
def to_torch(model: Model, *, copy: bool = False) -> torch.nn.Sequential: ...
@overload
def to_torch(model: Loss, *, copy: bool = False) -> torch.nn.Module: ...
def to_torch(model: Model | Loss, *, copy: bool = False) -> torch.nn.Module:
    """A model as an nn.Sequential of nn.Linear and activations, or a loss, bp.Mse() or model.loss, as PyTorch's.

    copy=False: both have the same memory, which DLPack hands over: training one trains the other. A Lin's w (m,h) is
    row by row (inputs, outputs), an nn.Linear's weight is (outputs, inputs): it is w.T, a transposed view of w's
    memory, which PyTorch takes although it is not contiguous. The bias is b itself. Writes by PyTorch are like those
    to `w.data`: a pending backward here does not notice them. What gives a parameter other memory ends the sharing:
    bp.compile (compile first), model.double() here, and .to(), .double() or .half() there.
    copy=True: memory of its own, with contiguous weights.

    requires_g becomes requires_grad; gradients, names and the state of an optimizer stay here. A parameter that two
    layers use is one there, too. The loss of a model is not in an nn.Sequential: convert model.loss.
    Raises ImportError without PyTorch. Before anything is made, TypeError for what is no Model, and for the first
    layer that has no counterpart; ShapeError and DTypeError for layers that do not fit each other; ValueError for
    memory that cannot be shared because it is read-only or runs backwards.
    """
    torch = _torch("to_torch")
    if isinstance(model, Loss):
        return _loss_there(torch, model)
    steps = steps_of("to_torch", model)
    layers: list[Any] = [None if isinstance(s, Linear) else _activation_there(torch, s) for s in steps]
    if not copy:
        for step in steps:
            if isinstance(step, Linear):
                _check_shareable(step)
    known: dict[int, Any] = {}
    for k, step in enumerate(steps):
        if isinstance(step, Linear):
            layers[k] = _linear_there(torch, step, copy, known)
    return torch.nn.Sequential(*layers)


def from_torch(
    sequential: torch.nn.Sequential, loss: Loss | torch.nn.Module | None = None, *, copy: bool = True
) -> Model:
    """A bp.Model with the layers of an nn.Sequential, in which there may be others, and a loss: bp.Mse() unless given.

    loss  one of this package's, or PyTorch's MSELoss, CrossEntropyLoss or BCEWithLogitsLoss as they are by default
    copy  True: the model has memory of its own. False: both have the same memory, which needs weights that are
          transposed views, as those of to_torch: a weight of PyTorch's own is (outputs, inputs) row by row, and a Lin's
          w is (inputs, outputs) row by row

    Parameters are named w1, b1, w2, ... in the order of the layers; requires_grad becomes requires_g. One that two
    layers use is one here, too. Gradients and the state of an optimizer stay there.
    Raises ImportError without PyTorch. Before anything is made, TypeError for what is no nn.Sequential, and for the
    first layer without a counterpart, with its place, its class and what to do instead; DTypeError for parameters that
    are neither float32 nor float64, or not all of one dtype; ValueError for parameters on another device, for options
    that have no counterpart, and with copy=False for memory that cannot be shared; ShapeError for layers that do not
    fit each other.
    """
    torch = _torch("from_torch")
    if type(sequential) is not torch.nn.Sequential:
        raise TypeError(
            f"from_torch: found {type(sequential).__name__}, expected an nn.Sequential, whose layers are all that it "
            "computes: make one of the layers, nn.Sequential(...), or see bp.load_weights, for a .safetensors file"
        )
    given = [(place, layer, _counterpart_here(torch, place, layer)) for place, layer in _flat(torch, sequential)]
    for place, layer, activation in given:
        if activation is None:
            _check_parameters(torch, place, layer, copy)
    _check_together([(place, layer) for place, layer, activation in given if activation is None])
    ours = _loss_here(torch, loss)
    known: dict[int, Tensor] = {}
    lins = count(1)
    layers = [_linear_here(layer, next(lins), known, copy) if found is None else found for _, layer, found in given]
    return Model(layers, loss=ours)


def _torch(operation: str) -> Any:
    try:
        return import_module(LIBRARY)
    except ImportError as error:
        raise ImportError(f"{operation}: {NO_TORCH}") from error


# ---- there ----


def _check_shareable(step: Linear) -> None:
    """Raises ValueError for memory that PyTorch cannot have, too."""
    for p in step.parameters:
        why = "" if p._array.flags.writeable else "read-only memory"
        why = "memory that runs backwards" if any(stride < 0 for stride in p._array.strides) else why
        if why:
            raise ValueError(f"to_torch: {step.place}: {describe(p)} is {why}, which cannot be shared; use copy=True")


def _activation_there(torch: Any, step: Applied) -> Any:
    found = counterpart("to_torch", step, step.op.torch, "PyTorch")
    return getattr(torch.nn, found.name)(**arguments_of(step, found))


def _linear_there(torch: Any, step: Linear, copy: bool, known: dict[int, Any]) -> Any:
    """An nn.Linear. It is made without memory, so that no random numbers are drawn for it."""
    (m, h), is_biased = step.w.shape, step.b is not None
    layer = torch.nn.Linear(m, h, bias=is_biased, device="meta", dtype=getattr(torch, step.w.dtype.name))
    for name, p in zip(("weight", "bias"), step.parameters, strict=False):
        if id(p) not in known:
            known[id(p)] = torch.nn.Parameter(_memory_there(torch, p, copy), requires_grad=p.requires_g)
        setattr(layer, name, known[id(p)])
    return layer


def _memory_there(torch: Any, p: Tensor, copy: bool) -> Any:
    """w.T or b, in memory of its own or in the same."""
    if copy:
        return torch.from_dlpack(aligned_copy(p._array.T))
    return torch.from_dlpack(p).t()


def _loss_there(torch: Any, loss: Loss) -> Any:
    op = loss_of(loss)
    if op is None or op.torch is None:
        raise TypeError(
            f"to_torch: found the loss {loss!r}, expected one of {', '.join(k.__name__ for k in LOSSES.values())}"
        )
    return getattr(torch.nn, op.torch.name)(**op.torch.fixed)


# ---- here ----


def _flat(torch: Any, sequential: Any, place: str = "sequential") -> Iterator[tuple[str, Any]]:
    """(place, layer) in the order in which they compute; those of an nn.Sequential in another stand in its place."""
    _check_hooks(place, sequential)
    for k, layer in enumerate(sequential):
        if type(layer) is torch.nn.Sequential:
            yield from _flat(torch, layer, f"{place}[{k}]")
        else:
            yield f"{place}[{k}]", layer


def _counterpart_here(torch: Any, place: str, layer: Any) -> Activation | None:
    """The activation that a layer is; None: it is an nn.Linear. Raises TypeError or ValueError for any other one."""
    name, is_linear = type(layer).__name__, type(layer) is torch.nn.Linear
    found = operation_named(name, LIBRARY) if type(layer) is getattr(torch.nn, name, None) else None
    if not is_linear and (found is None or found[0].loss is not None):
        remedy = next((REMEDIES[kind.__name__] for kind in type(layer).__mro__ if kind.__name__ in REMEDIES), OWN)
        raise TypeError(
            f"from_torch: {place} is {_said(layer)}, which has no counterpart here: {remedy}. Possible are {POSSIBLE}"
        )
    _check_hooks(place, layer)
    if found is None:
        return None
    try:
        return activation_of(*found, _options(layer, found[1]))
    except ValueError as error:
        raise ValueError(f"from_torch: {place}, {_said(layer)}: {error}") from error


def _check_hooks(place: str, layer: Any) -> None:
    if layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer):
        raise TypeError(
            f"from_torch: {place}, {_said(layer)}, has hooks, programs that change what it computes; remove them, or "
            "the normalisation or pruning that put them there, with PyTorch's remove functions"
        )


def _said(layer: Any) -> str:
    """A layer as PyTorch writes it, on one line."""
    text = str(layer)
    return text if "\n" not in text and len(text) < 80 else type(layer).__name__


def _options(layer: Any, found: Counterpart) -> dict[str, Any]:
    """The further arguments of a layer: PyTorch keeps them as attributes of the same names."""
    return {name: getattr(layer, name) for name in (*found.arguments.values(), *found.fixed)}


def _check_parameters(torch: Any, place: str, layer: Any, copy: bool) -> None:
    """Raises DTypeError or ValueError for an nn.Linear whose parameters cannot be a Lin's."""
    for name, p in layer.named_parameters():
        if p.device.type != "cpu":
            remedy = "initialise it, or load its weights" if p.device.type == "meta" else "move it: sequential.cpu()"
            raise ValueError(f"from_torch: {place}.{name} {tuple(p.shape)} is on the device {p.device}; {remedy}")
        if p.dtype not in (torch.float32, torch.float64):
            raise DTypeError(
                f"from_torch: {place}.{name} {tuple(p.shape)} is {p.dtype}, expected float32 or float64; "
                "convert it: sequential.float()"
            )
        if not copy and not p.detach().t().is_contiguous():
            raise ValueError(
                f"from_torch: {place}.{name} {tuple(p.shape)}, strides {p.stride()}, lies as (outputs, inputs) row by "
                "row, a Lin's w as (inputs, outputs): they cannot share memory; use copy=True"
            )


def _check_together(linears: Sequence[tuple[str, Any]]) -> None:
    """Raises ShapeError or DTypeError for nn.Linear that do not fit each other."""
    for (before_at, before), (at, layer) in pairwise(linears):
        if before.out_features != layer.in_features:
            raise ShapeError(
                f"from_torch: {at}, {_said(layer)}, takes {layer.in_features} inputs, but {before_at}, "
                f"{_said(before)}, gives {before.out_features} outputs; give layers that fit each other"
            )
    dtypes = {
        f"{place}.{name} is {p.dtype}": p.dtype for place, layer in linears for name, p in layer.named_parameters()
    }
    first = next(iter(dtypes.items()), ("", None))
    for said, dtype in dtypes.items():
        if dtype != first[1]:
            raise DTypeError(f"from_torch: {first[0]}, {said}; convert all of them: sequential.float()")


def _linear_here(layer: Any, number: int, known: dict[int, Tensor], copy: bool) -> Lin:
    """The Lin of an nn.Linear. known: the tensors of parameters that were met before, by their ids."""
    tensors = []
    for letter, p in zip("wb", (layer.weight, layer.bias), strict=True):
        if p is not None and id(p) not in known:
            view = p.detach().numpy().T
            known[id(p)] = param(view, name=f"{letter}{number}") if copy else as_tensor(view, name=f"{letter}{number}")
        tensors.append(None if p is None else known[id(p)])
    made = Lin(*tensors)
    for tensor, p in zip(tensors, (layer.weight, layer.bias), strict=True):
        if tensor is not None:
            tensor.requires_g = p.requires_grad
    return made


def _loss_here(torch: Any, loss: Any) -> Loss | None:
    if loss is None or isinstance(loss, Loss):
        return loss
    name = type(loss).__name__
    found = operation_named(name, LIBRARY) if type(loss) is getattr(torch.nn, name, None) else None
    if found is None or found[0].loss is None:
        possible = ", ".join(kind.op.torch.name for kind in LOSSES.values() if kind.op.torch is not None)
        raise TypeError(f"from_torch: loss: found {name}, expected a loss of bp, or one of PyTorch's {possible}")
    try:
        return loss_named(*found, _options(loss, found[1]))
    except ValueError as error:
        raise ValueError(f"from_torch: loss, {_said(loss)}: {error}") from error
