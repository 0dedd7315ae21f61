"""The only module that imports the C core. Each operation is listed once, by dtype, under its C name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from pybackprop._core import ffi
from pybackprop._core import lib as lib
from pybackprop.core.errors import DivergedError, ShapeError

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
ADAM: int = lib.BP_ADAM
STRATEGIES = {"layers": lib.BP_LAYERS, "fused": lib.BP_FUSED, "split": lib.BP_SPLIT}
NO_ACTIVATION: int = lib.BP_ACTIVATION_NONE
ACTIVATIONS = {
    "relu": lib.BP_ACTIVATION_RELU,
    "leaky_relu": lib.BP_ACTIVATION_LEAKY_RELU,
    "sigmoid": lib.BP_ACTIVATION_SIGMOID,
    "tanh": lib.BP_ACTIVATION_TANH,
}
# Of targets in the outputs' shape, and of one label for each row; None: the loss takes none.
LOSSES = {
    "mse": (lib.BP_LOSS_MSE, None),
    "cross_entropy": (lib.BP_LOSS_CROSS_ENTROPY, lib.BP_LOSS_CROSS_ENTROPY_LABELS),
    "binary_cross_entropy": (lib.BP_LOSS_BINARY_CROSS_ENTROPY, None),
}
WEIGHTED: int = lib.BP_LOSS_WEIGHTED  # added to one of them: each row's weight stands behind its targets


def _by_dtype(name: str) -> ByDtype:
    return {FLOAT32: getattr(lib, f"{name}_f32"), FLOAT64: getattr(lib, f"{name}_f64")}


linear_forward: ByDtype = _by_dtype("bp_linear_forward")
linear_backward_x: ByDtype = _by_dtype("bp_linear_backward_x")
linear_backward_w: ByDtype = _by_dtype("bp_linear_backward_w")
linear_backward_b: ByDtype = _by_dtype("bp_linear_backward_b")
linear_backward_wb: ByDtype = _by_dtype("bp_linear_backward_wb")
matmul_workspace: ByDtype = _by_dtype("bp_matmul_workspace")
matmul: ByDtype = _by_dtype("bp_matmul")
relu_forward: ByDtype = _by_dtype("bp_relu_forward")
relu_backward: ByDtype = _by_dtype("bp_relu_backward")
leaky_relu_forward: ByDtype = _by_dtype("bp_leaky_relu_forward")
leaky_relu_backward: ByDtype = _by_dtype("bp_leaky_relu_backward")
exp: ByDtype = _by_dtype("bp_exp")
log: ByDtype = _by_dtype("bp_log")
sigmoid_forward: ByDtype = _by_dtype("bp_sigmoid_forward")
sigmoid_backward_of_input: ByDtype = _by_dtype("bp_sigmoid_backward_of_input")
tanh_forward: ByDtype = _by_dtype("bp_tanh_forward")
tanh_backward_of_input: ByDtype = _by_dtype("bp_tanh_backward_of_input")
softmax_forward: ByDtype = _by_dtype("bp_softmax_forward")
softmax_backward: ByDtype = _by_dtype("bp_softmax_backward")
log_softmax_forward: ByDtype = _by_dtype("bp_log_softmax_forward")
log_softmax_backward: ByDtype = _by_dtype("bp_log_softmax_backward")
cross_entropy: ByDtype = _by_dtype("bp_cross_entropy")
cross_entropy_forward: ByDtype = _by_dtype("bp_cross_entropy_forward")
cross_entropy_backward: ByDtype = _by_dtype("bp_cross_entropy_backward")
binary_cross_entropy_forward: ByDtype = _by_dtype("bp_binary_cross_entropy_forward")
binary_cross_entropy_backward: ByDtype = _by_dtype("bp_binary_cross_entropy_backward")
weighted_loss_forward: ByDtype = _by_dtype("bp_weighted_loss_forward")
weighted_loss_backward: ByDtype = _by_dtype("bp_weighted_loss_backward")
nll_forward: ByDtype = _by_dtype("bp_nll_forward")
nll_backward: ByDtype = _by_dtype("bp_nll_backward")
mse_forward: ByDtype = _by_dtype("bp_mse_forward")
mse_backward: ByDtype = _by_dtype("bp_mse_backward")
arithmetic: ByDtype = _by_dtype("bp_arithmetic")
arithmetic_number: ByDtype = _by_dtype("bp_arithmetic_number")
power: ByDtype = _by_dtype("bp_power")
square_root: ByDtype = _by_dtype("bp_square_root")
sum: ByDtype = _by_dtype("bp_sum")
clamp_min_forward: ByDtype = _by_dtype("bp_clamp_min_forward")
clamp_min_backward: ByDtype = _by_dtype("bp_clamp_min_backward")
chain_forward: ByDtype = _by_dtype("bp_chain_forward")
chain_backward: ByDtype = _by_dtype("bp_chain_backward")
plan_workspace: ByDtype = _by_dtype("bp_plan_workspace")
plan_grads: ByDtype = _by_dtype("bp_plan_grads")
plan_step: ByDtype = _by_dtype("bp_plan_step")
plan_predict: ByDtype = _by_dtype("bp_plan_predict")
plan_run: ByDtype = _by_dtype("bp_plan_run")
plan_run_bytes: ByDtype = _by_dtype("bp_plan_run_bytes")
plan_update: ByDtype = _by_dtype("bp_plan_update")
optimizer_step: ByDtype = _by_dtype("bp_optimizer_step")
sum_squares: ByDtype = _by_dtype("bp_sum_squares")
scale: ByDtype = _by_dtype("bp_scale")
sgd_step: ByDtype = _by_dtype("bp_sgd_step")
sgd_update: ByDtype = _by_dtype("bp_sgd_update")
sgd_momentum_update: ByDtype = _by_dtype("bp_sgd_momentum_update")
sgd_decay_update: ByDtype = _by_dtype("bp_sgd_decay_update")
adam_update: ByDtype = _by_dtype("bp_adam_update")
random_uniform: ByDtype = _by_dtype("bp_random_uniform")

ref_linear_forward: ByDtype = _by_dtype("bp_ref_linear_forward")
ref_linear_backward_x: ByDtype = _by_dtype("bp_ref_linear_backward_x")
ref_linear_backward_w: ByDtype = _by_dtype("bp_ref_linear_backward_w")
ref_linear_backward_b: ByDtype = _by_dtype("bp_ref_linear_backward_b")
ref_matmul: ByDtype = _by_dtype("bp_ref_matmul")
ref_relu_forward: ByDtype = _by_dtype("bp_ref_relu_forward")
ref_relu_backward: ByDtype = _by_dtype("bp_ref_relu_backward")
ref_leaky_relu_forward: ByDtype = _by_dtype("bp_ref_leaky_relu_forward")
ref_leaky_relu_backward: ByDtype = _by_dtype("bp_ref_leaky_relu_backward")
ref_exp: ByDtype = _by_dtype("bp_ref_exp")
ref_log: ByDtype = _by_dtype("bp_ref_log")
ref_sigmoid_forward: ByDtype = _by_dtype("bp_ref_sigmoid_forward")
ref_sigmoid_backward: ByDtype = _by_dtype("bp_ref_sigmoid_backward")
ref_tanh_forward: ByDtype = _by_dtype("bp_ref_tanh_forward")
ref_tanh_backward: ByDtype = _by_dtype("bp_ref_tanh_backward")
ref_softmax_forward: ByDtype = _by_dtype("bp_ref_softmax_forward")
ref_softmax_backward: ByDtype = _by_dtype("bp_ref_softmax_backward")
ref_log_softmax_forward: ByDtype = _by_dtype("bp_ref_log_softmax_forward")
ref_log_softmax_backward: ByDtype = _by_dtype("bp_ref_log_softmax_backward")
ref_cross_entropy_forward: ByDtype = _by_dtype("bp_ref_cross_entropy_forward")
ref_cross_entropy_backward: ByDtype = _by_dtype("bp_ref_cross_entropy_backward")
ref_binary_cross_entropy_forward: ByDtype = _by_dtype("bp_ref_binary_cross_entropy_forward")
ref_binary_cross_entropy_backward: ByDtype = _by_dtype("bp_ref_binary_cross_entropy_backward")
ref_weighted_loss_forward: ByDtype = _by_dtype("bp_ref_weighted_loss_forward")
ref_weighted_loss_backward: ByDtype = _by_dtype("bp_ref_weighted_loss_backward")
ref_nll_forward: ByDtype = _by_dtype("bp_ref_nll_forward")
ref_nll_backward: ByDtype = _by_dtype("bp_ref_nll_backward")
ref_mse_forward: ByDtype = _by_dtype("bp_ref_mse_forward")
ref_mse_backward: ByDtype = _by_dtype("bp_ref_mse_backward")
ref_arithmetic: ByDtype = _by_dtype("bp_ref_arithmetic")
ref_power: ByDtype = _by_dtype("bp_ref_power")
ref_square_root: ByDtype = _by_dtype("bp_ref_square_root")
ref_sum: ByDtype = _by_dtype("bp_ref_sum")
ref_clamp_min_forward: ByDtype = _by_dtype("bp_ref_clamp_min_forward")
ref_clamp_min_backward: ByDtype = _by_dtype("bp_ref_clamp_min_backward")
ref_sgd_update: ByDtype = _by_dtype("bp_ref_sgd_update")
ref_sgd_momentum_update: ByDtype = _by_dtype("bp_ref_sgd_momentum_update")
ref_sgd_decay_update: ByDtype = _by_dtype("bp_ref_sgd_decay_update")
ref_adam_update: ByDtype = _by_dtype("bp_ref_adam_update")
ref_sum_squares: ByDtype = _by_dtype("bp_ref_sum_squares")
ref_scale: ByDtype = _by_dtype("bp_ref_scale")


def pointer(array: np.ndarray[Any, Any]) -> Any:
    """A C pointer to a contiguous array's first element. Keeps the array alive."""
    return ffi.from_buffer(C_TYPE[array.dtype], array)


