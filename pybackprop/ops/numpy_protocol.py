"""numpy's own functions on tensors: np.maximum(t, 0), np.add(a, t), array @ t, np.sum(t), np.exp(t), …

What has a derivative here is computed by the operation that has it, and recorded. Anything else is computed by
numpy; if a tensor in it requires a gradient, the result is a tensor through which a backward raises and names the
function, as with the tensor's own methods. Otherwise numpy's result is returned as it is. np.asarray(t) and t.data
are the ways out, and are never on the tape.

Sources: NEP 13 (__array_ufunc__) and NEP 18 (__array_function__).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pybackprop.autograd import messages, tape
from pybackprop.autograd.mask import Mask
from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core import native
from pybackprop.core.errors import GradientError
from pybackprop.ops.op import attach

OPERATORS = {  # ufunc: the method of a tensor on the left, of one on the right
    np.add: ("__add__", "__radd__"),
    np.subtract: ("__sub__", "__rsub__"),
    np.multiply: ("__mul__", "__rmul__"),
    np.true_divide: ("__truediv__", "__rtruediv__"),
    np.power: ("__pow__", ""),
    np.matmul: ("__matmul__", "__rmatmul__"),
    np.greater: ("__gt__", "__lt__"),
    np.greater_equal: ("__ge__", "__le__"),
    np.less: ("__lt__", "__gt__"),
    np.less_equal: ("__le__", "__ge__"),
    np.equal: ("__eq__", "__eq__"),
    np.not_equal: ("__ne__", "__ne__"),
    np.negative: ("__neg__", ""),
    np.absolute: ("__abs__", ""),
}
Call = Callable[..., Any]


def array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """numpy's ufuncs: those of operators are the tensors' operators, np.maximum(t, 0) is relu."""
    if method == "__call__" and not options:
        if ufunc in OPERATORS and (operator := _operator(ufunc, inputs)) is not None:
            return operator(*(value for value in inputs if value is not operator.__self__))
        if ufunc is np.maximum and (clamped := _clamped(inputs)) is not None:
            return clamped
        if ufunc in (np.square, np.sqrt) and tape.is_recording() and inputs[0].requires_g:
            return inputs[0].sqrt() if ufunc is np.sqrt else inputs[0] ** 2
    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    return _by_numpy(f"np.{name}", getattr(ufunc, method), inputs, options)


def array_function(self: Tensor, function: Any, types: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """numpy's other functions: np.dot of matrices is @, np.copy is .clone, np.clip(t, 0, None) is relu."""
    if (recorded := RECORDED.get(function)) is not None:
        result = recorded(*args, **kwargs)
        if result is not NotImplemented:
            return result
    return _by_numpy(f"np.{function.__name__}", function, args, kwargs)


