"""What the functions of losses share: their value, the lesson's gradient function, and the factor of a gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pybackprop.autograd.tape import Explicit
from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core import arithmetic, native, observer
from pybackprop.core.arrays import aligned_empty
from pybackprop.core.errors import GradientError
from pybackprop.ops.checks import operands, refuse_lost

Targets = Callable[..., Tensor]  # see Op.targets


def operands_of_loss(operation: str, targets: Targets, out: Any, targ: Any) -> tuple[Tensor, Tensor]:
    """out, and targ after the checks of its own rules; neither of them holds its gradient."""
    (o,) = operands(operation, out=out)
    t = targets(operation, targ, o.shape, o.dtype)
    operands(operation, out=o, targ=t)
    return o, t


def value(forward: native.ByDtype, out: Tensor, targ: Tensor, *sizes: int) -> Tensor:
    """The loss, as a 0-d tensor."""
    loss = wrap(aligned_empty((), out.dtype))
    pointers = loss.pointer(), out.contiguous().pointer(), targ.contiguous().pointer()
    native.check(forward[out.dtype](*pointers, *sizes))
    return loss


def set_gradient(operation: str, targets: Targets, fill: Callable[..., None], out: Any, targ: Any) -> None:
    """Sets out.g. fill: (out, targ, None, the buffer of the gradient)."""
    if not isinstance(out, Tensor):
        raise GradientError(f"{operation}: out is a {type(out).__name__}, which has no .g; make it with bp.tensor")
    o, t = operands_of_loss(operation, targets, out, targ)
    if t._g is not None or o._g is not None:
        refuse_lost(operation, (o,), (o, t))
    Explicit(operation, o).put(o, partial(fill, o, t, None))


def scale(operation: str, dout: Tensor, dloss: Tensor | None, *read: Tensor, sign: int = 1) -> None:
    """dout *= sign times the gradient of the loss, which is 1 where nothing was computed from it (None)."""
    factor = sign if dloss is None else sign * float(dloss)
    if factor != 1:
        arithmetic.with_number(arithmetic.MULTIPLY, dout._array, factor, out=dout._array)
    if observer.active is not None:
        observer.active.ran(operation, dout._array, *(t._array for t in read))
