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

from pybackprop.autograd.tape import Sink, record
from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.ops.losses import operands_of_loss, scale, set_gradient, value
from pybackprop.ops.op import Counterpart, Op, register
from pybackprop.ops.targets import class_targets

__all__ = ["CROSS_ENTROPY", "NLL", "cross_entropy", "cross_entropy_grad", "nll", "nll_grad"]


def cross_entropy(out: ArrayLike, targ: ArrayLike) -> Tensor:
    """The mean over the rows of -log(softmax(out))[i, targ[i]], as a 0-d tensor.

    out   (n,h): for each row the h classes' scores, of any sign and size; not their softmax
    targ  (n): the rows' classes, whole numbers from 0 to h - 1, integers or not; or (n,h): their probabilities

    On the tape if out has requires_g. Raises ShapeError and ValueError, naming the element, for targets that are not.
    """
    return _mean("cross_entropy", CROSS_ENTROPY, native.cross_entropy_forward, out, targ)


def cross_entropy_grad(out: Tensor, targ: ArrayLike) -> None:
    """out.g = (softmax(out) - targ) / n, where a label stands for a row of zeros with a one in its column.

    out and targ as for cross_entropy. Raises GradientError for an out that is not a tensor; else as cross_entropy.
    """
    set_gradient("cross_entropy_grad", class_targets, _cross_entropy_dout, out, targ)


def nll(out: ArrayLike, targ: ArrayLike) -> Tensor:
    """The mean over the rows of -out[i, targ[i]], as a 0-d tensor: the negative log-likelihood.

    out   (n,h): logarithms of probabilities, as of log_softmax
    targ  as for cross_entropy. Raises as that does.
    """
    return _mean("nll", NLL, native.nll_forward, out, targ)


def nll_grad(out: Tensor, targ: ArrayLike) -> None:
    """out.g = -targ / n, where a label stands for a row of zeros with a one in its column. Raises as nll does."""
    set_gradient("nll_grad", class_targets, _nll_dout, out, targ)


def _mean(operation: str, op: Op, forward: native.ByDtype, out: Any, targ: Any) -> Tensor:
    o, t = operands_of_loss(operation, class_targets, out, targ)
    return record(value(forward, o, t, *o.shape, t.ndim == 1), op, (o, t), (o, t))


def _cross_entropy_dout(out: Tensor, targ: Tensor, dloss: Tensor | None, dout: Tensor) -> None:
    pointers = dout.pointer(), out.contiguous().pointer(), targ.contiguous().pointer()
    native.check(native.cross_entropy_backward[out.dtype](*pointers, *out.shape, targ.ndim == 1))
    scale("cross_entropy_grad", dout, dloss, out, targ)


def _nll_dout(out: Tensor, targ: Tensor, dloss: Tensor | None, dout: Tensor) -> None:
    call = native.nll_backward[out.dtype]
    native.check(call(dout.pointer(), targ.contiguous().pointer(), *out.shape, targ.ndim == 1))
    scale("nll_grad", dout, dloss, out, targ)


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
        torch=Counterpart(
            "CrossEntropyLoss",
            fixed={"weight": None, "ignore_index": -100, "reduction": "mean", "label_smoothing": 0.0},
        ),
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
