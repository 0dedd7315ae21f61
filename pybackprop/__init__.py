"""pybackprop: f = mse(relu(x @ w + b)), forward and backward, from the foundations.

One definition (csrc/reference.c), many speeds: every kernel, thread count and machine gives the same bits.

    import pybackprop as bp

    x = bp.tensor(array)                              w1 = bp.param(array)

    l1 = bp.lin(x, w1, b1)                            # the lesson: forward ...
    l2 = bp.relu(l1)
    out = bp.lin(l2, w2, b2)
    loss = bp.mse(out, targ)
    bp.mse_grad(out, targ)                            # ... and backward, every step by hand
    bp.lin_grad(l2, out, w2, b2)
    bp.relu_grad(l1, l2)
    bp.lin_grad(x, l1, w1, b1)                        # now w1.g = x.T @ l1.g

    bp.mse(bp.relu(x @ w1 + b1) @ w2 + b2, targ).backward()         # the same from the tape

    model = bp.mlp([784, 50, 10], seed=0)             # the same in layers
    sgd = bp.SGD(model, lr=0.1, momentum=0.9)
    loss = model(x, targ)
    model.backward()
    sgd.step()

    plan = bp.compile(model, batch=64, optimizer=sgd) # the same bits, a step in one call
    loss = plan.step(x, targ)
    history = plan.fit(x_train, targ_train, epochs=5, seed=0)
"""

from importlib import metadata

from pybackprop import data, reference
from pybackprop.errors import CheckpointError, DivergedError, DTypeError, GradientError, OutOfMemoryError, ShapeError
from pybackprop.functional import lin, lin_grad, mse, mse_grad, relu, relu_, relu_grad
from pybackprop.gradcheck import GradCheck, gradcheck
from pybackprop.layers import Lin, Module, Mse, Relu
from pybackprop.matmul import matmul
from pybackprop.memory import Ledger, fits, ledger
from pybackprop.model import Model, mlp
from pybackprop.optim import SGD
from pybackprop.plan import Plan, compile
from pybackprop.settings import info, kernels, set_threads, set_tiles, threads, tiles, use_kernel
from pybackprop.tensor import Tensor, as_tensor, param, tensor

__version__ = metadata.version("pybackprop")

__all__ = [
    "SGD",
    "CheckpointError",
    "DTypeError",
    "DivergedError",
    "GradCheck",
    "GradientError",
    "Ledger",
    "Lin",
    "Model",
    "Module",
    "Mse",
    "OutOfMemoryError",
    "Plan",
    "Relu",
    "ShapeError",
    "Tensor",
    "as_tensor",
    "compile",
    "data",
    "fits",
    "gradcheck",
    "info",
    "kernels",
    "ledger",
    "lin",
    "lin_grad",
    "matmul",
    "mlp",
    "mse",
    "mse_grad",
    "param",
    "reference",
    "relu",
    "relu_",
    "relu_grad",
    "set_threads",
    "set_tiles",
    "tensor",
    "threads",
    "tiles",
    "use_kernel",
]
