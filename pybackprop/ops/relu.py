"""relu: out = max(x, 0), in a new buffer or in place, and its gradient. In C: csrc/ops/relu.c.

All raise ShapeError for shapes that do not fit, DTypeError for mixed dtypes or data that is not real, GradientError
for a gradient that is missing or whose values were overwritten, ValueError for an out that is read-only, not
contiguous, or overlaps an operand. Nothing is written before all checks pass.
Sources: fast.ai's lesson "backpropagation from the foundations"; Parr & Howard, "The Matrix Calculus You Need For Deep
Learning" (arXiv:1802.01528).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pybackprop.autograd import messages, tape
from pybackprop.autograd.messages import describe
from pybackprop.autograd.tape import Explicit, Sink, record
from pybackprop.autograd.tensor import Tensor, foreign
from pybackprop.autograd.versions import GradientVersion
from pybackprop.core import native, observer
from pybackprop.core.arrays import Array
from pybackprop.core.errors import DTypeError, GradientError
from pybackprop.ops.checks import check_same, operands, output, overlaps_itself, refuse_overlap, upstream_of
from pybackprop.ops.op import Counterpart, Op, register
from pybackprop.ops.short import calls

__all__ = ["RELU", "RELU_", "relu", "relu_", "relu_grad"]

INPLACE_GRAD = "relu_grad(inplace=True)"


def relu(x: ArrayLike, out: Tensor | Array | None = None) -> Tensor:
    """out = x where x > 0, else 0; NaN stays NaN. x: a tensor or array of any shape, float32 or float64.

    out: a tensor or array of that shape and dtype to write to, as in lin. On the tape if x has requires_g.
    Raises DTypeError for data that is not real, ShapeError for an out of another shape, GradientError for an x whose
    values mse_grad(inplace=True) has overwritten, and for an out that is a parameter; ValueError for an out that is
    read-only, not contiguous, or overlaps x.
    """
    if out is None and (short := _short_relu(x)) is not None:
        return short
    (inp,) = operands("relu", x=x)
    result: Tensor = inp.new_like() if out is None else output("relu", out, inp.shape, x=inp)
    native.relu_forward[inp.dtype](result.pointer(), inp.contiguous().pointer(), inp.size)
    return record(result, RELU, (inp,), (inp,))


def relu_(x: Tensor | Array) -> Tensor:
    """relu in place: overwrites x, of any shape, and returns it. Its backward needs only the output.

    x: a tensor, or an array of float32 or float64 (the result is then a tensor that shares its memory).
    Raises GradientError for a parameter, whose values would be lost, and for a tensor that may share memory with one
    on the tape; the backward raises it if another operation still needs the old values. DTypeError for other data,
    which cannot be overwritten; ValueError for memory that is read-only, or that several elements share.
    """
    tensor = x if isinstance(x, Tensor) else _shared(x)
    _refuse_relu_(tensor)
    if overlaps_itself(tensor._array):
        raise ValueError("relu_: several elements of x share memory; use relu")
    tensor.touch("relu_")
    before, after = tensor.alias(), tensor.alias()
    before._node, before._origin, before.requires_g = tensor._node, tensor._origin, tensor.requires_g
    result = tensor.contiguous()
    native.relu_forward[tensor.dtype](result.pointer(), result.pointer(), result.size)
    if result is not tensor:
        np.copyto(tensor._array, result._array)
    return record(tensor, RELU_, (before,), (after,))


def _refuse_relu_(tensor: Tensor) -> None:
    if tensor.holds_its_gradient():
        raise GradientError(messages.spoiled("relu_", "x", tensor))
    if not tensor.requires_g:
        return
    if tensor._node is None:
        raise GradientError(f"relu_: {describe(tensor)} is a parameter; overwriting it would lose its values. Use relu")
    if tape.may_share(tensor):
        raise GradientError(
            f"relu_: {describe(tensor)} came from '{tensor._node.op.name}' and may share the memory of a tensor "
            "on the tape, whose gradient would then be wrong. Use relu"
        )


def _shared(x: Any) -> Tensor:
    if not isinstance(x, np.ndarray) or x.dtype not in (native.FLOAT32, native.FLOAT64):
        raise DTypeError(
            f"relu_: found {getattr(x, 'dtype', type(x).__name__)}, expected a tensor or an array of float32 or "
            "float64: other data cannot be overwritten with the result; use relu"
        )
    return foreign(x)


def relu_grad(inp: Tensor, out: Tensor, inplace: bool = False) -> None:
    """inp.g = (inp > 0) * out.g: each out[i,j] depends only on inp[i,j], hence * and not @.

    inp and out: of one shape and dtype. inplace: overwrites out.g, whose buffer becomes inp.g; out.g is then None.
    Raises GradientError for an inp that is not a tensor, and if out.g is missing or belongs to earlier values of out;
    ShapeError and DTypeError where the two differ; ValueError for inplace=True where out.g overlaps inp.
    """
    if not inplace and _short_relu_grad(inp, out) is not None:
        return
    if not isinstance(inp, Tensor):
        raise GradientError(f"relu_grad: inp is a {type(inp).__name__}, which has no .g; make it with bp.tensor")
    dout = upstream_of("relu_grad", out)
    x, _ = operands("relu_grad", inp=inp, out=dout)
    check_same("relu_grad", inp=x, out=out)
    if inplace:
        if not x._version.own or not isinstance(dout._version, GradientVersion):
            refuse_overlap(INPLACE_GRAD, dout._array, inp=x._array)
        dout._version.wrote(INPLACE_GRAD)
        _relu_dx(x, dout, dout)
        out.lose_g(TAKEN)
        x._g = dout
    else:
        relu_backward((x,), (x,), dout, Explicit("relu_grad", inp))
    if inplace or x is out:
        x.place_g(through=x is out)


TAKEN = (
    "relu_grad(inplace=True) wrote inp.g over it: its buffer now holds inp.g. Read inp.g, or use inplace=False to "
    "keep both"
)
messages.remedies["relu_"] = "Use relu, which keeps its input"


def relu_backward(inputs: Sequence[Tensor], saved: Sequence[Tensor], dout: Tensor, sink: Sink) -> None:
    """saved: relu's input or output, which are positive in the same places."""
    sink.put(inputs[0], partial(_relu_dx, saved[0], dout))


def _relu_dx(saved: Tensor, dout: Tensor, dx: Tensor) -> None:
    call = native.relu_backward[saved.dtype]
    call(dx.pointer(), saved.contiguous().pointer(), dout.contiguous().pointer(), saved.size)
    if observer.active is not None:
        observer.active.ran("relu_grad", dx._array, saved._array, dout._array)


RELU = register(
    Op(
        "relu",
        relu,
        relu_backward,
        operands=("inp",),
        equation="out = inp where inp > 0, else 0",
        gradients=("(inp > 0) * out.g",),
        references=("relu_forward", "relu_backward"),
        grad=relu_grad,
        lesson_grad="relu_grad",
        elementwise=True,
        kink=0.0,
        activation="relu",
        torch=Counterpart("ReLU"),
        onnx=Counterpart("Relu"),
    )
)
RELU_ = register(replace(RELU, name="relu_", forward=relu_, replayed=relu, inplace=True, lesson_grad=""))
_short_relu, _short_relu_grad = calls(RELU)
