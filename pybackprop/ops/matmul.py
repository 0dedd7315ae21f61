"""matmul: the product without gradients, and `@` of tensors, with lin's gradients. In C: csrc/ops/matmul.c."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pybackprop.autograd.messages import describe
from pybackprop.autograd.tape import cut, record
from pybackprop.autograd.tensor import Tensor, operand, wrap
from pybackprop.core import native, observer
from pybackprop.core.arrays import Array, empty
from pybackprop.core.errors import DTypeError, GradientError, ShapeError
from pybackprop.ops.checks import operands, refuse_overlap
from pybackprop.ops.linear import lin_backward, needed
from pybackprop.ops.op import Op, attach, register

__all__ = ["MATMUL", "matmul", "product"]

_matmul = native.lib.bp_matmul


def matmul(
    a: ArrayLike,
    b: ArrayLike,
    transpose_a: bool = False,
    transpose_b: bool = False,
    out: Tensor | Array | None = None,
    accumulate: bool = False,
) -> Tensor | Any:
    """op(a) (rows,inner) @ op(b) (inner,cols); op transposes if transpose_a or transpose_b is set.

    a, b        tensors or arrays of one dtype, float32 or float64
    out         a tensor or array (rows,cols) of that dtype to write to, whose rows are contiguous; it is then the
                result. Without it the result is a new Tensor
    accumulate  add to what out holds

    Each element is one chain of fused multiply-adds over the inner index, ascending. Off the tape: a backward through
    it raises GradientError; `a @ b` has gradients. Raises ShapeError for shapes that do not fit, DTypeError for mixed
    dtypes or data that is not real, GradientError for an out that is a result on the tape, ValueError for an out that
    is read-only or overlaps a or b, and for accumulate without out.
    """
    if type(out) is type(a) is type(b) is Tensor and out._node is None and out._array.flags.writeable:
        try:
            if not _matmul(out._matrix, a._matrix, b._matrix, transpose_a, transpose_b, accumulate):
                out._version.wrote("matmul")
                if observer.active is not None:
                    _tell(out._array, a, b, transpose_a)
                return out
        except (TypeError, OverflowError):  # no bp_matrix yet, or the flags are not bools
            for operand in (out, a, b):
                _describe(operand)
    left, right = operands("matmul", a=a, b=b)
    _check_2d(left.shape, right.shape)
    left_array = left._array.T if transpose_a else left._array
    right_array = right._array.T if transpose_b else right._array
    shape = _check_product("matmul", left_array.shape, right_array.shape)
    if out is None:
        if accumulate:
            raise ValueError("matmul: accumulate=True adds to out, and no out was given")
        out = wrap(empty("matmul", shape, left.dtype))
        _multiply(out._array, left_array, right_array, False)
        return cut(out, "matmul", left, right, products=((shape[0], left_array.shape[1], shape[1]),))
    array = _writable(out, shape, left_array, right_array)
    _multiply(array, left_array, right_array, bool(accumulate))
    if observer.active is not None:
        _tell(array, left, right, transpose_a)
    return out


def _tell(out: Array, a: Tensor, b: Tensor, transpose_a: bool) -> None:
    """Reports a product that was written to the argument out to the observer."""
    product = (out.shape[0], a.shape[0 if transpose_a else 1], out.shape[1])
    assert observer.active is not None
    observer.active.ran("matmul", out, a._array, b._array, products=(product,))


def _describe(t: Tensor) -> None:
    """Makes the tensor's bp_matrix, if C can use its memory directly and it may be written to."""
    if t.ndim != 2 or not t._array.flags.writeable or not t._array.flags.aligned or t.holds_its_gradient():
        return
    for transposed, stored in ((False, t._array), (True, t._array.T)):
        stride = _stride(stored)
        if stride is not None:
            t.hold()
            t._matrix = native.matrix(t._array, stride, transposed)
            return


def at(self: Tensor, other: ArrayLike) -> Tensor:
    """self @ other: (n,h) of (n,m) @ (m,h), on the tape, with the bits and gradients of lin.

    A vector is one row on the left and one column on the right: (h) of (m) @ (m,h), one number of (m) @ (m). Raises
    ShapeError where the inner sizes differ, or for more than two dimensions; DTypeError for mixed dtypes.
    """
    return product(self, operand("@", self, other))


def rat(self: Tensor, other: ArrayLike) -> Tensor:
    """other @ self."""
    return product(operand("@", self, other), self)


