"""lin: out = x @ w + b, and its gradients. x (n,m), w (m,h), b (h): n samples, m inputs, h outputs.

`lin` is also recorded on the tape if an operand has requires_g. `lin_grad` is the lesson's function: it reads `out.g`
and sets the `.g` of every operand that is a tensor. Data may be a Tensor or an array. In C: csrc/ops/linear.c.

All raise ShapeError for shapes that do not fit, DTypeError for mixed dtypes or data that is not real, GradientError
for a gradient that is missing or whose values were overwritten, ValueError for an out that is read-only, not
contiguous, or overlaps an operand. Nothing is written before all checks pass.
Sources: fast.ai's lesson "backpropagation from the foundations"; Parr & Howard, "The Matrix Calculus You Need For Deep
Learning" (arXiv:1802.01528).
"""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from pybackprop.autograd import messages
from pybackprop.autograd.tape import Explicit, Sink, record
from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core import native, observer
from pybackprop.core.arrays import Array, empty
from pybackprop.core.errors import GradientError, ShapeError
from pybackprop.ops.checks import check_lin, operands, output, refuse_lost, upstream_of
from pybackprop.ops.op import Op, register
from pybackprop.ops.short import calls

__all__ = ["LIN", "lin", "lin_grad"]


def lin(x: ArrayLike, w: ArrayLike, b: ArrayLike | None = None, out: Tensor | Array | None = None) -> Tensor:
    """out (n,h) = x (n,m) @ w (m,h) + b (h): out[i,j] = sum over k of x[i,k] w[k,j], plus b[j].

    x, w, b  tensors or arrays of one dtype, float32 or float64; other data takes the dtype of the tensors.
             b is one number for each column of w, or None
    out      a tensor or array to write to, which is then the result (for an array: a tensor that shares its memory)

    On the tape if an operand has requires_g. Raises ShapeError for shapes that do not fit, DTypeError for mixed dtypes
    or data that is not real, GradientError for an operand whose values mse_grad(inplace=True) has overwritten, or an
    out that is a parameter; ValueError for an out that is read-only, not contiguous, or overlaps an operand.
    """
    if out is None and (short := _short_lin(x, w, b)) is not None:
        return short
    inp, weights, bias = operands("lin", x=x, w=w, b=b)
    n, m, h = check_lin("lin", inp, weights, bias)
    dtype = inp.dtype
    result = wrap(empty("lin", (n, h), dtype)) if out is None else output("lin", out, (n, h), x=inp, w=weights, b=bias)
    b_pointer = native.NULL if bias is None else bias.contiguous().pointer()
    call = native.linear_forward[dtype]
    pointers = result.pointer(), inp.contiguous().pointer(), weights.contiguous().pointer(), b_pointer
    native.check(call(*pointers, n, m, h))
    inputs = (inp, weights) if bias is None else (inp, weights, bias)
    return record(result, LIN, inputs, needed(inp, weights), products=((n, m, h),))


def lin_grad(inp: ArrayLike, out: Tensor, w: ArrayLike, b: ArrayLike | None = None) -> None:
    """inp.g = out.g @ w.T, w.g = inp.T @ out.g, b.g = out.g.sum(0): the gradients of out = lin(inp, w, b).

    inp (n,m), w (m,h), b (h) and out (n,h), of one dtype. Reads out.g; sets the .g of each operand that is a tensor.
    w[k,j] enters column j of out, in every row i, with the factor inp[i,k]: so w.g[k,j] sums inp[i,k] out.g[i,j] over
    the rows, which is the matrix product inp.T @ out.g. b[j] enters the same column with the factor 1.
    Raises GradientError if out.g is missing or belongs to values that out no longer has, or if out is an operand;
    ShapeError, DTypeError as lin does. Nothing is written before all checks pass.
    """
    if _short_lin_grad(inp, out, w, b) is not None:
        return
    dout = upstream_of("lin_grad", out)
    x, weights, bias, _ = operands("lin_grad", inp=inp, w=w, b=b, out=dout)
    n, _, h = check_lin("lin_grad", x, weights, bias)
    if out.shape != (n, h):
        raise ShapeError(f"lin_grad: found out of shape {out.shape}, expected {(n, h)}, the shape of inp @ w")
    if out is inp or out is w or out is b:
        raise GradientError("lin_grad: out is one of the operands; one .g cannot hold both gradients")
    if out._node is not None and out._node.op.inplace and not (out._g_place and out._g_place.through):
        raise GradientError(messages.not_yet_through(out))
    if not x._version.own or not weights._version.own or dout._version.foreign:
        refuse_lost("lin_grad", (x, weights, bias), (x, weights, dout))
    inputs = (x, weights) if bias is None else (x, weights, bias)
    lin_backward(inputs, (), dout, Explicit("lin_grad", inp, w, b))


