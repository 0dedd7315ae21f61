"""cross_entropy: the loss of a classification, and its gradient. In C: csrc/ops/cross_entropy.c.

Also nll, the same loss of logarithms of probabilities: cross_entropy(out, targ) is nll(log_softmax(out), targ), within
rounding. All raise ShapeError, DTypeError, ValueError and GradientError for targets as
pybackprop.ops.targets.class_targets does, before anything is written.
Sources: fast.ai's lesson "Minibatch training"; Bridle, "Probabilistic Interpretation of Feedforward Classification
Network Outputs" (1990).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from numpy.typing import ArrayLike

from pybackprop.autograd.tape import Explicit, Sink, record
from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core import arithmetic, native, observer
from pybackprop.core.arrays import aligned_empty
from pybackprop.core.errors import GradientError
from pybackprop.ops.checks import operands, refuse_lost
from pybackprop.ops.op import Op, register
from pybackprop.ops.targets import class_targets

__all__ = ["CROSS_ENTROPY", "NLL", "cross_entropy", "cross_entropy_grad", "nll", "nll_grad"]


def cross_entropy(out: ArrayLike, targ: ArrayLike) -> Tensor:
    """The mean over the rows of -log(softmax(out))[i, targ[i]], as a 0-d tensor.

    out   (n,h): for each row the h classes' scores, of any sign and size; not their softmax
    targ  (n): the rows' classes, whole numbers from 0 to h - 1, integers or not; or (n,h): their probabilities

    On the tape if out has requires_g. Raises ShapeError and ValueError, naming the element, for targets that are not.
    """
    o, t = _operands("cross_entropy", out, targ)
    return record(_mean(native.cross_entropy_forward, o, t), CROSS_ENTROPY, (o, t), (o, t))


def cross_entropy_grad(out: Tensor, targ: ArrayLike) -> None:
    """out.g = (softmax(out) - targ) / n, where a label stands for a row of zeros with a one in its column.

    out and targ as for cross_entropy. Raises GradientError for an out that is not a tensor; else as cross_entropy.
    """
    _grad("cross_entropy_grad", _cross_entropy_dout, out, targ)


def nll(out: ArrayLike, targ: ArrayLike) -> Tensor:
    """The mean over the rows of -out[i, targ[i]], as a 0-d tensor: the negative log-likelihood.

    out   (n,h): logarithms of probabilities, as of log_softmax
    targ  as for cross_entropy. Raises as that does.
    """
    o, t = _operands("nll", out, targ)
    return record(_mean(native.nll_forward, o, t), NLL, (o, t), (o, t))


def nll_grad(out: Tensor, targ: ArrayLike) -> None:
    """out.g = -targ / n, where a label stands for a row of zeros with a one in its column. Raises as nll does."""
    _grad("nll_grad", _nll_dout, out, targ)


def _operands(operation: str, out: Any, targ: Any) -> tuple[Tensor, Tensor]:
    (o,) = operands(operation, out=out)
    t = class_targets(operation, targ, o.shape, o.dtype)
    operands(operation, out=o, targ=t)  # neither of them holds its gradient
    return o, t


def _mean(forward: native.ByDtype, out: Tensor, targ: Tensor) -> Tensor:
    loss = wrap(aligned_empty((), out.dtype))
    pointers = loss.pointer(), out.contiguous().pointer(), targ.contiguous().pointer()
    native.check(forward[out.dtype](*pointers, *out.shape, targ.ndim == 1))
    return loss


def _grad(operation: str, fill: Any, out: Any, targ: Any) -> None:
    if not isinstance(out, Tensor):
        raise GradientError(f"{operation}: out is a {type(out).__name__}, which has no .g; make it with bp.tensor")
    o, t = _operands(operation, out, targ)
    if t._g is not None or o._g is not None:
        refuse_lost(operation, (o,), (o, t))
    Explicit(operation, o).put(o, partial(fill, o, t, None))


def _cross_entropy_dout(out: Tensor, targ: Tensor, dloss: Tensor | None, dout: Tensor) -> None:
    pointers = dout.pointer(), out.contiguous().pointer(), targ.contiguous().pointer()
    native.check(native.cross_entropy_backward[out.dtype](*pointers, *out.shape, targ.ndim == 1))
    _times("cross_entropy_grad", dout, dloss, out, targ)


def _nll_dout(out: Tensor, targ: Tensor, dloss: Tensor | None, dout: Tensor) -> None:
    call = native.nll_backward[out.dtype]
    native.check(call(dout.pointer(), targ.contiguous().pointer(), *out.shape, targ.ndim == 1))
    _times("nll_grad", dout, dloss, out, targ)


def _times(operation: str, dout: Tensor, dloss: Tensor | None, *read: Tensor) -> None:
    """dout *= the gradient of the loss, which is 1 where nothing was computed from it."""
    factor = 1.0 if dloss is None else float(dloss)
    if factor != 1:
        arithmetic.with_number(arithmetic.MULTIPLY, dout._array, factor, out=dout._array)
    if observer.active is not None:
        observer.active.ran(operation, dout._array, *(t._array for t in read))


def _backward(fill: Any, inputs: Sequence[Tensor], saved: Sequence[Tensor], dloss: Tensor, sink: Sink) -> None:
    """dloss: the gradient of the loss, one number."""
    sink.put(inputs[0], partial(fill, *inputs, dloss))


CROSS_ENTROPY = register(
    Op(
        "cross_entropy",
        cross_entropy,
        partial(_backward, _cross_entropy_dout),
        operands=("out", "targ"),
        equation="loss = -Σ_ij targ[i,j] log(softmax(out)[i,j]) / n",
        gradients=("(softmax(out) - targ) / n",),
        references=("cross_entropy_forward", "cross_entropy_backward"),
        grad=cross_entropy_grad,
        lesson_grad="cross_entropy_grad",
        loss="cross_entropy",
        targets=class_targets,
    )
)
NLL = register(
    Op(
        "nll",
        nll,
        partial(_backward, _nll_dout),
        operands=("out", "targ"),
        equation="loss = -Σ_ij targ[i,j] out[i,j] / n",
        gradients=("-targ / n",),
        references=("nll_forward", "nll_backward"),
        grad=nll_grad,
        lesson_grad="nll_grad",
        targets=class_targets,
    )
)
