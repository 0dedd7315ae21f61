"""The only module that imports the C core. Each operation is listed once, by dtype, under its C name."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from pybackprop._core import ffi
from pybackprop._core import lib as lib
from pybackprop.core.errors import ShapeError

ByDtype: TypeAlias = dict[np.dtype[Any], Any]  # the C function for each type of element

FLOAT32: np.dtype[Any] = np.dtype(np.float32)
FLOAT64: np.dtype[Any] = np.dtype(np.float64)
C_TYPE: dict[np.dtype[Any], str] = {FLOAT32: "float[]", FLOAT64: "double[]"}
C_POINTER: dict[np.dtype[Any], str] = {FLOAT32: "float *", FLOAT64: "double *"}
_ADDRESS = ffi.typeof("uintptr_t")
NULL = ffi.NULL
from_buffer = ffi.from_buffer
SEGMENT: int = lib.BP_SEGMENT
UNKNOWN: int = lib.BP_UNKNOWN
DIVERGED: int = lib.BP_DIVERGED
STRATEGIES = {"layers": lib.BP_LAYERS, "fused": lib.BP_FUSED, "split": lib.BP_SPLIT}
NO_ACTIVATION: int = lib.BP_ACTIVATION_NONE
ACTIVATIONS = {"relu": lib.BP_ACTIVATION_RELU, "leaky_relu": lib.BP_ACTIVATION_LEAKY_RELU}

linear_forward: ByDtype = {FLOAT32: lib.bp_linear_forward_f32, FLOAT64: lib.bp_linear_forward_f64}
linear_backward_x: ByDtype = {FLOAT32: lib.bp_linear_backward_x_f32, FLOAT64: lib.bp_linear_backward_x_f64}
linear_backward_w: ByDtype = {FLOAT32: lib.bp_linear_backward_w_f32, FLOAT64: lib.bp_linear_backward_w_f64}
linear_backward_b: ByDtype = {FLOAT32: lib.bp_linear_backward_b_f32, FLOAT64: lib.bp_linear_backward_b_f64}
linear_backward_wb: ByDtype = {FLOAT32: lib.bp_linear_backward_wb_f32, FLOAT64: lib.bp_linear_backward_wb_f64}
matmul_workspace: ByDtype = {FLOAT32: lib.bp_matmul_workspace_f32, FLOAT64: lib.bp_matmul_workspace_f64}
matmul: ByDtype = {FLOAT32: lib.bp_matmul_f32, FLOAT64: lib.bp_matmul_f64}
relu_forward: ByDtype = {FLOAT32: lib.bp_relu_forward_f32, FLOAT64: lib.bp_relu_forward_f64}
relu_backward: ByDtype = {FLOAT32: lib.bp_relu_backward_f32, FLOAT64: lib.bp_relu_backward_f64}
leaky_relu_forward: ByDtype = {FLOAT32: lib.bp_leaky_relu_forward_f32, FLOAT64: lib.bp_leaky_relu_forward_f64}
leaky_relu_backward: ByDtype = {FLOAT32: lib.bp_leaky_relu_backward_f32, FLOAT64: lib.bp_leaky_relu_backward_f64}
mse_forward: ByDtype = {FLOAT32: lib.bp_mse_forward_f32, FLOAT64: lib.bp_mse_forward_f64}
mse_backward: ByDtype = {FLOAT32: lib.bp_mse_backward_f32, FLOAT64: lib.bp_mse_backward_f64}
chain_forward: ByDtype = {FLOAT32: lib.bp_chain_forward_f32, FLOAT64: lib.bp_chain_forward_f64}
chain_backward: ByDtype = {FLOAT32: lib.bp_chain_backward_f32, FLOAT64: lib.bp_chain_backward_f64}
plan_workspace: ByDtype = {FLOAT32: lib.bp_plan_workspace_f32, FLOAT64: lib.bp_plan_workspace_f64}
plan_grads: ByDtype = {FLOAT32: lib.bp_plan_grads_f32, FLOAT64: lib.bp_plan_grads_f64}
plan_step: ByDtype = {FLOAT32: lib.bp_plan_step_f32, FLOAT64: lib.bp_plan_step_f64}
plan_predict: ByDtype = {FLOAT32: lib.bp_plan_predict_f32, FLOAT64: lib.bp_plan_predict_f64}
plan_run: ByDtype = {FLOAT32: lib.bp_plan_run_f32, FLOAT64: lib.bp_plan_run_f64}
sgd_step: ByDtype = {FLOAT32: lib.bp_sgd_step_f32, FLOAT64: lib.bp_sgd_step_f64}
sgd_update: ByDtype = {FLOAT32: lib.bp_sgd_update_f32, FLOAT64: lib.bp_sgd_update_f64}
sgd_momentum_update: ByDtype = {FLOAT32: lib.bp_sgd_momentum_update_f32, FLOAT64: lib.bp_sgd_momentum_update_f64}
random_uniform: ByDtype = {FLOAT32: lib.bp_random_uniform_f32, FLOAT64: lib.bp_random_uniform_f64}

ref_linear_forward: ByDtype = {FLOAT32: lib.bp_ref_linear_forward_f32, FLOAT64: lib.bp_ref_linear_forward_f64}
ref_linear_backward_x: ByDtype = {
    FLOAT32: lib.bp_ref_linear_backward_x_f32,
    FLOAT64: lib.bp_ref_linear_backward_x_f64,
}
ref_linear_backward_w: ByDtype = {
    FLOAT32: lib.bp_ref_linear_backward_w_f32,
    FLOAT64: lib.bp_ref_linear_backward_w_f64,
}
ref_linear_backward_b: ByDtype = {
    FLOAT32: lib.bp_ref_linear_backward_b_f32,
    FLOAT64: lib.bp_ref_linear_backward_b_f64,
}
ref_matmul: ByDtype = {FLOAT32: lib.bp_ref_matmul_f32, FLOAT64: lib.bp_ref_matmul_f64}
ref_relu_forward: ByDtype = {FLOAT32: lib.bp_ref_relu_forward_f32, FLOAT64: lib.bp_ref_relu_forward_f64}
ref_relu_backward: ByDtype = {FLOAT32: lib.bp_ref_relu_backward_f32, FLOAT64: lib.bp_ref_relu_backward_f64}
ref_leaky_relu_forward: ByDtype = {
    FLOAT32: lib.bp_ref_leaky_relu_forward_f32,
    FLOAT64: lib.bp_ref_leaky_relu_forward_f64,
}
ref_leaky_relu_backward: ByDtype = {
    FLOAT32: lib.bp_ref_leaky_relu_backward_f32,
    FLOAT64: lib.bp_ref_leaky_relu_backward_f64,
}
ref_mse_forward: ByDtype = {FLOAT32: lib.bp_ref_mse_forward_f32, FLOAT64: lib.bp_ref_mse_forward_f64}
ref_mse_backward: ByDtype = {FLOAT32: lib.bp_ref_mse_backward_f32, FLOAT64: lib.bp_ref_mse_backward_f64}
ref_sgd_update: ByDtype = {FLOAT32: lib.bp_ref_sgd_update_f32, FLOAT64: lib.bp_ref_sgd_update_f64}
ref_sgd_momentum_update: ByDtype = {
    FLOAT32: lib.bp_ref_sgd_momentum_update_f32,
    FLOAT64: lib.bp_ref_sgd_momentum_update_f64,
}


def pointer(array: np.ndarray[Any, Any]) -> Any:
    """A C pointer to a contiguous array's first element. Keeps the array alive."""
    return ffi.from_buffer(C_TYPE[array.dtype], array)