def needed(x: Tensor, w: Tensor) -> list[Tensor]:
    """What the backward of a product reads: x for the gradient of w, w for that of x."""
    return [factor for factor, differentiated in ((x, w), (w, x)) if differentiated.requires_g]


def lin_backward(inputs: Sequence[Tensor], saved: Sequence[Tensor], dout: Tensor, sink: Sink) -> None:
    """Computes those gradients of x, w and, if there is one, b that sink asks for."""
    x, w, *bias = inputs
    (n, m), h = x.shape, w.shape[1]
    if w.shape[0] != m or dout.shape != (n, h):  # C trusts these
        raise ShapeError(
            f"lin_grad: x {x.shape} @ w {w.shape} does not give out.g {dout.shape}: an operand's shape was changed "
            "after the forward pass. Run forward again"
        )
    dout = dout.contiguous()
    if into_x := sink.into(x):
        call = native.linear_backward_x[x.dtype]
        native.check(call(into_x[0].pointer(), dout.pointer(), w.contiguous().pointer(), n, m, h, into_x[1]))
        if observer.active is not None:
            observer.active.ran("lin_grad: inp.g", into_x[0]._array, dout._array, w._array, products=((n, h, m),))
    into_w = sink.into(w)
    into_b = sink.into(bias[0]) if bias else None
    if into_w and into_b and into_w[1] == into_b[1]:
        _both(into_w[0], into_b[0], x, dout, into_w[1])
        return
    if into_w:
        call = native.linear_backward_w[x.dtype]
        native.check(call(into_w[0].pointer(), x.contiguous().pointer(), dout.pointer(), n, m, h, into_w[1]))
        if observer.active is not None:
            observer.active.ran("lin_grad: w.g", into_w[0]._array, x._array, dout._array, products=((m, n, h),))
    for b in bias:
        bias_backward(b, dout, into_b)


def _both(dw: Tensor, db: Tensor, x: Tensor, dout: Tensor, add: bool) -> None:
    """dw = x.T @ dout and db = dout.sum(0), reading dout once."""
    (n, m), h = x.shape, dout.shape[1]
    call = native.linear_backward_wb[x.dtype]
    native.check(call(dw.pointer(), db.pointer(), x.contiguous().pointer(), dout.pointer(), n, m, h, add))
    if observer.active is not None:
        arrays = (dw._array, db._array, x._array, dout._array)
        observer.active.ran("lin_grad: w.g, b.g", *arrays, products=((m, n, h),))


def bias_backward(b: Tensor, dout: Tensor, into: tuple[Tensor, bool] | None) -> None:
    """db = dout.sum(0)"""
    if into:
        call = native.linear_backward_b[b.dtype]
        native.check(call(into[0].pointer(), dout.contiguous().pointer(), *dout.shape, into[1]))
        if observer.active is not None:
            observer.active.ran("lin_grad: b.g", into[0]._array, dout._array)


LIN = register(
    Op(
        "lin",
        lin,
        lin_backward,
        operands=("x", "w", "b"),
        equation="out[i,j] = Σ_k x[i,k] w[k,j] + b[j]",
        gradients=("out.g @ w.T", "x.T @ out.g", "out.g.sum(0)"),
        axes=("ik", "kj", "j", "ij"),
        references=("linear_forward", "linear_backward_x", "linear_backward_w", "linear_backward_b"),
        grad=lin_grad,
        lesson_grad="lin_grad",
    )
)
_short_lin, _short_lin_grad = calls(LIN)
