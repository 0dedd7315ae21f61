"""The definition, callable: csrc/ops/reference.c, reference_exponential.c and reference_losses.c on numpy arrays.

Every other implementation must give these bits. Arrays are float32 or float64, all of one dtype, never written to;
results are new arrays of that dtype. x (n,m), w (m,h), b (h), out and dout (n,h). add_to: what a result is added to, of
its shape. All raise ShapeError for shapes that do not fit, DTypeError for mixed dtypes or data that is not real.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core import native
from pybackprop.core.arrays import Array, empty
from pybackprop.core.errors import ShapeError
from pybackprop.ops.checks import check_lin, check_mse, check_same, operands
from pybackprop.ops.targets import class_targets, share_targets

__all__ = [
    "adam_update",
    "arithmetic",
    "binary_cross_entropy_backward",
    "binary_cross_entropy_forward",
    "clamp_min_backward",
    "clamp_min_forward",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "exp",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "linear_backward_b",
    "linear_backward_w",
    "linear_backward_x",
    "linear_forward",
    "log",
    "log_softmax_backward",
    "log_softmax_forward",
    "matmul",
    "mse_backward",
    "mse_forward",
    "nll_backward",
    "nll_forward",
    "power",
    "relu_backward",
    "relu_forward",
    "scale",
    "sgd_decay_update",
    "sgd_momentum_update",
    "sgd_update",
    "sigmoid_backward",
    "sigmoid_forward",
    "softmax_backward",
    "softmax_forward",
    "square_root",
    "sum",
    "sum_squares",
    "tanh_backward",
    "tanh_forward",
    "weighted_loss_backward",
    "weighted_loss_forward",
]


def _contiguous(operation: str, **arrays: Any) -> list[Any]:
    return [t if t is None else t.contiguous() for t in operands(operation, **arrays)]


def _start(shape: tuple[int, ...], like: Tensor, add_to: Any) -> Tensor:
    """The output: uninitialized, or a copy of add_to."""
    out = wrap(empty("reference", shape, like.dtype))
    if add_to is not None:
        (start,) = operands("reference", add_to=add_to)
        if start.shape != shape or start.dtype != like.dtype:
            raise ShapeError(f"reference: found add_to {start.shape} {start.dtype}, expected {shape} {like.dtype}")
        np.copyto(out._array, start._array)
    return out


def _elementwise(operation: str, x: Any, *params: Any) -> Array:
    """A function of each element; operation: the name of its C function."""
    (x,) = _contiguous(operation, x=x)
    out = _start(x.shape, x, None)
    status = getattr(native, f"ref_{operation}")[x.dtype](out.pointer(), x.pointer(), *params, x.size)
    native.check(status or 0)  # most return nothing, as nothing can be wrong
    return out._array


def _elementwise_backward(operation: str, x: Any, dout: Any, *params: Any) -> Array:
    """Its gradient."""
    x, dout = _contiguous(operation, x=x, dout=dout)
    check_same(operation, x=x, dout=dout)
    dx = _start(x.shape, x, None)
    getattr(native, f"ref_{operation}")[x.dtype](dx.pointer(), x.pointer(), dout.pointer(), *params, x.size)
    return dx._array


def linear_forward(x: Any, w: Any, b: Any = None) -> Array:
    """out (n,h) = x (n,m) @ w (m,h) + b (h), or without b."""
    x, w, b = _contiguous("linear_forward", x=x, w=w, b=b)
    n, m, h = check_lin("linear_forward", x, w, b)
    out = _start((n, h), x, None)
    bias = native.NULL if b is None else b.pointer()
    native.check(native.ref_linear_forward[x.dtype](out.pointer(), x.pointer(), w.pointer(), bias, n, m, h))
    return out._array


def linear_backward_x(dout: Any, w: Any, add_to: Any = None) -> Array:
    """dx (n,m) = dout (n,h) @ w.T (h,m), plus add_to if given."""
    dout, w = _contiguous("linear_backward_x", dout=dout, w=w)
    n, h, m = _product_sizes("linear_backward_x", dout.shape, w.shape[::-1])
    dx = _start((n, m), w, add_to)
    call = native.ref_linear_backward_x[w.dtype]
    native.check(call(dx.pointer(), dout.pointer(), w.pointer(), n, m, h, add_to is not None))
    return dx._array


def linear_backward_w(x: Any, dout: Any, add_to: Any = None) -> Array:
    """dw (m,h) = x.T (m,n) @ dout (n,h), plus add_to if given."""
    x, dout = _contiguous("linear_backward_w", x=x, dout=dout)
    m, n, h = _product_sizes("linear_backward_w", x.shape[::-1], dout.shape)
    dw = _start((m, h), x, add_to)
    call = native.ref_linear_backward_w[x.dtype]
    native.check(call(dw.pointer(), x.pointer(), dout.pointer(), n, m, h, add_to is not None))
    return dw._array


def linear_backward_b(dout: Any, add_to: Any = None) -> Array:
    """db (h) = dout (n,h).sum(0), plus add_to if given."""
    (dout,) = _contiguous("linear_backward_b", dout=dout)
    n, h = dout.shape
    db = _start((h,), dout, add_to)
    native.check(native.ref_linear_backward_b[dout.dtype](db.pointer(), dout.pointer(), n, h, add_to is not None))
    return db._array


def matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False, add_to: Any = None) -> Array:
    """op(a) (rows,inner) @ op(b) (inner,cols), plus add_to (rows,cols) if given; op transposes where asked to."""
    a, b = _contiguous("matmul", a=a, b=b)
    left = a.shape[::-1] if transpose_a else a.shape
    right = b.shape[::-1] if transpose_b else b.shape
    rows, inner, cols = _product_sizes("matmul", left, right)
    c = _start((rows, cols), a, add_to)
    call = native.ref_matmul[a.dtype]
    sizes = (rows, inner, cols, transpose_a, transpose_b, add_to is not None)
    native.check(call(c.pointer(), cols, a.pointer(), a.shape[1], b.pointer(), b.shape[1], *sizes))
    return c._array


def _product_sizes(operation: str, left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, int, int]:
    if len(left) != 2 or len(right) != 2 or left[1] != right[0]:
        raise ShapeError(f"{operation}: {left} @ {right} do not fit")
    return left[0], left[1], right[1]


def relu_forward(x: Any) -> Array:
    """max(x, 0) of any shape; NaN stays NaN."""
    return _elementwise("relu_forward", x)


def relu_backward(x: Any, dout: Any) -> Array:
    """dout where x > 0, else 0; both of one shape."""
    return _elementwise_backward("relu_backward", x, dout)


def leaky_relu_forward(x: Any, negative_slope: float) -> Array:
    """x where x > 0, else negative_slope * x, of any shape."""
    return _elementwise("leaky_relu_forward", x, negative_slope)


def leaky_relu_backward(x: Any, dout: Any, negative_slope: float) -> Array:
    """dout where x > 0, else negative_slope * dout; both of one shape."""
    return _elementwise_backward("leaky_relu_backward", x, dout, negative_slope)


def exp(x: Any) -> Array:
    """e**x of any shape."""
    return _elementwise("exp", x)


def log(x: Any) -> Array:
    """The natural logarithm of any shape; -inf of 0, NaN of what is below."""
    return _elementwise("log", x)


def sigmoid_forward(x: Any) -> Array:
    """1 / (1 + exp(-x)) of any shape."""
    return _elementwise("sigmoid_forward", x)


def sigmoid_backward(x: Any, dout: Any) -> Array:
    """dout * s (1 - s), s the sigmoid of x; both of one shape."""
    return _elementwise_backward("sigmoid_backward", sigmoid_forward(x), dout)


def tanh_forward(x: Any) -> Array:
    """The hyperbolic tangent of any shape."""
    return _elementwise("tanh_forward", x)


def tanh_backward(x: Any, dout: Any) -> Array:
    """dout * (1 - t**2), t the tangent of x; both of one shape."""
    return _elementwise_backward("tanh_backward", tanh_forward(x), dout)


def softmax_forward(x: Any) -> Array:
    """exp(x) over its sum in each row of x (n,h)."""
    return _of_rows("softmax_forward", x)


def softmax_backward(x: Any, dout: Any) -> Array:
    """p * (dout - the row's sum of dout p), p the softmax of x; all (n,h)."""
    return _of_rows("softmax_backward", softmax_forward(x), dout)


def log_softmax_forward(x: Any) -> Array:
    """x - log(the row's sum of exp(x)), of x (n,h)."""
    return _of_rows("log_softmax_forward", x)


def log_softmax_backward(x: Any, dout: Any) -> Array:
    """dout - softmax(x) * the row's sum of dout; all (n,h)."""
    return _of_rows("log_softmax_backward", log_softmax_forward(x), dout)


def cross_entropy_forward(out: Any, targ: Any) -> Array:
    """The mean over the rows of -log(softmax(out)) at the label, of shape (). out (n,h); targ: labels (n), or
    probabilities (n,h).
    """
    return _loss("cross_entropy_forward", out, targ)


def cross_entropy_backward(out: Any, targ: Any) -> Array:
    """(softmax(out) - targ) / n, of the shape of out (n,h); targ as for cross_entropy_forward."""
    out, targ = _out_and_targ("cross_entropy_backward", out, targ)
    dout, call = _start(out.shape, out, None), native.ref_cross_entropy_backward[out.dtype]
    native.check(call(dout.pointer(), out.pointer(), targ.pointer(), *out.shape, targ.ndim == 1))
    return dout._array


def nll_forward(out: Any, targ: Any) -> Array:
    """The mean over the rows of -out at the label, of shape (). out and targ as for cross_entropy_forward."""
    return _loss("nll_forward", out, targ)


def nll_backward(out: Any, targ: Any) -> Array:
    """-targ / n, of the shape of out (n,h); targ as for cross_entropy_forward."""
    out, targ = _out_and_targ("nll_backward", out, targ)
    dout = _start(out.shape, out, None)
    native.check(native.ref_nll_backward[out.dtype](dout.pointer(), targ.pointer(), *out.shape, targ.ndim == 1))
    return dout._array


def binary_cross_entropy_forward(out: Any, targ: Any) -> Array:
    """The mean over all elements of -(targ log(s) + (1 - targ) log(1 - s)), s = sigmoid(out), of shape (). out and
    targ of one shape, or out (n,1) with targ (n).
    """
    out, targ = _out_and_shares("binary_cross_entropy_forward", out, targ)
    loss, call = _start((), out, None), native.ref_binary_cross_entropy_forward[out.dtype]
    n = out.shape[0] if out.ndim else 1
    native.check(call(loss.pointer(), out.pointer(), targ.pointer(), n, out.size // n))
    return loss._array


def binary_cross_entropy_backward(out: Any, targ: Any) -> Array:
    """(sigmoid(out) - targ) / size, of the shape of out; targ as for binary_cross_entropy_forward."""
    out, targ = _out_and_shares("binary_cross_entropy_backward", out, targ)
    dout, call = _start(out.shape, out, None), native.ref_binary_cross_entropy_backward[out.dtype]
    call(dout.pointer(), out.pointer(), targ.pointer(), out.size)
    return dout._array


def _out_and_shares(operation: str, out: Any, targ: Any) -> tuple[Tensor, Tensor]:
    (out,) = _contiguous(operation, out=out)
    return out, share_targets(operation, targ, out.shape, out.dtype).contiguous()


def weighted_loss_forward(loss: str, out: Any, targ: Any, weight: Any) -> Array:
    """A loss of out (n,h), of shape (), to which row i counts weight[i] times; still divided by n, or n*h for a mean
    over elements. loss: an Op's `loss`; targ: as for it, or labels (n) if it takes those; weight (n).
    """
    kind, out, rows = _weighted(loss, out, targ, weight)
    result = _start((), out, None)
    call = native.ref_weighted_loss_forward[out.dtype]
    native.check(call(kind, result.pointer(), out.pointer(), rows.pointer(), *out.shape))
    return result._array


def weighted_loss_backward(loss: str, out: Any, targ: Any, weight: Any) -> Array:
    """Its gradient, of the shape of out (n,h). See weighted_loss_forward."""
    kind, out, rows = _weighted(loss, out, targ, weight)
    dout = _start(out.shape, out, None)
    call = native.ref_weighted_loss_backward[out.dtype]
    native.check(call(kind, dout.pointer(), out.pointer(), rows.pointer(), *out.shape))
    return dout._array


def _weighted(loss: str, out: Any, targ: Any, weight: Any) -> tuple[int, Tensor, Tensor]:
    """(C's number of the loss, out, the targets with the weights behind them)."""
    (out,) = _contiguous("weighted_loss", out=out)
    numbers = np.asarray(targ, out.dtype)
    whole, labels = native.LOSSES[loss]
    kind = whole if labels is None or numbers.ndim == 2 else labels
    rows = np.column_stack([numbers, np.asarray(weight, out.dtype)])
    width = 1 if kind == labels else out.shape[1]
    if rows.shape != (len(out), width + 1):
        raise ShapeError(f"weighted_loss: found out {out.shape}, targ {numbers.shape} and weight {np.shape(weight)}")
    return int(kind), out, wrap(np.ascontiguousarray(rows))


def _of_rows(operation: str, *values: Any) -> Array:
    """A function of rows: of one array (n,h), or of two."""
    arrays = _contiguous(operation, **dict(zip(("x", "dout"), values, strict=False)))
    for array in arrays:
        if array.shape != arrays[0].shape or array.ndim != 2:
            raise ShapeError(f"{operation}: found {[a.shape for a in arrays]}, expected (n,h)")
    out = _start(arrays[0].shape, arrays[0], None)
    call = getattr(native, f"ref_{operation}")[out.dtype]
    native.check(call(out.pointer(), *(array.pointer() for array in arrays), *out.shape))
    return out._array


def _out_and_targ(operation: str, out: Any, targ: Any) -> tuple[Tensor, Tensor]:
    (out,) = _contiguous(operation, out=out)
    return out, class_targets(operation, targ, out.shape, out.dtype).contiguous()


def _loss(operation: str, out: Any, targ: Any) -> Array:
    out, targ = _out_and_targ(operation, out, targ)
    loss, call = _start((), out, None), getattr(native, f"ref_{operation}")[out.dtype]
    native.check(call(loss.pointer(), out.pointer(), targ.pointer(), *out.shape, targ.ndim == 1))
    return loss._array


def mse_forward(out: Any, targ: Any) -> Array:
    """mean((out - targ)**2) over all elements, of shape (). Raises ShapeError for no elements."""
    out, targ = _contiguous("mse_forward", out=out, targ=targ)
    n, h = check_mse("mse_forward", out, targ)
    loss = _start((), out, None)
    native.check(native.ref_mse_forward[out.dtype](loss.pointer(), out.pointer(), targ.pointer(), n, h))
    return loss._array


def mse_backward(out: Any, targ: Any) -> Array:
    """2 (out - targ) / size, of the shape of out; size counts all elements."""
    out, targ = _contiguous("mse_backward", out=out, targ=targ)
    check_mse("mse_backward", out, targ)
    dout = _start(out.shape, out, None)
    native.ref_mse_backward[out.dtype](dout.pointer(), out.pointer(), targ.pointer(), out.size)
    return dout._array


def arithmetic(operation: int, a: Any, b: Any) -> Array:
    """a + b, a - b, a * b or a / b, as core.arithmetic names them; the shapes broadcast."""
    a, b = operands("arithmetic", a=a, b=b)
    shape = np.broadcast_shapes(a.shape, b.shape)
    a, b = (wrap(np.array(np.broadcast_to(t._array, shape), order="C")) for t in (a, b))
    out = _start(shape, a, None)
    h = shape[-1] if shape else 1
    call = native.ref_arithmetic[out.dtype]
    native.check(call(out.pointer(), operation, a.pointer(), h, 1, b.pointer(), h, 1, out.size // h if h else 0, h))
    return out._array


def power(x: Any, exponent: int) -> Array:
    """x multiplied |exponent| times, and 1 over that for a negative exponent."""
    return _elementwise("power", x, exponent)


def square_root(x: Any) -> Array:
    """The square root, rounded once."""
    return _elementwise("square_root", x)


def sum(x: Any, axis: int) -> Array:
    """The sum over one axis, not negative."""
    (x,) = _contiguous("sum", x=x)
    outer, inner = (math.prod(part) for part in (x.shape[:axis], x.shape[axis + 1 :]))
    out = _start(x.shape[:axis] + x.shape[axis + 1 :], x, None)
    native.check(native.ref_sum[x.dtype](out.pointer(), x.pointer(), outer, x.shape[axis], inner))
    return out._array


def clamp_min_forward(x: Any, low: float) -> Array:
    """max(x, low) of any shape; NaN stays NaN."""
    return _elementwise("clamp_min_forward", x, low)


def clamp_min_backward(x: Any, dout: Any, low: float) -> Array:
    """dout where x > low, else 0; both of one shape."""
    return _elementwise_backward("clamp_min_backward", x, dout, low)


def sgd_update(p: Any, dp: Any, lr: float) -> Array:
    """p - lr dp; both of one shape."""
    p, dp = _contiguous("sgd_update", p=p, dp=dp)
    check_same("sgd_update", p=p, dp=dp)
    new = _start(p.shape, p, p)
    native.ref_sgd_update[p.dtype](new.pointer(), dp.pointer(), lr, p.size)
    return new._array


def sgd_momentum_update(p: Any, v: Any, dp: Any, lr: float, mu: float) -> tuple[Array, Array]:
    """(new p, new v): v = mu v + dp, then p = p - lr v; all of one shape."""
    p, v, dp = _contiguous("sgd_momentum_update", p=p, v=v, dp=dp)
    check_same("sgd_momentum_update", p=p, v=v)
    check_same("sgd_momentum_update", p=p, dp=dp)
    new, velocity = _start(p.shape, p, p), _start(p.shape, p, v)
    call = native.ref_sgd_momentum_update[p.dtype]
    call(new.pointer(), velocity.pointer(), dp.pointer(), lr, mu, p.size)
    return new._array, velocity._array


def sgd_decay_update(
    p: Any, v: Any, dp: Any, lr: float, mu: float, weight_decay: float, nesterov: bool = False
) -> tuple[Array, Array | None]:
    """(new p, new v): dp = weight_decay p + dp, v = mu v + dp, then p = p - lr v, or with nesterov p - lr (mu v + dp).

    All of one shape; v None: p = p - lr dp.
    """
    p, v, dp = _contiguous("sgd_decay_update", p=p, v=v, dp=dp)
    check_same("sgd_decay_update", p=p, dp=dp)
    if v is not None:
        check_same("sgd_decay_update", p=p, v=v)
    new, velocity = _start(p.shape, p, p), None if v is None else _start(p.shape, p, v)
    numbers = native.optimizer({"weight_decay": weight_decay, "nesterov": nesterov})
    v_at = native.NULL if velocity is None else velocity.pointer()
    native.ref_sgd_decay_update[p.dtype](new.pointer(), v_at, dp.pointer(), numbers, lr, mu, p.size)
    return new._array, None if velocity is None else velocity._array


def adam_update(
    p: Any,
    m: Any,
    v: Any,
    dp: Any,
    t: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[Array, Array, Array]:
    """(new p, new m, new v) of step t, from 1, of Adam, or decoupled of AdamW; all of one shape."""
    p, m, v, dp = _contiguous("adam_update", p=p, m=m, v=v, dp=dp)
    for name, other in (("m", m), ("v", v), ("dp", dp)):
        check_same("adam_update", **{"p": p, name: other})
    new = [_start(p.shape, p, old) for old in (p, m, v)]
    numbers = {"rule": native.ADAM, "decoupled": decoupled, "beta2": betas[1], "eps": eps, "steps": t - 1}
    optimizer = native.optimizer({**numbers, "weight_decay": weight_decay})
    places = [tensor.pointer() for tensor in (*new, dp)]
    native.ref_adam_update[p.dtype](*places, optimizer, lr, betas[0], p.size)
    return new[0]._array, new[1]._array, new[2]._array


def sum_squares(dp: Any) -> float:
    """The sum of the squares of dp, of any shape, in double."""
    (dp,) = _contiguous("sum_squares", dp=dp)
    return float(native.ref_sum_squares[dp.dtype](dp.pointer(), dp.size))


def scale(dp: Any, factor: float) -> Array:
    """dp factor, of any shape; the factor is rounded once to dp's dtype."""
    (dp,) = _contiguous("scale", dp=dp)
    out = _start(dp.shape, dp, dp)
    native.ref_scale[dp.dtype](out.pointer(), factor, dp.size)
    return out._array
