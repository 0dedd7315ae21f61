"""pybackprop: f = mse(relu(x @ w + b)), forward and backward, from the foundations.

One definition (csrc/ops/reference.c), many speeds: every kernel, thread count and machine gives the same bits.

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

    bp.save(model, "model.npz", optimizer=sgd)        # model, sgd = bp.load("model.npz", with_optimizer=True)
    network = bp.to_torch(model)                      # the same memory; bp.from_torch, bp.to_onnx, bp.from_onnx

    print(bp.explain(w1, at=(3, 7)))                  # why w1.g[3,7] is what it is, element by element
    print(bp.judge(w1, "l1.g @ x.T"))                 # what is wrong with that formula, and what it computes instead
    bp.exercises()                                    # from one element to the whole network, step by step
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pybackprop.core import interrupt

interrupt.exit_quietly()  # before numpy, which takes the longest to load

# ruff: noqa: E402
from pybackprop.autograd.tensor import Tensor, as_tensor, param, tensor
from pybackprop.autograd.versions import debug
from pybackprop.core.errors import (
    CheckpointError,
    DivergedError,
    DTypeError,
    GradientError,
    OutOfMemoryError,
    ShapeError,
)
from pybackprop.core.settings import info, kernels, set_threads, set_tiles, threads, tiles, use_kernel
from pybackprop.core.thread_limits import watch as _watch_thread_limits
from pybackprop.core.version import __version__ as __version__
from pybackprop.engine.compile import compile
from pybackprop.engine.history import History
from pybackprop.engine.model import Model, mlp
from pybackprop.engine.plan import Plan
from pybackprop.nn.clip import clip_grad_norm
from pybackprop.nn.layers import Activation, BinaryCrossEntropy, CrossEntropy, LeakyRelu, Lin, Mse, Relu, Sigmoid, Tanh
from pybackprop.nn.module import Module
from pybackprop.nn.optim import SGD, Adam, AdamW
from pybackprop.nn.schedules import CosineLR, OneCycleLR, StepLR, WarmupLR
from pybackprop.ops import (
    Op,
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_grad,
    cross_entropy,
    cross_entropy_grad,
    define_op,
    leaky_relu,
    leaky_relu_grad,
    lin,
    lin_grad,
    log_softmax,
    log_softmax_grad,
    matmul,
    mse,
    mse_grad,
    nll,
    nll_grad,
    relu,
    relu_,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    softmax_grad,
    tanh,
    tanh_grad,
)
from pybackprop.other_libraries import missing

if TYPE_CHECKING:
    from pybackprop import data, lab
    from pybackprop import sklearn as sklearn
    from pybackprop.engine.ranks import RankError
    from pybackprop.interchange.onnx_reader import from_onnx
    from pybackprop.interchange.onnx_writer import to_onnx
    from pybackprop.interchange.pytorch import from_torch, to_torch
    from pybackprop.memory.fits import fits
    from pybackprop.memory.recorder import ledger
    from pybackprop.memory.views import Ledger
    from pybackprop.ops import reference
    from pybackprop.teach.explain.explain import Explanation, explain
    from pybackprop.teach.gradcheck import GradCheck, gradcheck
    from pybackprop.teach.judge.judge import Verdict, judge
    from pybackprop.teach.learn.exercises import exercises
    from pybackprop.train.model_file import load, load_description, save
    from pybackprop.train.weights_file import load_weights

__all__ = [
    "SGD",
    "Activation",
    "Adam",
    "AdamW",
    "BinaryCrossEntropy",
    "CheckpointError",
    "CosineLR",
    "CrossEntropy",
    "DTypeError",
    "DivergedError",
    "Explanation",
    "GradCheck",
    "GradientError",
    "History",
    "LeakyRelu",
    "Ledger",
    "Lin",
    "Model",
    "Module",
    "Mse",
    "OneCycleLR",
    "Op",
    "OutOfMemoryError",
    "Plan",
    "RankError",
    "Relu",
    "ShapeError",
    "Sigmoid",
    "StepLR",
    "Tanh",
    "Tensor",
    "Verdict",
    "WarmupLR",
    "as_tensor",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_grad",
    "clip_grad_norm",
    "compile",
    "cross_entropy",
    "cross_entropy_grad",
    "data",
    "debug",
    "define_op",
    "exercises",
    "explain",
    "fits",
    "from_onnx",
    "from_torch",
    "gradcheck",
    "info",
    "judge",
    "kernels",
    "lab",
    "leaky_relu",
    "leaky_relu_grad",
    "ledger",
    "lin",
    "lin_grad",
    "load",
    "load_description",
    "load_weights",
    "log_softmax",
    "log_softmax_grad",
    "matmul",
    "mlp",
    "mse",
    "mse_grad",
    "nll",
    "nll_grad",
    "param",
    "reference",
    "relu",
    "relu_",
    "relu_grad",
    "save",
    "set_threads",
    "set_tiles",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_grad",
    "tanh",
    "tanh_grad",
    "tensor",
    "threads",
    "tiles",
    "to_onnx",
    "to_torch",
    "use_kernel",
]

# Loaded at first use, so that training does not pay for teaching tools, memory predictions and file readers.
_MODULES = {
    "data": "pybackprop.data",
    "lab": "pybackprop.lab",
    "reference": "pybackprop.ops.reference",
    "sklearn": "pybackprop.sklearn",
}
_LAZY = {
    "Explanation": "pybackprop.teach.explain.explain",
    "GradCheck": "pybackprop.teach.gradcheck",
    "Ledger": "pybackprop.memory.views",
    "RankError": "pybackprop.engine.ranks",
    "Verdict": "pybackprop.teach.judge.judge",
    "exercises": "pybackprop.teach.learn.exercises",
    "explain": "pybackprop.teach.explain.explain",
    "fits": "pybackprop.memory.fits",
    "from_onnx": "pybackprop.interchange.onnx_reader",
    "from_torch": "pybackprop.interchange.pytorch",
    "gradcheck": "pybackprop.teach.gradcheck",
    "load": "pybackprop.train.model_file",
    "load_description": "pybackprop.train.model_file",
    "load_weights": "pybackprop.train.weights_file",
    "save": "pybackprop.train.model_file",
    "judge": "pybackprop.teach.judge.judge",
    "ledger": "pybackprop.memory.recorder",
    "to_onnx": "pybackprop.interchange.onnx_writer",
    "to_torch": "pybackprop.interchange.pytorch",
}


def _model_memory(self: Model, batch: int, optimizer: "SGD | Adam | None" = None) -> "Ledger":
    """The memory of a step with `batch` rows, buffer by buffer, and that of other ways to compute it.

    optimizer  bp.Adam(), bp.SGD(lr=0.1, momentum=0.9), ...: its update, and what it keeps of the parameters, too

    Predicted from the sizes: nothing is allocated. The data are of the parameters' dtype; the targets are labels if the
    loss takes those. Raises TypeError for a model that is not a chain of Lin, each with at most one activation after
    it, and Mse, CrossEntropy or another loss of this package, and for what is no optimizer; ValueError for a batch that
    is not a whole number of at least 1, and for an optimizer of other parameters.
    """
    from pybackprop.memory.schemes import model_ledger

    return model_ledger(self, batch, optimizer)


def _plan_memory(self: Plan) -> "Ledger":
    """Every buffer of the plan; ["parameters"], ["gradients"], ["momentum"], ["workspace"] and ["total"] give bytes.

    "momentum" is what the optimizer keeps: SGD's momentum, both moments of Adam.
    `.peak` is the workspace: what a step needs beyond data, parameters, gradients and momentum. After the first fit
    the workspace also holds a gathered batch and, where they make its steps faster, copies of the parameters.
    """
    from pybackprop.memory.schemes import plan_ledger

    return plan_ledger(self)


def _attach(kind: type, name: str, method: Any) -> None:
    """Adds to a class a method that needs a package of a higher layer."""
    method.__name__, method.__qualname__, method.__module__ = name, f"{kind.__name__}.{name}", kind.__module__
    setattr(kind, name, method)


_watch_thread_limits()
_attach(Model, "memory", _model_memory)
_attach(Plan, "memory", _plan_memory)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


if not TYPE_CHECKING:  # a type checker would accept any attribute name

    def __getattr__(name: str) -> Any:
        """Loads a name at its first use. Raises AttributeError, with a hint for other libraries' names."""
        if name in _MODULES:
            value = import_module(_MODULES[name])
        elif name in _LAZY:
            value = getattr(import_module(_LAZY[name]), name)
        else:
            return missing(name)
        globals()[name] = value
        return value
