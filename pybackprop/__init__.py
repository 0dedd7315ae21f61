"""pybackprop: f = mse(relu(x @ w + b)), forward and backward, from the foundations."""

from pybackprop.functional import lin, lin_grad, relu, relu_, relu_grad, mse, mse_grad
from pybackprop.matmul import matmul
from pybackprop.tensor import Tensor, tensor, as_tensor, param
from pybackprop.settings import *
