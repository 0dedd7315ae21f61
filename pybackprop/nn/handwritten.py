"""Layers whose gradients somebody wrote by hand, as one operation on the tape.

The lesson's own classes store what they saw (`self.inp`, `self.out`) and set `.g` themselves. So that they
can stand beside ours, be used twice, share parameters, and accumulate, each call is remembered with the
layer's attributes, and the gradients that its backward leaves are handed to the walk of the tape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

from pybackprop.arithmetic import copy_backward
from pybackprop.autograd import messages, tape
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.errors import GradientError
from pybackprop.nn.module import as_operand, parameters_in


def is_by_hand(layer: Any) -> bool:
    """Whether a layer has a `bwd` or `backward` that is not this package's own."""
    kind: Any = type(layer)
    return _is_by_hand(kind)


@lru_cache(maxsize=1024)
def _is_by_hand(kind: type) -> bool:
    methods = [getattr(kind, name, None) for name in ("bwd", "backward")]
    return any(method is not None and not str(method.__module__).startswith("pybackprop.") for method in methods)


def run(layer: Any, args: Sequence[Tensor]) -> Tensor:
    """The layer's output, on the tape if an argument or a parameter wants a gradient."""
    given = [arg.alias() for arg in args]
    before = dict(vars(layer))
    with tape.paused():
        out = as_operand(layer(*given), layer)
    state = dict(vars(layer))
    parameters = parameters_in(layer)
    result = out.alias()
    backward = partial(_backward, layer, state, list(zip(args, given, strict=True)), out, parameters)
    tape.record(result, type(layer).__name__, (*args, *parameters), backward, (*given, *parameters, out))
    if not tape.is_recording():
        _restore(layer, before)
    return result


def _backward(
    layer: Any,
    state: dict[str, Any],
    pairs: list[tuple[Tensor, Tensor]],
    out: Tensor,
    parameters: list[Tensor],
    upstream: Tensor,
    sink: tape.Sink,
) -> None:
    out._g = upstream
    with _attributes(layer, state), _fresh_gradients(parameters) as fresh:
        layer.backward()
        fresh.extend(parameter._g for parameter in parameters)
    if not sink.keep:
        out._g = None
    name = type(layer).__name__
    found = [(arg, given._g) for arg, given in pairs] + list(zip(parameters, fresh, strict=True))
    for tensor, gradient in found:
        if gradient is not None:
            copy_backward(tensor, gradient, sink)
        elif sink.wants(tensor):
            raise GradientError(f"{name}: its backward left no .g in {messages.describe(tensor)}, which needs one")


@contextmanager
def _attributes(layer: Any, state: dict[str, Any]) -> Iterator[None]:
    """The layer as it was after the call that is now differentiated."""
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
    """Takes the parameters' gradients away, so that what is there afterwards is what the layer has set."""
    before = [parameter._g for parameter in parameters]
    for parameter in parameters:
        parameter._g = None
    try:
        yield []
    finally:
        for parameter, gradient in zip(parameters, before, strict=True):
            parameter._g = gradient
