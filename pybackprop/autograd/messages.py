"""Stories: what happened to a value that a gradient still needs: who overwrote it, who needs it, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pybackprop.autograd.storage import Storage
    from pybackprop.autograd.tape import Node

models: WeakValueDictionary[int, Any] = WeakValueDictionary()  # all that there are, to find a tensor's place in them

UNSEEN = "a write past this library (t.data[...] = …, or the array that it shares memory with)"
REMEDIES = {
    "relu_": "Use relu, which keeps its input",
    "mse_grad(inplace=True)": "Use inplace=False, or call it after everything that reads out",
    "SGD.step": "Update after backward",
    "-=": "Update after backward",
    "compile": "Compile before forward; the plan gave the parameters other memory",
    "plan.step": "Call backward before the plan's step",
}
SPENT = (
    "backward: the activations of this pass are gone: its backward has run, and with inplace=True the gradients took "
    "their place. Run forward again before a second backward (accumulate=True adds), look at a layer's out before "
    "backward, or make the model with inplace=False"
)


def overwritten(asks: str, node: Node, tensor: Storage, version: int | None) -> str:
    """Of a tensor that node read and that is no longer what it was. version: the one it had then, if it is known."""
    what, place = _overwriter(tensor._version, version)
    read = f" (called at {node.seen[1]})" if node.seen else ""
    remedy = REMEDIES.get(what, "Overwrite only after backward")
    return (
        f"{asks}: {describe(tensor)} was overwritten after '{node.operation}'{read} read it, by {what}{place}. "
        f"The gradient of '{node.operation}' still needs the old values{_purpose(node, tensor)}. "
        f"{remedy}, run forward again, or write to a copy: bp.tensor(t)"
    )


def _overwriter(version: list[Any], read: int | None) -> tuple[str, str]:
    """(the operation, " at file:line" if that is known): the first one after a version was read."""
    if read == version[0] or version[1] is None:
        return UNSEEN, ""
    for count, what, where in version[2:]:
        if read is not None and count > read:
            return what, f" at {where}"
    return version[1], ""


def _purpose(node: Node, tensor: Storage) -> str:
    """ ": for w.g = x.T @ out.g", where it is known."""
    if node.operation in ("lin", "@"):
        x, w = node.inputs[0], node.inputs[1]
        if tensor is x:
            return f": for {_short(w, 'w')}.g = {_short(x, 'x')}.T @ out.g"
        return f": for {_short(x, 'x')}.g = out.g @ {_short(w, 'w')}.T" if tensor is w else ""
    if node.operation in ("relu", "relu_"):
        return ": for inp.g = (inp > 0) * out.g"
    return ": for out.g = 2 (out - targ) / size" if node.operation == "mse" else ""


def _short(tensor: Storage, otherwise: str) -> str:
    return tensor.name or otherwise


def describe(tensor: Storage) -> str:
    """A tensor by its name, its shape, and its place in a Model if it has one."""
    name = f"'{tensor.name}' " if tensor.name else ""
    place = place_of(tensor)
    return f"the tensor {name}of shape {tensor.shape}" + (f" ({place})" if place else "")


def place_of(tensor: Storage) -> str | None:
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


def no_gradient(operation: str, out: Storage) -> str:
    """Of an out.g that is None."""
    taken = out._g_at
    if isinstance(taken, str):
        return f"{operation}: out.g is None: {taken}"
    return (
        f"{operation}: out.g is None: there is no gradient to pass on yet. Backward runs from the end to the "
        "start: call mse_grad(out, targ) first, then each function's _grad in reverse order"
    )


TAKEN = (
    "relu_grad(inplace=True) wrote inp.g over it, and the buffer is inp.g now. Read inp.g, or use inplace=False to "
    "keep both"
)
FREED = "backward() uses the gradients' buffers of intermediate results again. backward(keep=True) leaves them readable"


def stale(operation: str, out: Storage) -> str:
    """Of an out.g that belongs to values which out no longer has."""
    what, place = _overwriter(out._version, out._g_at[0])
    return (
        f"{operation}: out.g is stale: it is the gradient of values that out, {describe(out)}, no longer has: since "
        f"then it was overwritten by {what}{place}. Call mse_grad (or the _grad of the operation after this one) "
        "again after each forward pass; if you filled out.g by hand, assign it: out.g = …"
    )


def spoiled(operation: str, name: str, tensor: Storage) -> str:
    """Of an operand whose numbers are its own gradient."""
    return (
        f"{operation}: {name} is {describe(tensor)}, which mse_grad(inplace=True) has overwritten with its own "
        f"gradient: its values are gone. Call {operation} before it, run forward again, or use "
        "mse_grad(inplace=False)"
    )


def not_yet_through_relu(out: Storage) -> str:
    """Of an out that relu_ overwrote, whose gradient did not pass it yet."""
    return (
        f"lin_grad: out is {describe(out)}, which relu_ has overwritten: its .g is still the gradient of relu's "
        "result. Call relu_grad(out, out) first, which takes it through relu"
    )