def mask_function(self: Mask[Any], function: Any, types: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """numpy's functions on masks alone: np.mean(out > 0). Beside a tensor, as in np.where(z > 0, z, 0), it decides."""
    if any(isinstance(value, Tensor) for value in _tensors((args, kwargs))):
        return NotImplemented
    return function(*_plain(args), **_plain(kwargs))


def _operator(ufunc: np.ufunc, inputs: Sequence[Any]) -> Any:
    """The bound method that computes a ufunc; None where the tensor is none of its operands, or has no such method."""
    left, right = OPERATORS[ufunc]
    if isinstance(inputs[0], Tensor):
        return getattr(inputs[0], left)
    return getattr(inputs[1], right) if right and isinstance(inputs[1], Tensor) else None


def _clamped(inputs: Sequence[Any]) -> Tensor | None:
    """The larger of a tensor and a number; None if that is not what is asked."""
    for one, other in (inputs, inputs[::-1]):
        if isinstance(one, Tensor) and not isinstance(other, Tensor) and np.ndim(other) == 0 and other == other:
            return one.clamp_min(other)
    return None


# ---- functions that have a derivative here ----


def _dot(a: Any, b: Any, out: Any = None) -> Any:
    if out is not None or np.ndim(_plain(a)) != 2 or np.ndim(_plain(b)) != 2:
        return NotImplemented
    return a @ b


def _copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    return a.clone() if isinstance(a, Tensor) else NotImplemented


def _clip(a: Any, a_min: Any = None, a_max: Any = None, **options: Any) -> Any:
    is_one_sided = isinstance(a, Tensor) and a_max is None and not options
    clamped = _clamped((a, a_min)) if is_one_sided and a_min is not None else None
    return NotImplemented if clamped is None else clamped


def _as_method(name: str) -> Call:
    """A function of a tensor that requires a gradient is the tensor's own method, which records it."""

    def call(a: Any, *args: Any, **options: Any) -> Any:
        if not (isinstance(a, Tensor) and a.requires_g and tape.is_recording()):
            return NotImplemented
        method: Call = getattr(a, name)
        try:
            inspect.signature(method).bind(*args, **options)
        except TypeError:  # out=, dtype=, where=: numpy's, which have no derivative here
            return NotImplemented
        return method(*args, **options)

    return call


def _transpose(a: Any, axes: Any = None) -> Any:
    return a.T if isinstance(a, Tensor) and axes is None else NotImplemented


def _reshape(a: Any, shape: Any, **options: Any) -> Any:
    return a.reshape(shape) if isinstance(a, Tensor) and not options else NotImplemented


RECORDED: dict[Any, Call] = {
    np.dot: _dot,
    np.copy: _copy,
    np.clip: _clip,
    np.sum: _as_method("sum"),
    np.mean: _as_method("mean"),
    np.transpose: _transpose,
    np.reshape: _reshape,
    np.ravel: _as_method("flatten"),
    np.squeeze: _as_method("squeeze"),
    np.expand_dims: _as_method("unsqueeze"),
}


# ---- everything else ----


def _by_numpy(name: str, function: Call, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What numpy computes; marked as without derivative where a gradient is wanted."""
    wanting = [t for t in _tensors((args, kwargs)) if tape.is_recording() and getattr(t, "requires_g", False)]
    targets = [t for t in _tensors(kwargs.get("out")) if isinstance(t, Tensor)]
    if kwargs.get("out") is not None and wanting:
        raise GradientError(
            f"{name}(out=): {messages.describe(wanting[0])} requires a gradient, which would be lost in the array that "
            "is written to. Use its numbers, t.data, or leave out= away"
        )
    for target in targets:
        target.touch(f"{name}(out=)")
    result = function(*_plain(args), **_plain(kwargs))
    if targets:
        return targets[0] if len(targets) == 1 else tuple(targets)
    return _marked(name, result, wanting) if wanting else result


def _marked(name: str, result: Any, wanting: Sequence[Tensor]) -> Any:
    """Arrays of floats as tensors that a backward cannot pass; indices, masks and text as they are."""
    if isinstance(result, (tuple, list)):
        return (
            type(result)(_marked(name, part, wanting) for part in result) if type(result) in (tuple, list) else result
        )
    if isinstance(result, (np.ndarray, np.generic)) and result.dtype in (native.FLOAT32, native.FLOAT64):
        return tape.cut(wrap(np.array(result)), name, *wanting)
    return result


def _plain(value: Any) -> Any:
    """The same with arrays in place of tensors and masks."""
    if isinstance(value, Tensor):
        return value._array
    if isinstance(value, Mask):
        return value.data
    if isinstance(value, (list, tuple)) and any(True for _ in _tensors(value)):
        parts = [_plain(part) for part in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return value


def _tensors(value: Any) -> Iterator[Any]:
    """The tensors and masks in the arguments of a function."""
    if isinstance(value, (Tensor, Mask)):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)


attach("__array_ufunc__", array_ufunc)
attach("__array_function__", array_function)
Mask.__array_function__ = mask_function  # type: ignore[attr-defined]
