"""The layers: Lin, the activations, and the losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, param
from pybackprop.core import native
from pybackprop.core.arrays import float_type
from pybackprop.core.checks import width
from pybackprop.core.errors import ShapeError
from pybackprop.nn.initial import he_uniform, parameter_stream, zero_bias
from pybackprop.nn.module import Module
from pybackprop.ops import (
    BINARY_CROSS_ENTROPY,
    CROSS_ENTROPY,
    LEAKY_RELU,
    MSE,
    RELU,
    RELU_,
    SIGMOID,
    TANH,
    Op,
    lin,
    lin_grad,
)
from pybackprop.ops.leaky_relu import SLOPE

__all__ = [
    "Activation",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "LeakyRelu",
    "Lin",
    "Loss",
    "Mse",
    "Relu",
    "Sigmoid",
    "Tanh",
]

NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


class Lin(Module):
    """inp @ w + b, from parameters or from sizes.

    Lin(w, b)     w (m,h) and b (h), or None for no bias; both become parameters
    Lin(784, 50)  m inputs and h outputs: w is He-uniform, in [-a, a) with a = sqrt(6 / m), and b is 0

    seed   of w, 0 unless given. It gives the same bits on every machine, those of the first layer of mlp; layers of
           one network need different seeds, as their weights would otherwise be equal or correlated
    bias   False: no bias
    dtype  float32 unless given

    Raises ShapeError for parameters that do not fit each other, and for only one size; ValueError for a size that is
    not a whole number from 1, or a seed outside 0 .. 2**64 - 1; DTypeError for another dtype; TypeError for seed, bias
    or dtype together with arrays.
    """

    w: Tensor

    def __init__(
        self, w: Any, b: Any = None, *, seed: int | None = None, bias: bool | None = None, dtype: Any = None
    ) -> None:
        if bias is not None and not isinstance(bias, (bool, np.bool_)):
            raise TypeError(f"Lin: found bias of type {type(bias).__name__}, expected True or False; Lin(w, b) takes b")
        if _is_number(w) or _is_number(b):
            self.w, self.b = _from_sizes(w, b, 0 if seed is None else seed, bias is None or bool(bias), dtype)
            return
        if (seed, bias, dtype) != (None, None, None):
            raise TypeError("Lin: seed, bias and dtype go with sizes, as in Lin(784, 50, seed=0); leave them out here")
        self.w = _parameter(w)
        self.b = None if b is None else _parameter(b)
        if self.w.ndim != 2 or (self.b is not None and self.b.shape != self.w.shape[1:]):
            shapes = f"w {self.w.shape}" + ("" if self.b is None else f" and b {self.b.shape}")
            raise ShapeError(f"Lin: found {shapes}, expected w (inputs, outputs) and b (outputs,)")

    def forward(self, inp: Any) -> Tensor:
        """out (n,h) = inp (n,m) @ w + b. Raises as bp.lin does."""
        return lin(inp, self.w, self.b)

    def bwd(self, out: Tensor, inp: Any) -> None:
        """Sets inp.g (n,m), w.g (m,h) and b.g (h) from out.g (n,h). Raises as bp.lin_grad does."""
        lin_grad(inp, out, self.w, self.b)

    def __repr__(self) -> str:
        return f"Lin({self.w.shape[0]}, {self.w.shape[1]}{', no bias' if self.b is None else ''})"


class Activation(Module):
    """An operation on one operand as a layer: op(inp, **params).

    op       one of this package's operations, or one made with bp.define_op
    params   its further arguments
    inplace  the operation that overwrites its input with the same values; None where there is none

    A plan (bp.compile) takes it only if the C core can compute the operation, that is, if op.activation is set.
    Raises TypeError if op is not an operation or does not take the arguments, ValueError for those out of range.
    A function needs no layer: a Model takes it as it is.
    """

    op: Op
    params: Mapping[str, Any] = NO_PARAMS
    inplace: Op | None = None

    def __init__(self, op: Op, /, **params: Any) -> None:
        if not isinstance(op, Op):
            raise TypeError(
                f"Activation: found {getattr(op, '__name__', type(op).__name__)}, expected an operation, such as "
                "those of bp.define_op; a Model takes a function as it is"
            )
        _check_params(op, params)
        self.op = op
        if params:
            self.params = params

    def forward(self, inp: Any) -> Tensor:
        """op(inp, **params), recorded on the tape."""
        result: Tensor = self.op(inp, **self.params)
        return result

    def bwd(self, out: Tensor, inp: Any) -> None:
        """Sets inp.g from out.g. Raises NotImplementedError for an operation without such a function."""
        if self.op.grad is None:
            raise NotImplementedError(f"{self!r}: no function sets the gradients of '{self.op.name}' by hand")
        self.op.grad(inp, out, **self.params)

    def __repr__(self) -> str:
        params = "".join(f", {name}={value!r}" for name, value in self.params.items())
        return f"Activation({self.op.name}{params})"


class Relu(Activation):
    """max(inp, 0), elementwise."""

    op = RELU
    inplace: Op = RELU_

    def __init__(self) -> None:
        pass

    def __repr__(self) -> str:
        return "Relu()"


class LeakyRelu(Activation):
    """inp where inp > 0, else negative_slope * inp, elementwise.

    Raises ValueError for a slope that is not positive and finite. Source: see bp.leaky_relu.
    """

    op: Op = LEAKY_RELU

    def __init__(self, negative_slope: float = SLOPE) -> None:
        _check_params(LEAKY_RELU, {"negative_slope": negative_slope})
        self.params: dict[str, Any] = {"negative_slope": negative_slope}

    @property
    def negative_slope(self) -> float:
        """What negative inputs are multiplied by."""
        slope: float = self.params["negative_slope"]
        return slope

    def __repr__(self) -> str:
        return f"LeakyRelu({self.negative_slope})"


class Sigmoid(Activation):
    """1 / (1 + exp(-inp)), elementwise."""

    op = SIGMOID

    def __init__(self) -> None:
        pass

    def __repr__(self) -> str:
        return "Sigmoid()"


class Tanh(Activation):
    """The hyperbolic tangent, elementwise."""

    op = TANH

    def __init__(self) -> None:
        pass

    def __repr__(self) -> str:
        return "Tanh()"


class Loss(Module):
    """A loss as a layer. It ends the network, so its backward starts from 1 and needs no out.g."""

    op: Op

    def forward(self, inp: Any, targ: Any) -> Tensor:
        """The loss, one number, of inp (n,h) and its targets. Raises as the operation does."""
        loss: Tensor = self.op.forward(inp, targ)
        return loss

    def bwd(self, out: Tensor, inp: Any, targ: Any) -> None:
        """Sets inp.g. Raises as the operation's gradient does."""
        self.op.grad(inp, targ)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Mse(Loss):
    """The mean of (inp - targ)**2, of inp and targ (n,h): bp.mse."""

    op = MSE


