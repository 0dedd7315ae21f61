"""Module: the base class of layers.

Called on its own, a layer stores its arguments and its output, and `backward()` computes the `.g` of its
arguments and parameters from `out.g`, as in the lesson. A Model runs the same layers on the tape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, foreign
from pybackprop.core.arrays import as_array
from pybackprop.core.errors import GradientError

__all__ = ["Module"]


class Module:
    """A step of a network. A layer of your own needs `forward(*args)` and, to write its gradients by hand,
    `bwd(out, *args)`, which reads `out.g` and sets the `.g` of the arguments and of its parameters.
    Without `bwd` a Model takes the gradients from the tape, so forward may only use operations with a derivative.

    Tensors made with bp.param that are attributes of it (or in a list, or in a Module there) are its parameters.
    """

    last_call: tuple[str, ...] = ("_last_call",)
    _last_call: tuple[Any, Tensor | None] = (
        (),
        None,
    )  # (args, out); args may be a Pass that can make them

    @property
    def args(self) -> tuple[Any, ...]:
        """The arguments of the last call."""
        args: tuple[Any, ...] = _last_call(self)[0]
        return args

    @args.setter
    def args(self, value: tuple[Any, ...]) -> None:
        self._last_call = (tuple(value), self.out)

    @property
    def out(self) -> Tensor | None:
        """The output of the last call; None before the first one."""
        return _last_call(self)[1]

    @out.setter
    def out(self, value: Tensor | None) -> None:
        self._last_call = (self.args, value)

    def __call__(self, *args: Any) -> Tensor:
        self.args = tuple(as_operand(arg, self) for arg in args)
        self.out = self.forward(*self.args)
        return self.out

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The output for these arguments."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(self, *args)")

    def bwd(self, out: Tensor, /, *args: Any, **kwargs: Any) -> None:
        """Sets the `.g` of the arguments and parameters from `out.g`."""
        raise NotImplementedError(f"{type(self).__name__} has no bwd(self, out, *args)")

    def backward(self) -> None:
        """Passes `out.g` on to the arguments of the last call. Raises GradientError before the first one."""
        if self.out is None:
            raise GradientError(f"{type(self).__name__}.backward: there was no forward pass yet; call the layer first")
        self.bwd(self.out, *self.args)

    def parameters(self) -> list[Tensor]:
        """The tensors of this layer that have requires_g, each once."""
        return parameters_in(self)

    def forget(self) -> None:
        """Drops the last call's arguments and output."""
        self._last_call = ((), None)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self.last_call}


def _last_call(layer: Module) -> tuple[Any, Tensor | None]:
    """(args, out). After a pass in one call (see engine/one_pass.py) this is where its tape is written."""
    args, out = layer._last_call
    if type(args) is not tuple:
        layer._last_call = args.call_of(layer, out)
    return layer._last_call


def as_operand(value: Any, beside: Any) -> Tensor:
    """value as a tensor; data that is neither float32 nor float64 takes the dtype of the tensors in `beside`."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.dtype.itemsize in (4, 8):
        return foreign(as_array(value))  # has a dtype of its own: no need to look in `beside`
    like = next((tensor.dtype for tensor in tensors_in(beside)), None)
    return foreign(as_array(value, like))


def tensors_in(owner: Any) -> list[Tensor]:
    """The tensors among a layer's attributes, in lists and layers in them too, each once.

    Not those of its last call.
    """
    tensors: dict[int, Tensor] = {}
    _collect(owner, tensors, set())
    return list(tensors.values())


def _collect(part: Any, tensors: dict[int, Tensor], visited: set[int]) -> None:
    if isinstance(part, Tensor):
        tensors[id(part)] = part
    elif id(part) not in visited:
        visited.add(id(part))
        for inner in _parts(part):
            _collect(inner, tensors, visited)


def _parts(owner: Any) -> list[Any]:
    if isinstance(owner, (list, tuple)):
        return list(owner)
    if isinstance(owner, dict):
        return list(owner.values())
    if isinstance(owner, Module) or hasattr(type(owner), "backward"):
        last_call = getattr(owner, "last_call", ())
        return [value for name, value in getattr(owner, "__dict__", {}).items() if name not in last_call]
    return []


def parameters_in(owner: Any) -> list[Tensor]:
    """The tensors in owner that have requires_g and are not the result of an operation."""
    return [tensor for tensor in tensors_in(owner) if tensor.requires_g and tensor._node is None]
