"""The record of an operation, and the registry of all of them.

One record defines an operation: forward, backward, equation, and what backward reads. The tape keeps the record with
each result. Messages, the replay of a forward pass, gradcheck, the ledger, plans and explanations read it there, also
for an operation that `define_op` makes from two functions on numpy arrays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from pybackprop.autograd import tape
from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core import observer
from pybackprop.core.arrays import Array
from pybackprop.core.errors import GradientError, ShapeError
from pybackprop.ops.checks import operands_of, upstream_of


class Counterpart(NamedTuple):
    """What computes the same in another library.

    name       a class of torch.nn, or an operator of ONNX
    arguments  what the operation's further arguments are called there
    fixed      further arguments there, with the values that make it compute the same
    """

    name: str
    arguments: Mapping[str, str] = MappingProxyType({})
    fixed: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Op:
    """An operation. op(*operands, **params) runs its forward and records it on the tape.

    name         on the tape and in messages
    forward      (*operands, **params) -> Tensor
    backward     (inputs, saved, dout, sink, **params): fills those gradients of the inputs that sink asks for, from
                 dout, the gradient of the result. saved: the tensors that forward gave to `record` for it
    operands     what the lesson calls the inputs: ("x", "w", "b")
    equation     one element of the result: "out[i,j] = Σ_k x[i,k] w[k,j] + b[j]"
    gradients    the formula of each input's gradient, from `out.g`: ("out.g @ w.T", "x.T @ out.g", "out.g.sum(0)")
    axes         the letters of each operand's axes and then of the result's; empty for any shape, element by element
    references   the functions of pybackprop.ops.reference that define it: forward, then backward
    grad         the lesson's function that sets the `.g` of the inputs from out.g; None if there is none
    lesson_grad  its name: "lin_grad"
    inplace      whether the result overwrites its input
    elementwise  whether each element of the result depends only on the same element of the input
    kink         where an elementwise function has a kink: a number, or the name of the parameter that says it; None:
                 nowhere
    activation   its name among the activations that the C core computes after a linear layer; None: compile refuses it
    loss         its name among the losses that the C core computes at a network's end; None: compile refuses it
    targets      of a loss whose targets have rules of their own: (operation, targ, out's shape, its dtype) -> targ as a
                 tensor of that dtype, one label for each row or in out's shape; None: they have out's shape
    defaults     of an activation's further arguments, in the order in which C takes them
    check        (dtype, **params): raises ValueError for arguments that are out of range in a dtype
    replayed     the function for a replay, where that must not be forward
    torch, onnx  what computes the same in PyTorch and in ONNX; None: nothing does
    """

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., None] | None
    operands: tuple[str, ...]
    equation: str = ""
    gradients: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    grad: Callable[..., None] | None = None
    lesson_grad: str = ""
    inplace: bool = False
    elementwise: bool = False
    kink: float | str | None = None
    activation: str | None = None
    loss: str | None = None
    targets: Callable[..., Tensor] | None = field(default=None, repr=False)
    defaults: Mapping[str, Any] = field(default_factory=dict, repr=False)
    check: Callable[..., None] | None = field(default=None, repr=False)
    replayed: Callable[..., Any] | None = field(default=None, repr=False)
    torch: Counterpart | None = field(default=None, repr=False)
    onnx: Counterpart | None = field(default=None, repr=False)

    def __call__(self, *operands: Any, **params: Any) -> Any:
        return self.forward(*operands, **params)

    def lasting(self) -> Op:
        """Itself: a record keeps no values alive."""
        return self

    def replay(self, arrays: Sequence[Array], **params: Any) -> Array:
        """Computes the result again for these arrays, off the tape."""
        with tape.paused(), np.errstate(all="ignore"):
            result: Array = (self.replayed or self.forward)(*map(wrap, arrays), **params)._array
        return result

    def purpose(self, inputs: Sequence[Any], tensor: Any) -> str:
        """The gradient that needs the values of an input, such as "w.g = x.T @ out.g"; empty if unknown."""
        names = {role: inp.name or role for role, inp in zip(self.operands, inputs, strict=False)}
        mine = next((r for r, inp in zip(self.operands, inputs, strict=False) if inp is tensor), self.operands[0])
        for role, formula in zip(self.operands, self.gradients, strict=False):
            if re.search(rf"\b{mine}\b", formula):
                return f"{names.get(role, role)}.g = " + re.sub(r"\b\w+\b", lambda m: names.get(m[0], m[0]), formula)
        return ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Copying or unpickling gives the operation itself, as operations are compared by identity."""
        return _by_name, (self.name,)

    def __repr__(self) -> str:
        return f"<operation {self.name}({', '.join(self.operands)})>"


registry: dict[str, Op] = {}


def _by_name(name: str) -> Op:
    if name not in registry:
        raise LookupError(f"there is no operation '{name}' here; define it with bp.define_op")
    return registry[name]


def register(op: Op) -> Op:
    """Registers an operation under its name. Raises ValueError for a name that is taken or cannot be printed."""
    if not op.name.isprintable():
        raise ValueError(f"found the name {op.name!r}, expected printable characters: it is shown in messages")
    if op.name in registry:
        raise ValueError(f"there is an operation '{op.name}' already; choose another name")
    registry[op.name] = op
    return op


def attach(name: str, function: Callable[..., Any]) -> None:
    """Makes a function a method of Tensor. The class declares it for type checkers."""
    function.__name__, function.__qualname__ = name, f"Tensor.{name}"
    setattr(Tensor, name, function)


def define_op(
    name: str,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    *,
    operands: Sequence[str] = ("inp",),
    equation: str = "",
    gradients: Sequence[str] = (),
    axes: Sequence[str] = (),
    elementwise: bool = False,
    kink: float | None = None,
) -> Op:
    """Makes an operation from two functions on numpy arrays, registers it, and returns it; call it like bp.relu.

    forward      (*arrays, **params) -> array
    backward     (dout, *arrays, **params) -> the gradient of each operand, an array or a tuple of arrays (None: it has
                 none), each in the shape of its operand; dout has the shape of the result
    operands, equation, gradients, axes, elementwise, kink: see Op; they are used by messages and explanations

    The result works on the tape, in layers (`bp.Activation(op)`), in a Model, in gradcheck, in the ledger and in
    explain; compile refuses it, as the C core cannot compute it. All arrays are of one dtype, float32 or float64.
    Raises ValueError for a name that is taken or cannot be printed.

        leaky_relu = bp.define_op(
            "my_leaky_relu",
            forward=lambda x, slope=0.01: np.where(x > 0, x, slope * x),
            backward=lambda dout, x, slope=0.01: np.where(x > 0, dout, slope * dout),
            elementwise=True,
            kink=0.0,
        )
    """
    return register(
        _FromArrays(name, forward, backward, tuple(operands)).op(
            equation=equation, gradients=tuple(gradients), axes=tuple(axes), elementwise=elementwise, kink=kink
        )
    )


class _FromArrays:
    """An operation's functions on tensors, made from functions on arrays."""

    def __init__(
        self, name: str, forward: Callable[..., Any], backward: Callable[..., Any], operands: tuple[str, ...]
    ) -> None:
        self.name, self.compute, self.differentiate, self.operands = name, forward, backward, operands

    def op(self, **facts: Any) -> Op:
        self.record = Op(
            self.name,
            self.forward,
            self.backward,
            self.operands,
            grad=self.grad,
            lesson_grad=f"{self.name}.grad",
            **facts,
        )
        return self.record

    def forward(self, *values: Any, **params: Any) -> Tensor:
        inputs = operands_of(self.name, self._named(values))
        arrays = [t._array for t in inputs]
        with np.errstate(all="ignore"):
            result = np.asarray(self.compute(*arrays, **params), inputs[0].dtype)
        if any(np.may_share_memory(result, array) for array in arrays):
            result = result.copy()
        return tape.record(wrap(result), self.record, inputs, inputs, params)

    def backward(
        self, inputs: Sequence[Tensor], saved: Sequence[Tensor], dout: Tensor, sink: Any, **params: Any
    ) -> None:
        with np.errstate(all="ignore"):
            results = self.differentiate(dout._array, *(t._array for t in inputs), **params)
        gradients = results if isinstance(results, tuple) else (results,)
        if len(gradients) != len(inputs):
            raise GradientError(
                f"{self.name}: its backward returned {len(gradients)} gradients for {len(inputs)} operands; return one "
                "for each, in their order, and None for an operand without one"
            )
        for role, tensor, gradient in zip(self.operands, inputs, gradients, strict=True):
            if gradient is not None and sink.wants(tensor):
                self._put(role, tensor, np.asarray(gradient), sink)

    def _put(self, role: str, tensor: Tensor, gradient: Array, sink: Any) -> None:
        if gradient.shape != tensor.shape:
            raise ShapeError(
                f"{self.name}: its backward returned a gradient of shape {gradient.shape} for {role} of shape "
                f"{tensor.shape}; a gradient has one number for each number of its tensor"
            )
        buffer = sink.put(tensor, lambda into: np.copyto(into._array, gradient, casting="same_kind"))
        if buffer is not None and observer.active is not None:
            observer.active.ran(f"{self.name}_grad", buffer._array, tensor._array)

    def grad(self, *values: Any, **params: Any) -> None:
        """(*operands, out, **params): sets the `.g` of the operands from out.g."""
        *operands, out = values
        dout = upstream_of(f"{self.name}.grad", out)
        inputs = operands_of(f"{self.name}.grad", self._named(operands))
        self.backward(inputs, inputs, dout, tape.Explicit(f"{self.name}.grad", *operands), **params)

    def _named(self, values: Sequence[Any]) -> dict[str, Any]:
        if len(values) != len(self.operands):
            expected = ", ".join(self.operands)
            raise TypeError(f"{self.name}: found {len(values)} operands, expected {len(self.operands)}: {expected}")
        return dict(zip(self.operands, values, strict=True))
