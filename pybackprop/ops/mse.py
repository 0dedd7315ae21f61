"""mse: the mean of the squared differences, and its gradient. In C: csrc/ops/mse.c.

All raise ShapeError for shapes that do not fit, DTypeError for mixed dtypes or data that is not real, GradientError
for a gradient that is missing or whose values were overwritten, ValueError for an out that is read-only, not
contiguous, or overlaps an operand. Nothing is written before all checks pass.
Sources: fast.ai's lesson "backpropagation from the foundations"; Parr & Howard, "The Matrix Calculus You Need For Deep
Learning" (arXiv:1802.01528).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from numpy.typing import ArrayLike

from pybackprop.autograd import messages
from pybackprop.autograd.tape import Explicit, Sink, record
from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.core.arrays import is_plain
from pybackprop.core.errors import GradientError
from pybackprop.ops.checks import check_mse, operands, refuse_lost, refuse_overlap
from pybackprop.ops.losses import scale, value
from pybackprop.ops.op import Counterpart, Op, register
from pybackprop.ops.short import calls

__all__ = ["MSE", "mse", "mse_grad"]

INPLACE_GRAD = "mse_grad(inplace=True)"
messages.remedies[INPLACE_GRAD] = "Use inplace=False, or call it after everything that reads out"


def mse(out: ArrayLike, targ: ArrayLike) -> Tensor:
    """mean((out - targ)**2) over all elements, as a 0-d tensor; float(loss) is the number.

    out, targ: tensors or arrays of one dtype and one shape, or out (n,1) with targ (n). On the tape if one of them has
    requires_g. Raises ShapeError for other shapes, also those that would broadcast, and for no elements; DTypeError for
    mixed dtypes or data that is not real; GradientError for an operand that mse_grad(inplace=True) has overwritten.
    """
    if (short := _short_mse(out, targ)) is not None:
        return short
    o, t = operands("mse", out=out, targ=targ)
    n, h = check_mse("mse", o, t)
    return record(value(native.mse_forward, o, t, n, h), MSE, (o, t), (o, t))


def mse_grad(out: Tensor, targ: ArrayLike, inplace: bool = False) -> None:
    """out.g = 2 (out - targ) / size; size counts all elements, as the mean is taken over all of them.

    out and targ as for mse. targ.g, the negative, is set too if targ is a tensor with requires_g.
    inplace: the gradient overwrites the values of out, which are lost; out.g shares the memory of out.
    Raises GradientError for an out that is not a tensor, ShapeError and DTypeError as mse does, ValueError for
    inplace=True with an out that is read-only, not contiguous, or overlaps targ. Nothing is written before that.
    """
    if not inplace and _short_mse_grad(out, targ) is not None:
        return
    if not isinstance(out, Tensor):
        raise GradientError(f"mse_grad: out is a {type(out).__name__}, which has no .g; make it with bp.tensor")
    out, t = operands("mse_grad", out=out, targ=targ)
    check_mse("mse_grad", out, t)
    if t._g is not None:
        refuse_lost("mse_grad", (t,), (out,))
    if inplace:
        _share_gradient(out, t)
    _backward(out, t, None, Explicit("mse_grad", out, targ if t.requires_g else None))


def _share_gradient(out: Tensor, targ: Tensor) -> None:
    """Makes out.g share the memory of out."""
    refuse_overlap(INPLACE_GRAD, out._array, targ=targ._array)
    if not is_plain(out._array):
        raise ValueError(
            "mse_grad(inplace=True): out is not contiguous and aligned; use a copy (.clone()) or inplace=False"
        )
    out.touch(INPLACE_GRAD)
    out._g, out._matrix = out.alias(), None


def mse_backward(inputs: Sequence[Tensor], saved: Sequence[Tensor], dloss: Tensor, sink: Sink) -> None:
    """dloss: the gradient of the loss, one number."""
    _backward(inputs[0], inputs[1], dloss, sink)


def _backward(out: Tensor, targ: Tensor, dloss: Tensor | None, sink: Sink) -> None:
    sink.put(targ, partial(_mse_dout, out, targ, dloss, -1))
    sink.put(out, partial(_mse_dout, out, targ, dloss, 1))


def _mse_dout(out: Tensor, targ: Tensor, dloss: Tensor | None, sign: int, dout: Tensor) -> None:
    call = native.mse_backward[out.dtype]
    call(dout.pointer(), out.contiguous().pointer(), targ.contiguous().pointer(), out.size)
    scale("mse_grad", dout, dloss, out, targ, sign=sign)


MSE = register(
    Op(
        "mse",
        mse,
        mse_backward,
        operands=("out", "targ"),
        equation="loss = Σ_ij (out[i,j] - targ[i,j])² / size",
        gradients=("2 (out - targ) / size", "-2 (out - targ) / size"),
        axes=("ij", "ij", ""),
        references=("mse_forward", "mse_backward"),
        grad=mse_grad,
        lesson_grad="mse_grad",
        loss="mse",
        torch=Counterpart("MSELoss", fixed={"reduction": "mean"}),
    )
)
_short_mse, _short_mse_grad = calls(MSE)
