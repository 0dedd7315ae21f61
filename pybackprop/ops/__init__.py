"""The operations, each with forward, backward and record (Op). Importing this attaches `@` and `+` to Tensor."""

from pybackprop.ops import numpy_protocol as numpy_protocol  # numpy's functions on tensors
from pybackprop.ops.add import ADD, CLONE
from pybackprop.ops.leaky_relu import LEAKY_RELU, leaky_relu, leaky_relu_grad
from pybackprop.ops.linear import LIN, lin, lin_grad
from pybackprop.ops.matmul import MATMUL, matmul
from pybackprop.ops.mse import MSE, mse, mse_grad
from pybackprop.ops.op import Op, define_op, registry
from pybackprop.ops.relu import RELU, RELU_, relu, relu_, relu_grad

__all__ = [
    "ADD",
    "CLONE",
    "LEAKY_RELU",
    "LIN",
    "MATMUL",
    "MSE",
    "RELU",
    "RELU_",
    "Op",
    "define_op",
    "leaky_relu",
    "leaky_relu_grad",
    "lin",
    "lin_grad",
    "matmul",
    "mse",
    "mse_grad",
    "registry",
    "relu",
    "relu_",
    "relu_grad",
]