def place(memory: np.ndarray[Any, Any]) -> int:
    """The address of a contiguous array; faster than array.ctypes.data."""
    return int(ffi.cast(_ADDRESS, ffi.from_buffer(memory)))


def check(status: int) -> None:
    """Raises the exception that a bp_status stands for."""
    if status == lib.BP_OVERFLOW:
        raise ShapeError("the product of the sizes is too large to be addressed")
    if status == lib.BP_EMPTY:
        raise ShapeError("mse: the mean of no elements is not defined; give at least one row and one column")
    if status == lib.BP_DIVERGED:
        raise DivergedError(
            "the norm of the gradients, which clip_norm limits, is not finite; the parameters are those from before "
            "the step. Look for NaN and infinity in the data, or try a smaller learning rate"
        )
    if status == lib.BP_INVALID:
        raise ValueError("an activation's parameter is out of its range in the parameters' dtype")
    if status != lib.BP_OK:
        raise RuntimeError(f"the C core returned status {status}")


def text(c_string: Any) -> str:
    """A C string as a str."""
    encoded: bytes = ffi.string(c_string)
    return encoded.decode()


def new_state(seed: int, stream: int) -> Any:
    """The state of one of a seed's random streams. Functions that draw from the stream advance it."""
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


def set_kept(parameter: Any, pointers: Sequence[Any]) -> None:
    """Sets what a bp_parameter keeps besides its values: nothing, its momentum, or that and its mean squares."""
    parameter.v, parameter.squares = [*pointers, NULL, NULL][:2]


