"""The only module that imports the C core. Each operation is listed once, by dtype, under its C name."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop._core import ffi
from pybackprop._core import lib as lib
from pybackprop.errors import ShapeError

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
C_TYPE = {FLOAT32: "float[]", FLOAT64: "double[]"}
C_POINTER = {FLOAT32: "float *", FLOAT64: "double *"}
NULL = ffi.NULL
SEGMENT: int = lib.BP_SEGMENT

linear_forward = {FLOAT32: lib.bp_linear_forward_f32, FLOAT64: lib.bp_linear_forward_f64}
linear_backward_x = {FLOAT32: lib.bp_linear_backward_x_f32, FLOAT64: lib.bp_linear_backward_x_f64}
linear_backward_w = {FLOAT32: lib.bp_linear_backward_w_f32, FLOAT64: lib.bp_linear_backward_w_f64}
linear_backward_b = {FLOAT32: lib.bp_linear_backward_b_f32, FLOAT64: lib.bp_linear_backward_b_f64}
matmul = {FLOAT32: lib.bp_matmul_f32, FLOAT64: lib.bp_matmul_f64}
relu_forward = {FLOAT32: lib.bp_relu_forward_f32, FLOAT64: lib.bp_relu_forward_f64}
relu_backward = {FLOAT32: lib.bp_relu_backward_f32, FLOAT64: lib.bp_relu_backward_f64}
mse_forward = {FLOAT32: lib.bp_mse_forward_f32, FLOAT64: lib.bp_mse_forward_f64}
mse_backward = {FLOAT32: lib.bp_mse_backward_f32, FLOAT64: lib.bp_mse_backward_f64}
sgd_update = {FLOAT32: lib.bp_sgd_update_f32, FLOAT64: lib.bp_sgd_update_f64}
sgd_momentum_update = {FLOAT32: lib.bp_sgd_momentum_update_f32, FLOAT64: lib.bp_sgd_momentum_update_f64}
random_uniform = {FLOAT32: lib.bp_random_uniform_f32, FLOAT64: lib.bp_random_uniform_f64}

ref_linear_forward = {FLOAT32: lib.bp_ref_linear_forward_f32, FLOAT64: lib.bp_ref_linear_forward_f64}
ref_linear_backward_x = {
    FLOAT32: lib.bp_ref_linear_backward_x_f32,
    FLOAT64: lib.bp_ref_linear_backward_x_f64,
}
ref_linear_backward_w = {
    FLOAT32: lib.bp_ref_linear_backward_w_f32,
    FLOAT64: lib.bp_ref_linear_backward_w_f64,
}
ref_linear_backward_b = {
    FLOAT32: lib.bp_ref_linear_backward_b_f32,
    FLOAT64: lib.bp_ref_linear_backward_b_f64,
}
ref_matmul = {FLOAT32: lib.bp_ref_matmul_f32, FLOAT64: lib.bp_ref_matmul_f64}
ref_relu_forward = {FLOAT32: lib.bp_ref_relu_forward_f32, FLOAT64: lib.bp_ref_relu_forward_f64}
ref_relu_backward = {FLOAT32: lib.bp_ref_relu_backward_f32, FLOAT64: lib.bp_ref_relu_backward_f64}
ref_mse_forward = {FLOAT32: lib.bp_ref_mse_forward_f32, FLOAT64: lib.bp_ref_mse_forward_f64}
ref_mse_backward = {FLOAT32: lib.bp_ref_mse_backward_f32, FLOAT64: lib.bp_ref_mse_backward_f64}
ref_sgd_update = {FLOAT32: lib.bp_ref_sgd_update_f32, FLOAT64: lib.bp_ref_sgd_update_f64}
ref_sgd_momentum_update = {
    FLOAT32: lib.bp_ref_sgd_momentum_update_f32,
    FLOAT64: lib.bp_ref_sgd_momentum_update_f64,
}


def pointer(array: np.ndarray[Any, Any]) -> Any:
    """A C pointer to a contiguous array's memory; keeps the array alive."""
    return ffi.from_buffer(C_TYPE[array.dtype], array)


def check(status: int) -> None:
    """Turns a bp_status into the exception it stands for."""
    if status == lib.BP_OVERFLOW:
        raise ShapeError("the sizes' product does not fit in memory that can be addressed")
    if status == lib.BP_EMPTY:
        raise ShapeError("mse: the mean of no elements is not defined; give at least one row and one column")
    if status != lib.BP_OK:
        raise RuntimeError(f"the C core answered with status {status}")


def text(c_string: Any) -> str:
    found: bytes = ffi.string(c_string)
    return found.decode()


def new_state(seed: int, stream: int) -> Any:
    """A place in the frozen random stream, for the functions that advance it."""
    return ffi.new("uint64_t *", lib.bp_random_stream(seed, stream))


def permutation(size: int, seed: int, stream: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A shuffled arange(size), the same for the same seed and stream on every machine."""
    index = np.empty(size, np.int64)
    lib.bp_random_permutation(ffi.from_buffer("int64_t[]", index), new_state(seed, stream), size)
    return index


def matrix(array: np.ndarray[Any, Any], stride: int, transposed: bool) -> Any:
    """A bp_matrix; does not keep the array alive."""
    rows, cols = array.shape
    return ffi.new("bp_matrix *", [address(array), rows, cols, stride, array.dtype == FLOAT64, transposed])


def address(array: np.ndarray[Any, Any]) -> Any:
    """A C pointer to an array's first element, whatever its strides. Does not keep the array alive."""
    return ffi.cast(C_POINTER[array.dtype], array.__array_interface__["data"][0])
