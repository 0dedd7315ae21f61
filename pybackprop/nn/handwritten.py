"""Layers with a handwritten backward, each call one operation on the tape.

The lesson's own classes store their input and output (`self.inp`, `self.out`) and set `.g` themselves. So that
they can be combined with the layers here, be used twice, share parameters, and accumulate, each call is recorded
with the layer's attributes, and the gradients that its backward leaves are passed on to the tape's backward.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from pybackprop.autograd import messages, tape
from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core.arrays import Array
from pybackprop.core.errors import GradientError
from pybackprop.nn.module import as_operand, parameters_in, tensors_in
from pybackprop.ops.shapes import copy_backward


def is_by_hand(layer: Any) -> bool:
    """Whether a layer has a `bwd` or `backward` that is not this package's own."""
    kind: Any = type(layer)
    return _is_by_hand(kind)


@lru_cache(maxsize=1024)
def _is_by_hand(kind: type) -> bool:
    methods = [getattr(kind, name, None) for name in ("bwd", "backward")]
    return any(method is not None and not str(method.__module__).startswith("pybackprop.") for method in methods)


def run(layer: Any, args: Sequence[Tensor]) -> Tensor:
    """The layer's output, on the tape if an argument or a parameter has requires_g."""
    aliases = [arg.alias() for arg in args]
    before = dict(vars(layer))
    with tape.paused():
        out = as_operand(layer(*aliases), layer)
    call = Call(layer, dict(vars(layer)), list(zip(args, aliases, strict=True)), out, parameters_in(layer))
    result = out.alias()
    tape.record(result, call, (*args, *call.parameters), (*aliases, *call.parameters, out))
    if not tape.is_recording():
        _restore(layer, before)
    return result


class Call:
    """One call of a layer, as the record of an operation: its inputs are the arguments and the parameters.

    The other attributes of an Op (activation, kink, axes, ...) are empty, as nothing is known about the layer.

    state  the layer's attributes after the call
    aliases  each argument, and the alias of it that the layer was called with
    """

    layer: Any
    state: dict[str, Any]
    aliases: list[tuple[Tensor, Tensor]]
    out: Tensor
    parameters: list[Tensor]
    name: str

    inplace = False
    elementwise = False
    kink = None
    activation = None
    equation = ""
    lesson_grad = ""
    axes: tuple[str, ...] = ()
    gradients: tuple[str, ...] = ()

    def __init__(
        self,
        layer: Any,
        state: dict[str, Any],
        aliases: list[tuple[Tensor, Tensor]],
        out: Tensor,
        parameters: list[Tensor],
    ) -> None:
        self.layer, self.state, self.aliases, self.out, self.parameters = layer, state, aliases, out, parameters
        self.name = type(layer).__name__

    @property
    def operands(self) -> tuple[str, ...]:
        """inp for one argument, else inp1, inp2, ...; the parameters by the layer's attributes."""
        count = len(self.aliases)
        arguments = ("inp",) if count == 1 else tuple(f"inp{k}" for k in range(1, count + 1))
        attributes = {id(value): name for name, value in self.state.items()}
        return (*arguments, *(attributes.get(id(p), p.name or "w") for p in self.parameters))

    def lasting(self) -> Any:
        """A record in its place that keeps no values alive."""
        return tape.no_derivative(self.name)

    def purpose(self, inputs: Sequence[Tensor], tensor: Tensor) -> str:
        """Empty: only the layer knows which gradient needs the values."""
        return ""

    def replay(self, arrays: Sequence[Array], **params: Any) -> Array:
        """The layer's output for other arrays: arguments, then parameters; computed by a copy in their dtype."""
        twin = copy.deepcopy(self.layer)
        for tensor in tensors_in(twin):
            tensor._become(tensor._array.astype(arrays[0].dtype))
        parameters = parameters_in(twin)
        count = len(arrays) - len(parameters)
        for parameter, array in zip(parameters, arrays[count:], strict=True):
            parameter._become(array)
        with tape.paused():
            return as_operand(twin(*map(wrap, arrays[:count])), twin)._array

    def backward(self, inputs: Sequence[Tensor], saved: Sequence[Tensor], upstream: Tensor, sink: tape.Sink) -> None:
        """Runs the layer's own backward, and passes on what it left in the `.g` of its arguments and parameters."""
        self.out._g = upstream
        with _attributes(self.layer, self.state), _fresh_gradients(self.parameters) as fresh:
            self.layer.backward()
            fresh.extend(parameter._g for parameter in self.parameters)
        if not sink.keep:
            self.out._g = None
        gradients = [(arg, alias._g) for arg, alias in self.aliases] + list(zip(self.parameters, fresh, strict=True))
        for tensor, gradient in gradients:
            if gradient is not None:
                copy_backward(tensor, gradient, sink)
            elif sink.wants(tensor):
                raise GradientError(
                    f"{self.name}: its backward left no .g in {messages.describe(tensor)}, which needs one"
                )


@contextmanager
def _attributes(layer: Any, state: dict[str, Any]) -> Iterator[None]:
    """Restores for a while the attributes that the layer had after the call that is differentiated."""
    now = dict(vars(layer))
    _restore(layer, state)
    try:
        yield
    finally:
        _restore(layer, now)


def _restore(layer: Any, state: dict[str, Any]) -> None:
    vars(layer).clear()
    vars(layer).update(state)


@contextmanager
def _fresh_gradients(parameters: list[Tensor]) -> Iterator[list[Tensor | None]]:
    """Removes the parameters' gradients for a while, so that only those that the layer sets are there."""
    before = [parameter._g for parameter in parameters]
    for parameter in parameters:
        parameter._g = None
    try:
        yield []
    finally:
        for parameter, gradient in zip(parameters, before, strict=True):
            parameter._g = gradient
