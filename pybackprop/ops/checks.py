"""Checks before an operation computes: operands become tensors of one dtype, and their shapes have to fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pybackprop.autograd import messages, tape
from pybackprop.autograd.messages import describe
from pybackprop.autograd.tensor import Tensor, foreign
from pybackprop.core.arrays import as_array, is_plain
from pybackprop.core.errors import DTypeError, GradientError, ShapeError
from pybackprop.core.native import FLOAT32, FLOAT64


def operands(operation: str, **values: Any) -> list[Any]:
    """values as tensors of one dtype; None stays None. Other data takes the dtype of the tensors.

    Raises DTypeError where float32 and float64 are mixed, or a value is not real.
    """
    return operands_of(operation, values)


def operands_of(operation: str, values: Mapping[str, Any]) -> list[Any]:
    """As `operands`, for values by name."""
    if ready := _as_they_are(values.values()):
        return ready
    for name, value in values.items():
        if isinstance(value, Tensor) and value.holds_its_gradient():
            raise GradientError(messages.spoiled(operation, name, value))
    like = next((v.dtype for v in reversed([*values.values()]) if isinstance(v, Tensor)), None)
    tensors = {
        name: v if v is None or isinstance(v, Tensor) else foreign(as_array(v, like, f"{operation}: {name}"))
        for name, v in values.items()
    }
    present = {name: t for name, t in tensors.items() if t is not None}
    if len({t.dtype for t in present.values()}) > 1:
        described = ", ".join(f"{name} {t.shape} {t.dtype}" for name, t in present.items())
        raise DTypeError(f"{operation}: the dtypes differ: {described}. Convert with .float(), .double() or .astype()")
    return list(tensors.values())


def _as_they_are(values: Iterable[Any]) -> list[Any]:
    """values as tensors if none needs a conversion and nothing is wrong with them; else an empty list."""
    tensors: list[Any] = []
    dtype: Any = None
    for value in values:
        if type(value) is np.ndarray and value.dtype in (FLOAT32, FLOAT64) and value.flags.aligned:
            value = foreign(value)
        if value is not None:
            if type(value) is not Tensor or (dtype is not None and value._array.dtype is not dtype):
                return []
            if value._g is not None and value._g._version is value._version:  # holds_its_gradient, inlined for speed
                return []
            dtype = value._array.dtype
        tensors.append(value)
    return tensors


def check_lin(operation: str, x: Tensor, w: Tensor, b: Tensor | None) -> tuple[int, int, int]:
    """(n, m, h) of x (n,m) @ w (m,h) + b (h). Raises ShapeError."""
    x_shape, w_shape = x._array.shape, w._array.shape
    fits = len(x_shape) == 2 == len(w_shape) and x_shape[1] == w_shape[0]
    if fits and (b is None or b._array.shape == w_shape[1:]):
        return x_shape[0], x_shape[1], w_shape[1]
    named = f"{operation}: x {x.shape} @ w {w.shape}" + ("" if b is None else f" + b {b.shape}")
    raise ShapeError(f"{named}: {_lin_fault(x, w, b)}")


def _lin_fault(x: Tensor, w: Tensor, b: Tensor | None) -> str:
    for name, operand, hint in (("x", x, "one row of m numbers is x[None]"), ("w", w, "one column is w[:,None]")):
        if operand.ndim != 2:
            return f"{name} has {operand.ndim} dimensions, expected 2, rows and columns; {hint}"
    if x.shape[1] != w.shape[0]:
        fix = _transpose_hint(x.shape, w.shape)
        return f"axis 1 of x has {x.shape[1]}, axis 0 of w has {w.shape[0]}; they must agree{fix}"
    shape = b.shape if b is not None else ()
    fix = "; take b.squeeze(0) or b[0]" if len(shape) == 2 and shape[1:] == w.shape[1:] else ""
    return f"found b of shape {shape}, expected {w.shape[1:]}: one number for each column of w{fix}"


def _transpose_hint(x: tuple[int, ...], w: tuple[int, ...]) -> str:
    if x[1] == w[1]:
        return ": w.T would fit (here w is inputs by outputs, the transpose of torch.nn.Linear's)"
    if x[0] == w[0]:
        return ": x.T would fit (here rows are samples)"
    return ""


def check_same(operation: str, **pair: Tensor) -> None:
    """Raises ShapeError unless both have one shape."""
    (a_name, a), (b_name, b) = pair.items()
    if a.shape != b.shape:
        raise ShapeError(
            f"{operation}: found {a_name} of shape {a.shape} and {b_name} of shape {b.shape}; they must be equal"
        )


def check_mse(operation: str, out: Tensor, targ: Tensor) -> tuple[int, int]:
    """(n, h) of the elements to compare. targ (n,) is taken as a column for out (n,1). Raises ShapeError."""
    o, t = out.shape, targ.shape
    if o != t and not (o == (*t, 1) and len(t) == 1):
        raise ShapeError(f"{operation}: found out {o} and targ {t}{mse_hint(o, t)}")
    if out.size == 0:
        raise ShapeError(f"{operation}: the mean of no elements is not defined; out has shape {o}")
    rows = o[0] if o else 1
    return rows, out.size // rows


def mse_hint(o: tuple[int, ...], t: tuple[int, ...]) -> str:
    """What to do about outputs and targets of different shapes, for messages."""
    column, row = (o, t) if len(o) == 2 else (t, o)
    if len(column) == 2 and column[1] == 1 and len(row) == 1:
        n = column[0]
        if row[0] == n:
            return (
                f": out - targ would broadcast to {(n, n)}, every output minus every target. "
                f"Make out a column, out[:,None], or targ a row, targ[:,0]"
            )
        return f": {o[0]} outputs for {t[0]} targets"
    if len(o) == 2 and o[1] > 1 and t == o[:1]:
        return (
            f": one target per row, {o[1]} outputs; class labels become targets as rows of the "
            f"identity matrix, np.eye({o[1]})[targ]"
        )
    if len(o) == 2 and t == o[::-1]:
        return ": targ.T would fit"
    try:
        broadcast = np.broadcast_shapes(o, t)
    except ValueError:
        return ": they must be equal"
    return f": out - targ would broadcast to {broadcast}; they must be equal"


def upstream_of(operation: str, out: Tensor) -> Tensor:
    """out.g, set by the operation after this one.

    Raises GradientError if out.g is missing or belongs to earlier values of out, or if values that out was computed
    from have been overwritten.
    """
    if not isinstance(out, Tensor):
        raise GradientError(f"{operation}: out is a {type(out).__name__}, which has no .g; pass forward's own result")
    if out._g is None:
        raise GradientError(messages.no_gradient(operation, out))
    g, place, version = out._g, out._g_place, out._version
    known = place is not None and not place.gone and place.writes == g._version.count and g._version is not version
    if known and place is not None and place.values != version.count:
        raise GradientError(messages.stale(operation, out))
    node = out._node
    if node is not None:
        node.check_values(operation)
    return g


def output(operation: str, out: Any, shape: tuple[int, ...], **inputs: Tensor | None) -> Tensor:
    """out as a tensor to write to, off the tape. Raises, before any write, for all that could be wrong with it."""
    dtype = next(t for t in inputs.values() if t is not None).dtype
    array = out._array if isinstance(out, Tensor) else out
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"{operation}: out is a {type(out).__name__}, expected a tensor or a numpy array")
    if array.shape != shape:
        raise ShapeError(f"{operation}: found out of shape {array.shape}, expected {shape}")
    if array.dtype != dtype or not array.dtype.isnative:
        raise DTypeError(f"{operation}: found out of {array.dtype}, expected {dtype}, as the inputs are")
    if not is_plain(array):
        raise ValueError(f"{operation}: out is not contiguous and aligned; give an array in C order")
    refuse_overlap(operation, array, **{name: t._array for name, t in inputs.items() if t is not None})
    tensor = out if isinstance(out, Tensor) else foreign(array)
    _refuse_tracked(operation, tensor)
    tensor.touch(f"{operation}(out=)")
    tensor._node, tensor.requires_g = None, False
    return tensor


def _refuse_tracked(operation: str, out: Tensor) -> None:
    """Raises GradientError for a parameter, and for an out that may share memory with a tensor on the tape."""
    if not out.requires_g:
        return
    if out._node is None:
        raise GradientError(f"{operation}: out is {describe(out)}, a parameter; overwriting it would lose its values")
    if tape.may_share(out):
        raise GradientError(
            f"{operation}: out is {describe(out)} and came from '{out._node.op.name}', so it may share the memory of "
            "a tensor on the tape, whose gradient would then be wrong. Give it memory of its own"
        )


def refuse_lost(operation: str, written: Sequence[Tensor | None], read: Sequence[Tensor]) -> None:
    """Raises ValueError if the current `.g` of a tensor in written shares memory with a tensor in read."""
    for operand in read:
        version = operand._version
        if version.own:
            continue
        for tensor in written:
            g = None if tensor is None else tensor._g
            if g is not None and (g._version is version or (version.foreign and _share(g, operand))):
                raise ValueError(
                    f"{operation}: the .g of {describe(tensor)} would be written over an operand, {describe(operand)}, "  # type: ignore[arg-type]
                    "while that is read: it shares its memory. Give a copy: bp.tensor(t)"
                )


def _share(g: Tensor, operand: Tensor) -> bool:
    gradient, read = g._array, operand._array
    base = gradient.base
    same_base = read is gradient or read.base is gradient or (base is not None and read.base is base)
    return same_base and np.shares_memory(gradient, read)


def overlaps_itself(array: Any) -> bool:
    """Whether several elements may share one place in memory, as in a broadcast view."""
    if array.flags.c_contiguous:
        return False
    reach = array.itemsize
    for step, length in sorted((abs(step), n) for step, n in zip(array.strides, array.shape, strict=True) if n > 1):
        if step < reach:
            return True
        reach += step * (length - 1)
    return False


def refuse_overlap(operation: str, out: Any, **inputs: Any) -> None:
    """Raises ValueError if out shares memory with an input that would be read after it was written."""
    for name, array in inputs.items():
        if np.shares_memory(out, array):
            raise ValueError(f"{operation}: out overlaps {name} in memory; give it memory of its own")
