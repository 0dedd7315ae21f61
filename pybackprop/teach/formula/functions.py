"""The functions that a formula may call, in one spelling each; spellings.py translates the others into these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.teach.formula import axis_letters
from pybackprop.teach.formula.value import Value

VALUE, AXIS, FLAG, SIZES, TEXT, AXES = "an operand", "an axis", "True or False", "sizes", "a text", "axes"
PLAIN_STEP = 16  # how many multiplications of a matrix product one number of an elementwise result takes as long as


class Limits(Protocol):
    """What a computation must ask before it takes memory or time; both raise FormulaError."""

    dtype: np.dtype[Any]

    def room(self, shape: Sequence[int]) -> None:
        """Refuses an array of this shape if it is too large."""

    def spend(self, count: float) -> None:
        """Refuses so many multiplications if they are too many."""


@dataclass(frozen=True)
class Function:
    """One function.

    compute     a function of (limits, the operand, the other arguments); raises ValueError or IndexError for arguments
                that do not fit
    parameters  (name, kind) of the arguments after the first operand; a '?' after the name: may be left out
    rest        the kind of any number of further arguments
    first       whether it has a first operand
    """

    compute: Callable[..., Value]
    parameters: tuple[tuple[str, str], ...] = ()
    rest: str = ""
    first: bool = True


def _unknown(array: Array) -> Value:
    return Value(array, "?" * array.ndim)


def _same(value: Value, array: Array) -> Value:
    return Value(array, value.letters)


# ---- element by element ----


def _elementwise(function: Callable[[Array], Array]) -> Function:
    return Function(lambda limits, a: _same(a, np.asarray(function(a.array), limits.dtype)))


def _joined(limits: Limits, function: Callable[..., Any], *values: Value) -> Value:
    shape = np.broadcast_shapes(*(value.array.shape for value in values))
    limits.room(shape)
    letters = ""
    for value in values:
        letters = axis_letters.joined(letters, value.letters, shape)
    return Value(np.asarray(function(*(value.array for value in values)), limits.dtype), letters)


def _where(limits: Limits, condition: Value, kept: Value, other: Value) -> Value:
    return _joined(limits, lambda c, a, b: np.where(c != 0, a, b), condition, kept, other)


def _paired(function: Callable[..., Any]) -> Function:
    return Function(lambda limits, a, b: _joined(limits, function, a, b), (("second", VALUE),))


# ---- sums ----


def _total(function: Callable[..., Any]) -> Function:
    def compute(limits: Limits, a: Value, axis: Any = None, keepdims: bool | None = None) -> Value:
        keeps = bool(keepdims)
        array = np.asarray(function(a.array, axis=axis, keepdims=keeps), limits.dtype)
        letters = a.letters
        if isinstance(axis, tuple):
            for k in sorted((k % max(1, a.array.ndim) for k in axis), reverse=True):
                letters = axis_letters.summed(letters, k, keeps)
        else:
            letters = axis_letters.summed(letters, axis, keeps)
        return Value(array, letters) if a.array.ndim else Value(array, "")  # numpy lets a number have an axis 0

    return Function(compute, (("axis?", AXIS), ("keepdims?", FLAG)))


# ---- axes ----


def _unsqueeze(limits: Limits, a: Value, axis: int) -> Value:
    array = np.expand_dims(a.array, axis)
    if isinstance(axis, tuple):
        return _unknown(array)
    at = axis % array.ndim
    return Value(array, a.letters[:at] + "1" + a.letters[at:], a.is_mask)


def _squeeze(limits: Limits, a: Value, axis: Any = None) -> Value:
    return _unknown(np.squeeze(a.array, axis))


def _permute(limits: Limits, a: Value, axes: tuple[int, ...]) -> Value:
    array = np.transpose(a.array, axes)
    return Value(array, "".join(a.letters[k] for k in axes), a.is_mask)


def _swapaxes(limits: Limits, a: Value, one: int, other: int) -> Value:
    array, letters = np.swapaxes(a.array, one, other), list(a.letters)
    letters[one], letters[other] = letters[other], letters[one]
    return Value(array, "".join(letters), a.is_mask)


def _reshape(limits: Limits, a: Value, *sizes: tuple[int, ...]) -> Value:
    return _unknown(a.array.reshape(_flat(sizes)))


def _expand(limits: Limits, a: Value, *sizes: tuple[int, ...]) -> Value:
    shape = list(_flat(sizes))
    for k in range(1, min(len(shape), a.array.ndim) + 1):
        shape[-k] = a.array.shape[-k] if shape[-k] == -1 else shape[-k]
    limits.room(shape)
    return _unknown(np.broadcast_to(a.array, shape))


def _flat(sizes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(size for group in sizes for size in group)


def _as_large_as(limits: Limits, a: Value, b: Value) -> Value:
    limits.room(b.array.shape)
    return Value(np.broadcast_to(a.array, b.array.shape), b.letters)


# ---- rows, and classes ----


def _softmax(limits: Limits, a: Value, axis: int | None = None) -> Value:
    return _same(a, softmax_of(a.array, -1 if axis is None else axis))


def _log_softmax(limits: Limits, a: Value, axis: int | None = None) -> Value:
    return _same(a, np.log(softmax_of(a.array, -1 if axis is None else axis)))


def sigmoid_of(array: Array) -> Array:
    """The sigmoid of an array's elements."""
    result: Array = 1 / (1 + np.exp(-array))
    return result