def place(memory: np.ndarray[Any, Any]) -> int:
    """The address of a contiguous array; faster than array.ctypes.data."""
    return int(ffi.cast(_ADDRESS, ffi.from_buffer(memory)))


def check(status: int) -> None:
    """Raises the exception that a bp_status stands for."""
    if status == lib.BP_OVERFLOW:
        raise ShapeError("the sizes' product does not fit in memory that can be addressed")
    if status == lib.BP_EMPTY:
        raise ShapeError("mse: the mean of no elements is not defined; give at least one row and one column")
    if status == lib.BP_INVALID:
        raise ValueError("an activation's parameter is out of its range in the parameters' dtype")
    if status != lib.BP_OK:
        raise RuntimeError(f"the C core answered with status {status}")


def text(c_string: Any) -> str:
    """A C string as a str."""
    found: bytes = ffi.string(c_string)
    return found.decode()


def new_state(seed: int, stream: int) -> Any:
    """The state of one of a seed's random streams, which the functions that draw from it advance."""
    return ffi.new("uint64_t *", lib.bp_random_stream(seed, stream))


def permute(index: Any, size: int, seed: int, stream: int) -> None:
    """Fills index (int64_t[size]) with a shuffled 0 .. size-1, the same for a seed and stream on every machine."""
    lib.bp_random_permutation(index, new_state(seed, stream), size)


def layers(count: int) -> Any:
    """An array of bp_layer, zeroed. It does not keep alive what its pointers point to."""
    return ffi.new("bp_layer[]", count)


def parameters(count: int) -> Any:
    """An array of bp_parameter, zeroed. It does not keep alive what its pointers point to."""
    return ffi.new("bp_parameter[]", count)


def plan() -> Any:
    """A bp_plan, zeroed. It does not keep alive what its pointers point to."""
    return ffi.new("bp_plan *")


def progress() -> Any:
    """A bp_progress, zeroed: at the start of an epoch."""
    return ffi.new("bp_progress *")


def number(dtype: np.dtype[Any]) -> Any:
    """One number for C to write; number[0] reads it as a Python float."""
    return ffi.new(C_POINTER[dtype])


def indices(count: int) -> Any:
    """An array of int64_t, zeroed."""
    return ffi.new("int64_t[]", count)


def workspace_bytes(plan: Any, dtype: np.dtype[Any]) -> int | None:
    """The bytes that a plan's strategy needs; None if the strategy cannot compute the plan's layers."""
    size = ffi.new("size_t *")
    status = plan_workspace[dtype](plan, size)
    if status == UNKNOWN:
        return None
    check(status)
    return int(size[0])


def matrix(array: np.ndarray[Any, Any], stride: int, transposed: bool) -> Any:
    """A bp_matrix of an array. It keeps the array alive, so that its memory stays where it is."""
    rows, cols = array.shape
    made = ffi.new("bp_matrix *", [address(array), rows, cols, stride, array.dtype == FLOAT64, transposed])
    return ffi.gc(made, lambda _, array=array: None)


def address(array: np.ndarray[Any, Any]) -> Any:
    """A C pointer to the first element of an array with any strides. Does not keep the array alive."""
    return ffi.cast(C_POINTER[array.dtype], array.__array_interface__["data"][0])


def is_pointer(value: Any) -> bool:
    """Whether an argument of a C function is a pointer other than NULL."""
    return isinstance(value, ffi.CData) and value != NULL and ffi.typeof(value).kind in ("pointer", "array")


def address_of(pointer: Any) -> int:
    """The address that a C pointer holds."""
    return int(ffi.cast(_ADDRESS, pointer))
