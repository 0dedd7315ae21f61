"""binary_cross_entropy_with_logits: the loss of yes-or-no questions. In C: csrc/ops/binary_cross_entropy.c.

One output asks one question; several ask several, which need not exclude each other, as in a multi-label
classification. Source: Bishop, "Pattern Recognition and Machine Learning" (2006), equations 4.90 and 4.91.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from numpy.typing import ArrayLike

from pybackprop.autograd.tape import Sink, record
from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.ops.losses import operands_of_loss, scale, set_gradient, value
from pybackprop.ops.op import Counterpart, Op, register
from pybackprop.ops.targets import share_targets

__all__ = ["BINARY_CROSS_ENTROPY", "binary_cross_entropy_with_logits", "binary_cross_entropy_with_logits_grad"]

NAME = "binary_cross_entropy_with_logits"


def binary_cross_entropy_with_logits(out: ArrayLike, targ: ArrayLike) -> Tensor:
    """The mean over all elements of -(targ log(s) + (1 - targ) log(1 - s)), s = sigmoid(out), as a 0-d tensor.

    out   of any shape: scores, of any sign and size; not their sigmoid
    targ  of the same shape, or (n) where out is (n,1): numbers from 0 to 1, such as 0 for no and 1 for yes

    The same as torch.nn.functional.binary_cross_entropy_with_logits. On the tape if out has requires_g.
    Raises ShapeError and ValueError, naming the element, for targets that are not; GradientError for targets with
    requires_g.
    """
    o, t = operands_of_loss(NAME, share_targets, out, targ)
    n = o.shape[0] if o.ndim else 1  # segments are of rows
    loss = value(native.binary_cross_entropy_forward, o, t, n, o.size // n)
    return record(loss, BINARY_CROSS_ENTROPY, (o, t), (o, t))


def binary_cross_entropy_with_logits_grad(out: Tensor, targ: ArrayLike) -> None:
    """out.g = (sigmoid(out) - targ) / size; size counts all elements.

    out and targ as for the loss. Raises GradientError for an out that is not a tensor; else as the loss does.
    """
    set_gradient(f"{NAME}_grad", share_targets, _dout, out, targ)


def _dout(out: Tensor, targ: Tensor, dloss: Tensor | None, dout: Tensor) -> None:
    call = native.binary_cross_entropy_backward[out.dtype]
    call(dout.pointer(), out.contiguous().pointer(), targ.contiguous().pointer(), out.size)
    scale(f"{NAME}_grad", dout, dloss, out, targ)


def _backward(inputs: Sequence[Tensor], saved: Sequence[Tensor], dloss: Tensor, sink: Sink) -> None:
    """dloss: the gradient of the loss, one number."""
    sink.put(inputs[0], partial(_dout, inputs[0], inputs[1], dloss))


BINARY_CROSS_ENTROPY = register(
    Op(
        NAME,
        binary_cross_entropy_with_logits,
        _backward,
        operands=("out", "targ"),
        equation="loss = -Σ_ij (targ[i,j] log(s[i,j]) + (1 - targ[i,j]) log(1 - s[i,j])) / size, s = sigmoid(out)",
        gradients=("(sigmoid(out) - targ) / size",),
        references=("binary_cross_entropy_forward", "binary_cross_entropy_backward"),
        grad=binary_cross_entropy_with_logits_grad,
        lesson_grad=f"{NAME}_grad",
        loss="binary_cross_entropy",
        torch=Counterpart("BCEWithLogitsLoss", fixed={"weight": None, "reduction": "mean", "pos_weight": None}),
        targets=share_targets,
    )
)