def softmax_of(array: Array, axis: int) -> Array:
    """exp(array), over its sum along an axis; the largest number is taken off first."""
    powers = np.exp(array - array.max(axis, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


def _one_hot(limits: Limits, a: Value, classes: tuple[int, ...]) -> Value:
    (count,) = classes
    limits.room((*a.array.shape, count))
    return Value(np.asarray(a.array[..., None] == np.arange(count), limits.dtype), a.letters + "j")


# ---- products ----


def _outer(limits: Limits, a: Value, b: Value) -> Value:
    limits.room((a.array.size, b.array.size))
    letters = a.letters + b.letters if a.array.ndim == b.array.ndim == 1 else "??"
    return Value(np.outer(a.array, b.array), letters)


def _einsum(limits: Limits, text: str, *operands: Value) -> Value:
    text = text.replace(" ", "")
    inputs, arrow, result = text.partition("->")
    subscripts = inputs.split(",")
    if not all(part.isalpha() and part.isascii() for part in (*subscripts, *([result] if result else []))):
        raise ValueError(f"{text!r}: expected letters, commas and one ->, such as 'ik,ij->kj'")
    if len(subscripts) != len(operands):
        raise ValueError(f"{text!r} is for {len(subscripts)} operands, found {len(operands)}")
    lengths: dict[str, int] = {}
    for letters, operand in zip(subscripts, operands, strict=True):
        if len(letters) != operand.array.ndim:
            raise ValueError(f"'{letters}' is for {len(letters)} axes, the operand has shape {operand.array.shape}")
        for letter, length in zip(letters, operand.array.shape, strict=True):
            if lengths.setdefault(letter, length) != length:
                raise ValueError(f"{text!r}: '{letter}' counts {lengths[letter]} and {length}")
    if not arrow:
        result = "".join(letter for letter in sorted(lengths) if inputs.count(letter) == 1)
    if not set(result) <= set(lengths) or len(set(result)) != len(result):
        raise ValueError(f"{text!r}: after -> each letter stands once, and it stands before -> too")
    limits.room([lengths[letter] for letter in result])
    slow = 1 if len(operands) == 2 else PLAIN_STEP  # numpy multiplies two by its matrix product
    limits.spend(float(np.prod([float(length) for length in lengths.values()])) * len(operands) * slow)
    array = np.einsum(f"{inputs}->{result}", *(operand.array for operand in operands), optimize=len(operands) == 2)
    known = {
        letter: axis
        for letters, operand in zip(subscripts, operands, strict=True)
        for letter, axis in zip(letters, operand.letters, strict=True)
    }
    return Value(np.asarray(array, limits.dtype), "".join(known[letter] for letter in result))


def _tensordot(limits: Limits, a: Value, b: Value, axes: Any = 2) -> Value:
    left, right = a.array, b.array
    if isinstance(axes, int):
        over_left, over_right = tuple(range(left.ndim - axes, left.ndim)), tuple(range(axes))
    else:
        over_left, over_right = ((part,) if isinstance(part, int) else tuple(part) for part in axes)
    over = tuple(
        tuple(k % max(1, array.ndim) for k in part) for array, part in ((left, over_left), (right, over_right))
    )
    kept = [[k for k in range(array.ndim) if k not in part] for array, part in zip((left, right), over, strict=True)]
    shape = [left.shape[k] for k in kept[0]] + [right.shape[k] for k in kept[1]]
    limits.room(shape)
    limits.spend(float(np.prod([float(n) for n in (*shape, *(left.shape[k] for k in over[0]))])))
    letters = "".join(a.letters[k] for k in kept[0]) + "".join(b.letters[k] for k in kept[1])
    return Value(np.asarray(np.tensordot(left, right, (over_left, over_right)), limits.dtype), letters)


# ---- new arrays ----


def _filled(value: float) -> Function:
    def compute(limits: Limits, *sizes: tuple[int, ...]) -> Value:
        shape = _flat(sizes)
        limits.room(shape)
        return _unknown(np.full(shape, value, limits.dtype))

    return Function(compute, rest=SIZES, first=False)


def _eye(limits: Limits, sizes: tuple[int, ...]) -> Value:
    (n,) = sizes
    limits.room((n, n))
    return _unknown(np.eye(n, dtype=limits.dtype))


def _like(value: float) -> Function:
    return Function(lambda limits, a: _same(a, np.full(a.array.shape, value, limits.dtype)))


def _diag(limits: Limits, a: Value) -> Value:
    limits.room((a.array.size, a.array.size) if a.array.ndim == 1 else a.array.shape)
    return _unknown(np.diag(a.array))


def _stack(limits: Limits, a: Value, axis: int | None = None) -> Value:
    return _unknown(np.moveaxis(a.array, 0, axis or 0))


def _concatenate(limits: Limits, a: Value, axis: int | None = None) -> Value:
    return _unknown(np.concatenate(list(a.array), axis or 0))


FUNCTIONS: dict[str, Function] = {
    "sum": _total(np.sum),
    "mean": _total(np.mean),
    "where": Function(_where, (("kept", VALUE), ("other", VALUE))),
    "maximum": _paired(np.maximum),
    "minimum": _paired(np.minimum),
    "heaviside": _paired(np.heaviside),
    "relu": _elementwise(lambda a: np.maximum(a, a.dtype.type(0))),
    "abs": _elementwise(np.abs),
    "sign": _elementwise(np.sign),
    "sqrt": _elementwise(np.sqrt),
    "exp": _elementwise(np.exp),
    "log": _elementwise(np.log),
    "tanh": _elementwise(np.tanh),
    "sigmoid": _elementwise(sigmoid_of),
    "softmax": Function(_softmax, (("axis?", AXIS),)),
    "log_softmax": Function(_log_softmax, (("axis?", AXIS),)),
    "one_hot": Function(_one_hot, (("classes", SIZES),)),
    "reciprocal": _elementwise(np.reciprocal),
    "float": _elementwise(np.asarray),
    "int": _elementwise(np.trunc),
    "unsqueeze": Function(_unsqueeze, (("axis", AXIS),)),
    "squeeze": Function(_squeeze, (("axis?", AXIS),)),
    "permute": Function(_permute, (("axes", AXIS),)),
    "swapaxes": Function(_swapaxes, (("axis", AXIS), ("other axis", AXIS))),
    "reshape": Function(_reshape, rest=SIZES),
    "ravel": Function(lambda limits, a: _unknown(a.array.reshape(-1))),
    "expand": Function(_expand, rest=SIZES),
    "expand_as": Function(_as_large_as, (("second", VALUE),)),
    "outer": Function(_outer, (("second", VALUE),)),
    "tensordot": Function(_tensordot, (("second", VALUE), ("axes?", AXES))),
    "einsum": Function(_einsum, (("subscripts", TEXT),), rest=VALUE, first=False),
    "ones": _filled(1.0),
    "zeros": _filled(0.0),
    "eye": Function(_eye, (("n", SIZES),), first=False),
    "ones_like": _like(1.0),
    "zeros_like": _like(0.0),
    "diag": Function(_diag),
    "stack": Function(_stack, (("axis?", AXIS),)),
    "concatenate": Function(_concatenate, (("axis?", AXIS),)),
}
