"""What activations share that have no form in place: elementwise, and in the C core alone or after a linear layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from pybackprop.autograd.tape import Explicit, Sink, record
from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native, observer
from pybackprop.ops.checks import check_same, operands, output, upstream_of
from pybackprop.ops.op import Op, register


def _check_none(dtype: np.dtype[Any]) -> None:
    """The check of an activation without parameters: a call with some raises TypeError."""


def activation(
    name: str,
    forward: Mapping[Any, Any],
    backward: Mapping[Any, Any],
    *,
    defaults: Mapping[str, float] = MappingProxyType({}),
    check: Callable[..., None] = _check_none,
    **facts: Any,
) -> Op:
    """Registers an activation from its C functions by dtype: (out, x, *params, size) and (dx, x, dout, *params, size).

    defaults  of the parameters, in the order in which C takes them
    check     called with the dtype and the parameters by name; raises ValueError for those out of range
    facts     other fields of its Op: equation, gradients, kink
    """

    def compute(x: Any, out: Any = None, **params: Any) -> Tensor:
        (x,) = operands(name, x=x)
        params = {**defaults, **params}
        check(x.dtype, **params)
        result = x.new_like() if out is None else output(name, out, x.shape, x=x)
        forward[x.dtype](result.pointer(), x.contiguous().pointer(), *params.values(), x.size)
        return record(result, op, (x,), (x,), params)

    def grad(inp: Tensor, out: Tensor, **params: Any) -> None:
        """Sets inp.g from out.g."""
        dout = upstream_of(f"{name}_grad", out)
        x, _ = operands(f"{name}_grad", inp=inp, out=dout)
        params = {**defaults, **params}
        check(x.dtype, **params)
        check_same(f"{name}_grad", inp=x, out=out)
        differentiate((x,), (x,), dout, Explicit(f"{name}_grad", inp), **params)

    def differentiate(
        inputs: Sequence[Tensor], saved: Sequence[Tensor], dout: Tensor, sink: Sink, **params: Any
    ) -> None:
        sink.put(inputs[0], partial(fill, saved[0], dout, params))

    def fill(x: Tensor, dout: Tensor, params: Mapping[str, Any], dx: Tensor) -> None:
        pointers = dx.pointer(), x.contiguous().pointer(), dout.contiguous().pointer()
        backward[x.dtype](*pointers, *params.values(), x.size)
        if observer.active is not None:
            observer.active.ran(f"{name}_grad", dx._array, x._array, dout._array)

    op = register(
        Op(
            name,
            compute,
            differentiate,
            operands=("inp",),
            references=(f"{name}_forward", f"{name}_backward"),
            grad=grad,
            lesson_grad=f"{name}_grad",
            elementwise=True,
            activation=name if name in native.ACTIVATIONS else None,
            defaults=defaults,
            check=check,
            **facts,
        )
    )
    return op