def product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b for tensors of one dtype."""
    if a.ndim == 2 and b.ndim == 2:
        shape = _check_product("@", a.shape, b.shape)
        out = wrap(empty("@", shape, a.dtype))
        _multiply(out._array, a._array, b._array, False)
        return record(out, MATMUL, (a, b), needed(a, b), products=((shape[0], a.shape[1], shape[1]),))
    if not 1 <= min(a.ndim, b.ndim) <= max(a.ndim, b.ndim) <= 2:
        raise ShapeError(f"@: found {a.shape} @ {b.shape}, expected one or two dimensions on each side")
    rows = a if a.ndim == 2 else a.unsqueeze(0)
    columns = b if b.ndim == 2 else b.unsqueeze(1)
    return product(rows, columns).reshape(a.shape[:-1] + b.shape[1:])


def _check_2d(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    if len(a) != 2 or len(b) != 2:
        raise ShapeError(f"matmul: found a of shape {a} and b of shape {b}, expected two dimensions each")


def _check_product(operation: str, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, int]:
    if a[1] == b[0]:
        return a[0], b[1]
    fix = ""
    if a[1] == b[1]:
        fix = ": the right one's transpose (.T) would fit"
    elif a[0] == b[0]:
        fix = ": the left one's transpose (.T) would fit"
    raise ShapeError(
        f"{operation}: found {a} @ {b}: axis 1 of the left has {a[1]}, axis 0 of the right has {b[0]}; "
        f"they must agree{fix}"
    )


def _writable(out: Any, shape: tuple[int, int], a: Array, b: Array) -> Array:
    """out's array, after checking it."""
    array = out._array if isinstance(out, Tensor) else out
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"matmul: out is a {type(out).__name__}, expected a tensor or a numpy array")
    if array.shape != shape:
        raise ShapeError(f"matmul: found out of shape {array.shape}, expected {shape}")
    if array.dtype != a.dtype or not array.dtype.isnative:
        raise DTypeError(f"matmul: found out of {array.dtype}, expected {a.dtype}, as a and b are")
    if _stride(array) is None or not array.flags.aligned:
        raise ValueError("matmul: out's rows are not contiguous and aligned; give an array in C order")
    refuse_overlap("matmul", array, a=a, b=b)
    if not isinstance(out, Tensor):
        out = wrap(array)
    elif out.requires_g and out._node is not None:
        raise GradientError(f"matmul: out is {describe(out)}, the result of '{out._node.op.name}', on the tape")
    out.touch("matmul")
    return array


def _multiply(out: Array, a: Array, b: Array, accumulate: bool) -> None:
    (a, lda, transpose_a), (b, ldb, transpose_b) = _layout(a), _layout(b)
    ldc = _stride(out) or out.shape[1]
    call = native.matmul[out.dtype]
    pointers = [native.address(array) for array in (out, a, b)]
    sizes = (*out.shape, a.shape[1])
    rows, cols, inner = sizes
    native.check(
        call(
            pointers[0],
            ldc,
            pointers[1],
            lda,
            pointers[2],
            ldb,
            rows,
            inner,
            cols,
            transpose_a,
            transpose_b,
            accumulate,
        )
    )


def _layout(array: Array) -> tuple[Array, int, bool]:
    """(array or a contiguous copy, its leading dimension, whether the transpose is stored)."""
    for transposed, stored in ((False, array), (True, array.T)):
        row = _stride(stored)
        if row is not None:
            return array, row, transposed
    copy = np.ascontiguousarray(array)
    return copy, copy.shape[1], False


def _stride(array: Array) -> int | None:
    """The leading dimension in elements if the rows are contiguous, so that C can use the array; else None."""
    cols: int = array.shape[1]
    if array.flags.c_contiguous:
        return cols
    down, right = array.strides
    if (right != array.itemsize and cols > 1) or down % array.itemsize or down < cols * array.itemsize:
        return None
    return int(down // array.itemsize)


MATMUL = register(
    Op(
        "@",
        product,
        lin_backward,
        operands=("x", "w"),
        equation="out[i,j] = Σ_k x[i,k] w[k,j]",
        gradients=("out.g @ w.T", "x.T @ out.g"),
        axes=("ik", "kj", "ij"),
        references=("linear_forward", "linear_backward_x", "linear_backward_w"),
    )
)
attach("__matmul__", at)
attach("__rmatmul__", rat)