def optimizer(numbers: Mapping[str, Any] | None = None) -> Any:
    """A bp_optimizer with these fields, the others zeroed."""
    return ffi.new("bp_optimizer *", dict(numbers or {}))


def fields(struct: Any) -> dict[str, Any]:
    """What a C struct of numbers holds, by name."""
    return {name: getattr(struct, name) for name, _ in ffi.typeof(struct).item.fields}


def rates(array: np.ndarray[Any, Any]) -> Any:
    """A C pointer to learning rates, float64. Keeps the array alive."""
    return ffi.from_buffer("double[]", array)


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


def as_index(indices: Any) -> Any:
    """The same memory as a numpy array."""
    return np.frombuffer(ffi.buffer(indices), np.int64)


def workspace_bytes(plan: Any, dtype: np.dtype[Any]) -> int | None:
    """The bytes that a plan's strategy needs; None if the strategy cannot compute the plan's layers."""
    size = ffi.new("size_t *")
    status = plan_workspace[dtype](plan, size)
    if status == UNKNOWN:
        return None
    check(status)
    return int(size[0])


def matrix(array: np.ndarray[Any, Any], stride: int, transposed: bool) -> Any:
    """A bp_matrix of an array. It keeps the array alive, and so its memory valid."""
    rows, cols = array.shape
    described = ffi.new("bp_matrix *", [address(array), rows, cols, stride, array.dtype == FLOAT64, transposed])
    return ffi.gc(described, lambda _, array=array: None)


def address(array: np.ndarray[Any, Any]) -> Any:
    """A C pointer to the first element of an array of any strides. Does not keep the array alive."""
    return ffi.cast(C_POINTER[array.dtype], array.__array_interface__["data"][0])


def is_pointer(value: Any) -> bool:
    """Whether an argument of a C function is a pointer other than NULL."""
    return isinstance(value, ffi.CData) and value != NULL and ffi.typeof(value).kind in ("pointer", "array")


def address_of(pointer: Any) -> int:
    """The address that a C pointer holds."""
    return int(ffi.cast(_ADDRESS, pointer))


def function_address(name: str) -> int:
    """The address of a C function."""
    return address_of(ffi.addressof(lib, name))


def pointer_to(address: int) -> Any:
    """A C pointer to this address. Does not keep alive what is there."""
    return ffi.cast("const void *", address)


def cpuid(leaf: int, subleaf: int = 0) -> tuple[int, int, int, int] | None:
    """eax, ebx, ecx, edx of x86's instruction; None: no x86, or it has no such leaf."""
    registers = ffi.new("uint32_t[4]")
    if not lib.bp_cpuid(leaf, subleaf, registers):
        return None
    a, b, c, d = map(int, registers)
    return a, b, c, d