class CrossEntropy(Loss):
    """The mean over rows of -log(softmax(inp))[i, targ[i]], of inp (n,h) and labels (n) or probabilities (n,h):
    bp.cross_entropy.
    """

    op = CROSS_ENTROPY


class BinaryCrossEntropy(Loss):
    """The mean of -log(sigmoid(inp)) where targ is 1, of -log(1 - sigmoid(inp)) where it is 0, of inp and targ (n,h):
    bp.binary_cross_entropy_with_logits.
    """

    op = BINARY_CROSS_ENTROPY


def _by_operation(kind: type[Any]) -> dict[str, Any]:
    """This package's layers of a kind, by the names of their operations."""
    layers = [globals()[name] for name in __all__]
    return {layer.op.name: layer for layer in layers if issubclass(layer, kind) and layer is not kind}


ACTIVATIONS: dict[str, Callable[[], Activation]] = _by_operation(Activation)
LOSSES: dict[str, type[Loss]] = _by_operation(Loss)


def _check_params(op: Op, params: Mapping[str, Any]) -> None:
    """Raises TypeError for arguments that an activation does not take; other operations check their own."""
    if op.activation is None:
        return
    for name in params:
        if name not in op.defaults:
            known = ", ".join(op.defaults) or "no arguments"
            raise TypeError(f"Activation: found {name}={params[name]!r}, but {op.name} takes {known}")
    if op.check is not None:
        op.check(native.FLOAT64, **{**op.defaults, **params})


def _is_number(value: Any) -> bool:
    """Whether value is meant as a size: a Python or numpy number, not an array or tensor."""
    return isinstance(value, (int, float, complex, np.generic))


def _from_sizes(m: Any, h: Any, seed: Any, bias: bool, dtype: Any) -> tuple[Tensor, Tensor | None]:
    """The parameters of Lin(m, h)."""
    if not (_is_number(m) and _is_number(h)):
        operands = " and ".join(_said(value) for value in (m, h) if value is not None)
        raise ShapeError(
            f"Lin: found {operands}, expected two sizes, inputs and outputs: Lin(784, 50); "
            "or two arrays, w (inputs, outputs) and b (outputs,): Lin(w, b)"
        )
    m, h = width("Lin", m), width("Lin", h)
    real = float_type(np.float32 if dtype is None else dtype)
    w, b = he_uniform("Lin", m, h, real, parameter_stream(seed)), zero_bias(h, real) if bias else None
    return _parameter(w), None if b is None else _parameter(b)


def _said(value: Any) -> str:
    return f"the size {value!r}" if _is_number(value) else f"an array of shape {np.shape(value)}"


def _parameter(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        return param(value)
    value.requires_g = True
    return value
