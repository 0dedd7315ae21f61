"""The lesson's functions: lin, relu, mse, and their gradients, each forward beside its backward.

The `_grad` functions are the lesson's: they read `out.g` and set the `.g` of every operand that is a
tensor, with nothing hidden. The forward functions also go on the tape where an operand wants a
gradient. Data may be a Tensor or an array. x (n,m), w (m,h), b (h): n samples, m inputs, h outputs.

All raise ShapeError for shapes that do not fit, DTypeError for mixed dtypes or what is no real
number, GradientError for a gradient that is not there yet, or whose values were overwritten, ValueError for
an out that is read-only, not contiguous, or overlaps what is read; nothing is written before all checks pass.
Sources: fast.ai's lesson "backpropagation from the foundations"; Parr & Howard, "The Matrix Calculus
You Need For Deep Learning" (arXiv:1802.01528).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from pybackprop.autograd import messages, versions
from pybackprop.autograd.messages import describe
from pybackprop.autograd.tape import Backward, Explicit, Sink, record
from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.autograd.versions import Foreign
from pybackprop.core import native
from pybackprop.core.arrays import empty, on_a_line
from pybackprop.core.errors import DTypeError, GradientError, ShapeError
from pybackprop.ops.checks import (
    check_lin,
    check_mse,
    check_same,
    operands,
    output,
    overlaps_itself,
    refuse_lost,
    refuse_overlap,
    upstream_of,
)

__all__ = ["lin", "lin_grad", "mse", "mse_grad", "relu", "relu_", "relu_grad"]


# ---- lin: out = x @ w + b ----


def lin(x: Any, w: Any, b: Any = None, out: Any = None) -> Tensor:
    """out (n,h) = x (n,m) @ w (m,h) + b (h): out[i,j] = sum over k of x[i,k] w[k,j], plus b[j].

    out: a tensor, or an array, to write to, and then the result (of an array: a tensor that shares its memory).
    """
    x, w, b = operands("lin", x=x, w=w, b=b)
    n, m, h = check_lin("lin", x, w, b)
    out = wrap(empty("lin", (n, h), x.dtype)) if out is None else output("lin", out, (n, h), x=x, w=w, b=b)
    bias = native.NULL if b is None else b.contiguous().pointer()
    call = native.linear_forward[x.dtype]
    native.check(call(out.pointer(), x.contiguous().pointer(), w.contiguous().pointer(), bias, n, m, h))
    inputs = (x, w) if b is None else (x, w, b)
    return record(out, "lin", inputs, partial(lin_backward, *inputs), needed(x, w))


def lin_grad(inp: Any, out: Tensor, w: Any, b: Any = None) -> None:
    """inp.g = out.g @ w.T, w.g = inp.T @ out.g, b.g = out.g.sum(0): the gradients of lin(inp, w, b).

    w[k,j] moves column j of out, in every row i, by inp[i,k] each: so w.g[k,j] adds inp[i,k] out.g[i,j]
    over the rows, which is the matrix product inp.T @ out.g. b[j] moves the same column by 1 each.
    """
    dout = upstream_of("lin_grad", out)
    x, weights, bias, _ = operands("lin_grad", inp=inp, w=w, b=b, out=dout)
    n, _, h = check_lin("lin_grad", x, weights, bias)
    if out.shape != (n, h):
        raise ShapeError(f"lin_grad: found out of shape {out.shape}, expected {(n, h)}, the shape of inp @ w")
    if out is inp or out is w or out is b:
        raise GradientError("lin_grad: out is one of the operands; its .g can't be both their gradient and out's")
    if out._node is not None and out._node.operation == "relu_" and not out._g_at[2:]:
        raise GradientError(messages.not_yet_through_relu(out))
    if type(x._version) is not list or type(weights._version) is not list or type(dout._version) is Foreign:
        refuse_lost("lin_grad", (x, weights, bias), (x, weights, dout))
    inputs = (x, weights) if bias is None else (x, weights, bias)
    lin_backward(*inputs, dout, Explicit("lin_grad", inp, w, b))


def needed(x: Tensor, w: Tensor) -> list[Tensor]:
    """What the backward of a product reads: x for the gradient of w, w for that of x."""
    return [value for value, other in ((x, w), (w, x)) if other.requires_g]


def lin_backward(x: Tensor, w: Tensor, *rest: Any) -> None:
    """(x, w[, b], dout, sink): the gradients that sink wants, from dout, the gradient of the output."""
    *bias, dout, sink = rest
    (n, m), h = x.shape, w.shape[1]
    dout = dout.contiguous()
    if found := sink.into(x):
        call = native.linear_backward_x[x.dtype]
        native.check(call(found[0].pointer(), dout.pointer(), w.contiguous().pointer(), n, m, h, found[1]))
    into_w = sink.into(w)
    into_b = sink.into(bias[0]) if bias else None
    if into_w and into_b and into_w[1] == into_b[1]:
        both, places = native.linear_backward_wb[x.dtype], (into_w[0].pointer(), into_b[0].pointer())
        native.check(both(*places, x.contiguous().pointer(), dout.pointer(), n, m, h, into_w[1]))
        return
    if into_w:
        call = native.linear_backward_w[x.dtype]
        native.check(call(into_w[0].pointer(), x.contiguous().pointer(), dout.pointer(), n, m, h, into_w[1]))
    for b in bias:
        bias_backward(b, dout, into_b)


def bias_backward(b: Any, dout: Tensor, found: tuple[Tensor, bool] | None) -> None:
    """db = dout.sum(0)"""
    if found:
        call = native.linear_backward_b[b.dtype]
        native.check(call(found[0].pointer(), dout.contiguous().pointer(), *dout.shape, found[1]))


# ---- relu: out = max(x, 0) ----


def relu(x: Any, out: Any = None) -> Tensor:
    """out = x where x > 0, else 0 (NaN stays NaN). Any shape. out: as in lin."""
    (x,) = operands("relu", x=x)
    out = x.new_like() if out is None else output("relu", out, x.shape, x=x)
    native.relu_forward[x.dtype](out.pointer(), x.contiguous().pointer(), x.size)
    return record(out, "relu", (x,), partial(relu_backward, x, x), (x,))


def relu_(x: Any) -> Tensor:
    """relu in place: overwrites x and returns it. Its backward needs only the output.

    Raises GradientError for a parameter (the update would be lost) and, in a backward, where another
    operation still needs the values from before.
    """
    tensor = x if isinstance(x, Tensor) else _shared(x)
    _refuse_relu_(tensor)
    if overlaps_itself(tensor._array):
        raise ValueError("relu_: several elements of x lie in one place in memory; use relu")
    tensor.touch("relu_")
    before, after = tensor.alias(), tensor.alias()
    before._node, before.requires_g = tensor._node, tensor.requires_g
    result = tensor.contiguous()
    native.relu_forward[tensor.dtype](result.pointer(), result.pointer(), result.size)
    if result is not tensor:
        np.copyto(tensor._array, result._array)
    return record(tensor, "relu_", *relu_node(before, after))


def relu_node(before: Tensor, after: Tensor) -> tuple[tuple[Tensor], Backward, tuple[Tensor]]:
    """(inputs, backward, saved) of relu_ on the tape. before, after: aliases of its tensor, on the tape and off it."""
    return (before,), partial(relu_backward, before, after), (after,)


def _refuse_relu_(tensor: Tensor) -> None:
    if tensor.holds_its_gradient():
        raise GradientError(messages.spoiled("relu_", "x", tensor))
    if not tensor.requires_g:
        return
    if tensor._node is None:
        raise GradientError(f"relu_: {describe(tensor)} is a parameter; overwriting it would lose its values. Use relu")
    if tensor._node.backward is None:
        raise GradientError(
            f"relu_: {describe(tensor)} came from '{tensor._node.operation}' and may share the memory of a tensor "
            "on the tape, whose gradient would become a lie. Use relu"
        )


def _shared(x: Any) -> Tensor:
    if not isinstance(x, np.ndarray) or x.dtype not in (native.FLOAT32, native.FLOAT64):
        raise DTypeError(
            f"relu_: found {getattr(x, 'dtype', type(x).__name__)}, expected a tensor or an array of float32 or "
            "float64: other data cannot be overwritten with the result; use relu"
        )
    return wrap(x, Foreign((0, None)))


def relu_grad(inp: Tensor, out: Tensor, inplace: bool = False) -> None:
    """inp.g = (inp > 0) * out.g: each out[i,j] moves with its own inp[i,j] alone, hence * and not @.

    inplace: the gradient is written over out.g, whose buffer becomes inp.g; out.g is None then.
    """
    if not isinstance(inp, Tensor):
        raise GradientError(f"relu_grad: inp is a {type(inp).__name__}, which has no .g; make it with bp.tensor")
    dout = upstream_of("relu_grad", out)
    x, _ = operands("relu_grad", inp=inp, out=dout)
    check_same("relu_grad", inp=x, out=out)
    if inplace:
        if type(x._version) is not list or type(dout._version) is not versions.OfGradient:
            refuse_overlap("relu_grad(inplace=True)", dout._array, inp=x._array)
        versions.wrote(dout._version, "relu_grad(inplace=True)")
        _relu_dx(x, dout, dout)
        out._g, out._g_at = None, messages.TAKEN
        x._g = dout
        if x is not out:
            x._g_at = x._version[0], dout._version[0]
    else:
        relu_backward(x, x, dout, Explicit("relu_grad", inp))
    if x is out:
        x._g_at = x._version[0], dout._version[0], "through relu"


def relu_backward(x: Tensor, seen: Tensor, dout: Tensor, sink: Sink) -> None:
    """seen: relu's input or output, which are positive in the same places."""
    sink.put(x, partial(_relu_dx, seen, dout))


