"""Faults planted for the selftest to find: wrong results of the core, and processes that are started with one."""

import os
import textwrap

from pybackprop.core import native

# the functions whose results are spoilt, and which argument is an output of each
OUTPUTS = {
    "linear_forward": 0,
    "linear_backward_x": 0,
    "linear_backward_w": 0,
    "linear_backward_b": 0,
    "linear_backward_wb": 1,
    "relu_forward": 0,
    "relu_backward": 0,
    "leaky_relu_forward": 0,
    "leaky_relu_backward": 0,
    "sigmoid_forward": 0,
    "sigmoid_backward_of_input": 0,
    "tanh_forward": 0,
    "tanh_backward_of_input": 0,
    "softmax_forward": 0,
    "softmax_backward": 0,
    "log_softmax_forward": 0,
    "log_softmax_backward": 0,
    "mse_forward": 0,
    "mse_backward": 0,
    "cross_entropy_forward": 0,
    "cross_entropy_backward": 0,
    "nll_forward": 0,
    "nll_backward": 0,
    "scale": 0,
    "chain_forward": 0,
    "plan_grads": 1,
    "plan_step": 1,
    "plan_predict": 1,
}


def flipped(function, output):
    """A C function that afterwards flips the last bit of the first number that it wrote."""

    def call(*arguments):
        result = function(*arguments)
        out = arguments[output]
        if native.is_pointer(out) and native.ffi.sizeof(out) > 0:
            native.ffi.cast("uint8_t *", out)[0] ^= 1
        return result

    return call


def plant(monkeypatch, name):
    """Lets one C function be wrong by a bit, for both dtypes."""
    functions = getattr(native, name)
    for dtype, function in list(functions.items()):
        monkeypatch.setitem(functions, dtype, flipped(function, OUTPUTS[name]))


def environment(folder, program):
    """For processes that run this program before anything else."""
    (folder / "sitecustomize.py").write_text(textwrap.dedent(program))
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}
