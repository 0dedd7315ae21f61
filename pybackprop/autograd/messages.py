"""Messages about a value that a gradient still needs: which one, who overwrote it, who needs it, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakValueDictionary

from pybackprop.autograd.protocols import TensorLike

models: WeakValueDictionary[int, Any] = WeakValueDictionary()  # for place_of

UNSEEN = "a write past this library (t.data[...] = …, or the array that it shares memory with)"
remedies: dict[str, str] = {
    "-=": "Update after backward"
}  # by the operation that overwrote a value; operations add theirs
SPENT = (
    "backward: the activations of this pass are gone: its backward has run, and with inplace=True the gradients took "
    "their place. Run forward again before a second backward (accumulate=True adds), look at a layer's out before "
    "backward, or make the model with inplace=False"
)


def overwritten(asks: str, node: Any, tensor: TensorLike, count: int | None) -> str:
    """For a tensor that was overwritten after node read it. count: of its version at that time, if known."""
    by, place = tensor._version.overwritten_by(count) or (UNSEEN, "")
    read = f" (called at {node.checksums[1]})" if node.checksums else ""
    purpose = node.op.purpose(node.inputs, tensor)
    remedy = remedies.get(by, "Overwrite only after backward")
    return (
        f"{asks}: {describe(tensor)} was overwritten after '{node.op.name}'{read} read it, by {by}{place}. "
        f"The gradient of '{node.op.name}' still needs the old values{': for ' * bool(purpose)}{purpose}. "
        f"{remedy}, run forward again, or write to a copy: bp.tensor(t)"
    )


def describe(tensor: TensorLike) -> str:
    """A tensor's name, shape, and place in a Model if it has one."""
    name = f"'{tensor.name}' " if tensor.name else ""
    place = place_of(tensor)
    return f"the tensor {name}of shape {tensor.shape}" + (f" ({place})" if place else "")


def place_of(tensor: TensorLike) -> str | None:
    """layers[0].w, or layers[1].out, for a tensor, or a view of one, in a living Model."""
    for model in list(models.values()):
        for place, found in _places(model):
            if found is tensor or (found._version is tensor._version and found.shape == tensor.shape):
                return place
    return None


def _places(model: Any) -> Iterator[tuple[str, Any]]:
    for k, layer in enumerate(getattr(model, "layers", ())):
        attributes = getattr(layer, "__dict__", {})
        for name, value in list(attributes.items()):
            if hasattr(value, "_version"):
                yield f"layers[{k}].{name}", value
        args, out = attributes.get("_last_call", ((), None))
        if type(args) is tuple and out is not None:
            yield f"layers[{k}].out", out


def no_gradient(operation: str, out: TensorLike) -> str:
    """For an out.g that is None."""
    place = out._g_place
    if place is not None and place.gone:
        return f"{operation}: out.g is None: {place.gone}"
    return (
        f"{operation}: out.g is None: there is no gradient to pass on yet. Backward runs from the end to the "
        "start: call mse_grad(out, targ) first, then each function's _grad in reverse order"
    )


FREED = "backward() uses the gradients' buffers of intermediate results again. backward(keep=True) leaves them readable"


def stale(operation: str, out: TensorLike) -> str:
    """For an out.g that belongs to values which out no longer has."""
    by, place = out._version.overwritten_by(out._g_place.values if out._g_place else None) or (UNSEEN, "")
    return (
        f"{operation}: out.g is stale: it is the gradient of values that out, {describe(out)}, no longer has: since "
        f"then it was overwritten by {by}{place}. Call mse_grad (or the _grad of the operation after this one) "
        "again after each forward pass; if you filled out.g by hand, assign it: out.g = …"
    )


def spoiled(operation: str, name: str, tensor: TensorLike) -> str:
    """For an operand whose memory holds its own gradient."""
    return (
        f"{operation}: {name} is {describe(tensor)}, which mse_grad(inplace=True) has overwritten with its own "
        f"gradient: its values are gone. Call {operation} before it, run forward again, or use "
        "mse_grad(inplace=False)"
    )


def not_yet_through(out: TensorLike) -> str:
    """For an out that relu_ overwrote, whose gradient has not gone back through relu_ yet."""
    return (
        f"lin_grad: out is {describe(out)}, which relu_ has overwritten: its .g is still the gradient of relu's "
        "result. Call relu_grad(out, out) first, which takes it through relu"
    )