def _relu_dx(seen: Tensor, dout: Tensor, dx: Tensor) -> None:
    call = native.relu_backward[seen.dtype]
    call(dx.pointer(), seen.contiguous().pointer(), dout.contiguous().pointer(), seen.size)


# ---- mse: the mean of the squared differences ----


def mse(out: Any, targ: Any) -> Tensor:
    """mean((out - targ)**2) over all elements, as a 0-d tensor that float() accepts.

    Equal shapes, or a column (n,1) against (n,).
    """
    out, targ = operands("mse", out=out, targ=targ)
    n, h = check_mse("mse", out, targ)
    loss = wrap(on_a_line((), out.dtype))
    call = native.mse_forward[out.dtype]
    native.check(call(loss.pointer(), out.contiguous().pointer(), targ.contiguous().pointer(), n, h))
    return record(loss, "mse", (out, targ), partial(mse_backward, out, targ), (out, targ))


def mse_grad(out: Tensor, targ: Any, inplace: bool = False) -> None:
    """out.g = 2 (out - targ) / size; size counts all elements, for the mean was taken over all.

    targ.g, its negative, is set too if targ.requires_g.
    inplace: the gradient is written over out itself, which then shares its memory with out.g.
    """
    if not isinstance(out, Tensor):
        raise GradientError(f"mse_grad: out is a {type(out).__name__}, which has no .g; make it with bp.tensor")
    out, t = operands("mse_grad", out=out, targ=targ)
    check_mse("mse_grad", out, t)
    if t._g is not None:
        refuse_lost("mse_grad", (t,), (out,))
    if inplace:
        _share_gradient(out, t)
    mse_backward(out, t, None, Explicit("mse_grad", out, targ if t.requires_g else None))


def _share_gradient(out: Tensor, targ: Tensor) -> None:
    """Makes out's own memory the place of out.g."""
    refuse_overlap("mse_grad(inplace=True)", out._array, targ=targ._array)
    if not out._array.flags.c_contiguous:
        raise ValueError("mse_grad(inplace=True): out is not contiguous; use a copy (.clone()) or inplace=False")
    out.touch("mse_grad(inplace=True)")
    out._g, out._matrix = out.alias(), None


def mse_backward(out: Tensor, targ: Tensor, dloss: Tensor | None, sink: Sink) -> None:
    sink.put(targ, partial(_mse_dout, out, targ, dloss, -1))
    sink.put(out, partial(_mse_dout, out, targ, dloss, 1))


def _mse_dout(out: Tensor, targ: Tensor, dloss: Tensor | None, sign: int, dout: Tensor) -> None:
    call = native.mse_backward[out.dtype]
    call(dout.pointer(), out.contiguous().pointer(), targ.contiguous().pointer(), out.size)
    factor = sign if dloss is None else sign * float(dloss)
    if factor != 1:
        with np.errstate(all="ignore"):
            np.multiply(dout._array, dout.dtype.type(factor), out=dout._array)
