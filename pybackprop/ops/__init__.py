"""The operations, each with forward, backward and record (Op). Importing this gives Tensor its methods."""

from pybackprop.ops import in_place as in_place  # += and so on
from pybackprop.ops import numpy_protocol as numpy_protocol  # numpy's functions on tensors
from pybackprop.ops.arithmetic import ADD, DIVIDE, DIVIDE_NUMBER, MULTIPLY, NEGATE, SUBTRACT, SUBTRACT_FROM_NUMBER
from pybackprop.ops.binary_cross_entropy import (
    BINARY_CROSS_ENTROPY,
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_grad,
)
from pybackprop.ops.clamp_min import CLAMP_MIN
from pybackprop.ops.cross_entropy import CROSS_ENTROPY, NLL, cross_entropy, cross_entropy_grad, nll, nll_grad
from pybackprop.ops.leaky_relu import LEAKY_RELU, leaky_relu, leaky_relu_grad
from pybackprop.ops.linear import LIN, lin, lin_grad
from pybackprop.ops.matmul import MATMUL, matmul
from pybackprop.ops.mse import MSE, mse, mse_grad
from pybackprop.ops.op import Counterpart, Op, define_op, registry
from pybackprop.ops.power import POWER, SQRT
from pybackprop.ops.relu import RELU, RELU_, relu, relu_, relu_grad
from pybackprop.ops.shapes import CLONE, DOUBLE, FLOAT, INDEX, RESHAPE, TRANSPOSE
from pybackprop.ops.sigmoid import SIGMOID, sigmoid, sigmoid_grad
from pybackprop.ops.softmax import LOG_SOFTMAX, SOFTMAX, log_softmax, log_softmax_grad, softmax, softmax_grad
from pybackprop.ops.sums import MEAN, SUM
from pybackprop.ops.tanh import TANH, tanh, tanh_grad

__all__ = [
    "ADD",
    "BINARY_CROSS_ENTROPY",
    "CLAMP_MIN",
    "CLONE",
    "CROSS_ENTROPY",
    "DIVIDE",
    "DIVIDE_NUMBER",
    "DOUBLE",
    "FLOAT",
    "INDEX",
    "LEAKY_RELU",
    "LIN",
    "LOG_SOFTMAX",
    "MATMUL",
    "MEAN",
    "MSE",
    "MULTIPLY",
    "NEGATE",
    "NLL",
    "POWER",
    "RELU",
    "RELU_",
    "RESHAPE",
    "SIGMOID",
    "SOFTMAX",
    "SQRT",
    "SUBTRACT",
    "SUBTRACT_FROM_NUMBER",
    "SUM",
    "TANH",
    "TRANSPOSE",
    "Counterpart",
    "Op",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_grad",
    "cross_entropy",
    "cross_entropy_grad",
    "define_op",
    "leaky_relu",
    "leaky_relu_grad",
    "lin",
    "lin_grad",
    "log_softmax",
    "log_softmax_grad",
    "matmul",
    "mse",
    "mse_grad",
    "nll",
    "nll_grad",
    "registry",
    "relu",
    "relu_",
    "relu_grad",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_grad",
    "tanh",
    "tanh_grad",
]
