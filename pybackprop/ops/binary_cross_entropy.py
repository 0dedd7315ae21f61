"""binary_cross_entropy_with_logits: the loss of yes-or-no questions. In C: csrc/ops/binary_cross_entropy.c.

One output asks one question; several ask several, which need not exclude each other, as in a multi-label
classification. Source: Bishop, "Pattern Recognition and Machine Learning" (2006), equations 4.90 and 4.91.
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
    o, t = _operands(NAME, out, targ)
    loss = wrap(aligned_empty((), o.dtype))
    pointers = loss.pointer(), o.contiguous().pointer(), t.contiguous().pointer()
    native.check(native.binary_cross_entropy_forward[o.dtype](*pointers, *_rows(o)))
    return record(loss, BINARY_CROSS_ENTROPY, (o, t), (o, t))


def binary_cross_entropy_with_logits_grad(out: Tensor, targ: ArrayLike) -> None:
    """out.g = (sigmoid(out) - targ) / size; size counts all elements.

    out and targ as for the loss. Raises GradientError for an out that is not a tensor; else as the loss does.
    """
    operation = f"{NAME}_grad"
    if not isinstance(out, Tensor):
        raise GradientError(f"{operation}: out is a {type(out).__name__}, which has no .g; make it with bp.tensor")
    o, t = _operands(operation, out, targ)
    if t._g is not None or o._g is not None:
        refuse_lost(operation, (o,), (o, t))
    Explicit(operation, o).put(o, partial(_dout, o, t, None))


def _operands(operation: str, out: Any, targ: Any) -> tuple[Tensor, Tensor]:
    (o,) = operands(operation, out=out)
    t = share_targets(operation, targ, o.shape, o.dtype)
    operands(operation, out=o, targ=t)  # neither of them holds its gradient
    return o, t


def _rows(out: Tensor) -> tuple[int, int]:
    """(n, h) of out: its segments are of rows."""
    n = out.shape[0] if out.ndim else 1
    return n, out.size // n


def _dout(out: Tensor, targ: Tensor, dloss: Tensor | None, dout: Tensor) -> None:
    call = native.binary_cross_entropy_backward[out.dtype]
    call(dout.pointer(), out.contiguous().pointer(), targ.contiguous().pointer(), out.size)
    factor = 1.0 if dloss is None else float(dloss)
    if factor != 1:
        arithmetic.with_number(arithmetic.MULTIPLY, dout._array, factor, out=dout._array)
    if observer.active is not None:
        observer.active.ran(f"{NAME}_grad", dout._array, out._array, targ._array)


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
        targets=share_targets,
    )
)
