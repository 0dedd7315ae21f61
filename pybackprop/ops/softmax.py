"""softmax and log_softmax: of each row, and their gradients. In C: csrc/ops/softmax.c."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from numpy.typing import ArrayLike

from pybackprop.autograd.tape import Explicit, Sink, record
from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native, observer
from pybackprop.core.errors import GradientError, ShapeError
from pybackprop.ops.checks import check_same, operands, upstream_of
from pybackprop.ops.op import Counterpart, Op, register

__all__ = ["LOG_SOFTMAX", "SOFTMAX", "log_softmax", "log_softmax_grad", "softmax", "softmax_grad"]


def softmax(x: ArrayLike) -> Tensor:
    """exp(x) / exp(x).sum(-1, keepdims=True): each row's numbers as probabilities that add up to 1.

    x: of any shape but a single number; a row is along the last axis. Large numbers do not overflow.
    Raises ShapeError for a single number, DTypeError for data that is not real.
    """
    return _forward(SOFTMAX, native.softmax_forward, x)


def softmax_grad(inp: Tensor, out: Tensor) -> None:
    """inp.g = out * (out.g - (out.g * out).sum(-1)): each of a row's outputs depends on all of its inputs.

    inp and out: of one shape and dtype. Raises as relu_grad does.
    """
    _grad("softmax_grad", native.softmax_backward, inp, out)


def log_softmax(x: ArrayLike) -> Tensor:
    """log(softmax(x)), computed as x - log(exp(x).sum(-1, keepdims=True)). x and errors as for softmax."""
    return _forward(LOG_SOFTMAX, native.log_softmax_forward, x)


def log_softmax_grad(inp: Tensor, out: Tensor) -> None:
    """inp.g = out.g - exp(out) * out.g.sum(-1). inp, out and errors as for softmax_grad."""
    _grad("log_softmax_grad", native.log_softmax_backward, inp, out)


def _forward(op: Op, call: native.ByDtype, value: Any) -> Tensor:
    (x,) = operands(op.name, x=value)
    n, h = _rows(op.name, x)
    out: Tensor = x.new_like()
    native.check(call[x.dtype](out.pointer(), x.contiguous().pointer(), n, h))
    return record(out, op, (x,), (out.alias(),))


def _rows(operation: str, x: Tensor) -> tuple[int, int]:
    """(how many rows, their length)."""
    if x.ndim == 0:
        raise ShapeError(f"{operation}: found one number, x of shape (), expected rows of numbers; use x[None]")
    h = x.shape[-1]
    return (x.size // h if h else 0), h


def _grad(operation: str, call: native.ByDtype, inp: Any, out: Tensor) -> None:
    if not isinstance(inp, Tensor):
        raise GradientError(f"{operation}: inp is a {type(inp).__name__}, which has no .g; make it with bp.tensor")
    dout = upstream_of(operation, out)
    x, y, _ = operands(operation, inp=inp, out=out, dout=dout)
    check_same(operation, inp=x, out=y)
    Explicit(operation, inp).put(x, partial(_fill, operation, call, y, dout))


def _fill(operation: str, call: native.ByDtype, out: Tensor, dout: Tensor, dx: Tensor) -> None:
    pointers = dx.pointer(), out.contiguous().pointer(), dout.contiguous().pointer()
    native.check(call[out.dtype](*pointers, *_rows(operation, out)))
    if observer.active is not None:
        observer.active.ran(operation, dx._array, out._array, dout._array)


def _backward(operation: str, call: native.ByDtype) -> Callable[..., None]:
    """saved: the result, which alone tells the gradient."""

    def backward(inputs: Sequence[Tensor], saved: Sequence[Tensor], dout: Tensor, sink: Sink) -> None:
        sink.put(inputs[0], partial(_fill, operation, call, saved[0], dout))

    return backward


SOFTMAX = register(
    Op(
        "softmax",
        softmax,
        _backward("softmax_grad", native.softmax_backward),
        operands=("inp",),
        equation="out[i,j] = exp(inp[i,j]) / Σ_k exp(inp[i,k])",
        gradients=("out * (out.g - (out.g * out).sum(1))",),
        axes=("ij", "ij"),
        references=("softmax_forward", "softmax_backward"),
        grad=softmax_grad,
        lesson_grad="softmax_grad",
        torch=Counterpart("Softmax", fixed={"dim": 1}),
        onnx=Counterpart("Softmax", fixed={"axis": 1}),
    )
)
LOG_SOFTMAX = register(
    Op(
        "log_softmax",
        log_softmax,
        _backward("log_softmax_grad", native.log_softmax_backward),
        operands=("inp",),
        equation="out[i,j] = inp[i,j] - log(Σ_k exp(inp[i,k]))",
        gradients=("out.g - exp(out) * out.g.sum(1)",),
        axes=("ij", "ij"),
        references=("log_softmax_forward", "log_softmax_backward"),
        grad=log_softmax_grad,
        lesson_grad="log_softmax_grad",
        torch=Counterpart("LogSoftmax", fixed={"dim": 1}),
        onnx=Counterpart("LogSoftmax", fixed={"axis": 1}),
    )
)
