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

    print(bp.explain(w1, at=(3, 7)))                  # why w1.g[3,7] is what it is, element by element
    print(bp.judge(w1, "l1.g @ x.T"))                 # what is wrong with that formula, and what it computes instead
    bp.exercises()                                    # from one element to the whole network, step by step
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from pybackprop import data, reference
from pybackprop.errors import CheckpointError, DivergedError, DTypeError, GradientError, OutOfMemoryError, ShapeError
from pybackprop.functional import lin, lin_grad, mse, mse_grad, relu, relu_, relu_grad
from pybackprop.gradcheck import GradCheck, gradcheck
from pybackprop.layers import Lin, Module, Mse, Relu
from pybackprop.matmul import matmul
from pybackprop.model import Model, mlp
from pybackprop.optim import SGD
from pybackprop.plan import Plan, compile
from pybackprop.settings import info, kernels, set_threads, set_tiles, threads, tiles, use_kernel
from pybackprop.tensor import Tensor, as_tensor, param, tensor
from pybackprop.watch import debug

if TYPE_CHECKING:
    from pybackprop.memory.fit import fits
    from pybackprop.memory.ledger import Ledger
    from pybackprop.memory.watch import ledger
    from pybackprop.teach.exercises import exercises
    from pybackprop.teach.explain import Explanation, explain
    from pybackprop.teach.judge import Verdict, judge

__version__ = metadata.version("pybackprop")

__all__ = [
    "SGD",
    "CheckpointError",
    "DTypeError",
    "DivergedError",
    "Explanation",
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
    "Verdict",
    "as_tensor",
    "compile",
    "data",
    "debug",
    "exercises",
    "explain",
    "fits",
    "gradcheck",
    "info",
    "judge",
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

# Who only trains need not wait for what teaches and counts.
_ON_DEMAND = {
    "Explanation": "pybackprop.teach.explain",
    "Ledger": "pybackprop.memory.ledger",
    "Verdict": "pybackprop.teach.judge",
    "exercises": "pybackprop.teach.exercises",
    "explain": "pybackprop.teach.explain",
    "fits": "pybackprop.memory.fit",
    "judge": "pybackprop.teach.judge",
    "ledger": "pybackprop.memory.watch",
}


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module 'pybackprop' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_ON_DEMAND[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})
