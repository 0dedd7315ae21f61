"""Network: an estimator's model, its optimizer, and the plan that trains them and predicts.

scikit-learn's objective and the library's differ by a factor: this one's mean is over elements where that one's is
over rows. `scale` is the gradient here over the gradient there; learning rate, eps and decay are scaled by it, so that
a step is scikit-learn's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.engine.compile import compile
from pybackprop.engine.model import Model
from pybackprop.engine.plan import Plan
from pybackprop.nn.initial import parameter_stream, uniform
from pybackprop.nn.layers import BinaryCrossEntropy, CrossEntropy, LeakyRelu, Lin, Loss, Mse, Relu, Sigmoid, Tanh
from pybackprop.nn.optim import SGD, Adam

ACTIVATIONS: dict[str, Any] = {kind.op.name: kind for kind in (Relu, Tanh, LeakyRelu)}
ACTIVATIONS.update(logistic=Sigmoid, identity=None)  # scikit-learn's names

PREDICTED = 256  # rows at a time, where nothing is trained


@dataclass(frozen=True)
class Objective:
    """A model's loss, and what scikit-learn makes of its outputs and calls it.

    scale(h)       the loss's gradient over that of scikit-learn's loss, for h outputs
    loss_scale(h)  scikit-learn's loss over this one
    """

    loss: type[Loss]
    out_activation: str
    scale: Callable[[int], float]
    loss_scale: Callable[[int], float]


SQUARED_ERROR = Objective(Mse, "identity", lambda h: 2 / h, lambda h: 0.5)
CLASSES = Objective(CrossEntropy, "softmax", lambda h: 1.0, lambda h: 1.0)
YES_OR_NO = Objective(BinaryCrossEntropy, "logistic", lambda h: 1 / h, float)


class Network:
    """A chain of layers of these widths, from inputs to outputs.

    parameters  the model's: w1, b1, w2, b2, ...
    loss_scale  scikit-learn's loss over the model's, both without the penalty
    lock        held by whoever uses the plan, which two threads must not do at once
    """

    def __init__(
        self, widths: Sequence[int], objective: Objective, activation_name: str, dtype: np.dtype[Any], seed: int
    ) -> None:
        activation, state = ACTIVATIONS[activation_name], parameter_stream(seed)
        factor = 2.0 if activation_name == "logistic" else 6.0
        layers: list[Any] = []
        for k, (m, h) in enumerate(pairwise(widths), 1):
            bound = float(np.sqrt(factor / (m + h)))  # Glorot's
            w, b = (uniform("MLP", shape, bound, dtype, state) for shape in ((m, h), (h,)))
            w.name, b.name = f"w{k}", f"b{k}"
            layers.append(Lin(w, b))
            if activation is not None and k < len(widths) - 1:
                layers.append(activation())
        self.scale, self.loss_scale = objective.scale(widths[-1]), objective.loss_scale(widths[-1])
        self.model = Model(layers, loss=objective.loss())
        self.parameters = self.model.parameters()
        self.dtype = dtype
        self.optimizer: SGD | Adam | None = None
        self.plan: Plan | None = None
        self.lock = threading.RLock()

    def new_optimizer(self, settings: dict[str, Any], weight: float) -> None:
        """Makes the optimizer of an estimator's parameters. weight: that of all rows of a batch, see set_decay."""
        lr = settings["learning_rate_init"]
        self.plan = None
        if settings["solver"] == "adam":
            betas, eps = (settings["beta_1"], settings["beta_2"]), settings["epsilon"] * self.scale
            self.optimizer = Adam(self.model, lr, betas=betas, eps=eps, decay_biases=False)
        else:
            momentum = settings["momentum"]
            self.optimizer = SGD(
                self.model, lr=lr / self.scale, momentum=momentum, decay_biases=False,
                nesterov=settings["nesterovs_momentum"] and momentum > 0,
            )  # fmt: skip
        self.set_decay(settings["alpha"], weight)

    def set_decay(self, alpha: float, weight: float) -> None:
        """Decays the weights as scikit-learn's penalty does, which it divides by the weight of a batch's rows."""
        assert self.optimizer is not None
        self.optimizer.weight_decay = self.scale * alpha / weight

    def set_rate(self, lr: float) -> None:
        """Sets SGD's learning rate, as scikit-learn counts it."""
        assert self.optimizer is not None
        self.optimizer.lr = lr / self.scale

    def compiled(self, batch: int | None = None) -> Plan:
        """The plan, for steps of `batch` rows; None: of any number."""
        if self.plan is None or batch not in (None, self.plan.batch):
            self.plan = compile(self.model, batch=batch or PREDICTED, optimizer=self.optimizer)
        return self.plan

    def outputs(self, x: Any) -> Array:
        """The last layer's outputs (n,h) of x (n,m), an array or a sparse matrix."""
        with self.lock:
            array: Array = self.compiled().predict(x).data
            return array

    def penalty(self) -> float:
        """What the decay adds to scikit-learn's loss."""
        assert self.optimizer is not None
        decay: float = self.optimizer.weight_decay
        squares = sum(float(np.vdot(w.data, w.data)) for w in self.parameters[::2])
        return 0.5 * decay / self.scale * squares

    def state(self) -> list[Array]:
        """A copy of the parameters' values."""
        return [p.data.copy() for p in self.parameters]

    def restore(self, state: Sequence[Array]) -> None:
        for p, values in zip(self.parameters, state, strict=True):
            p.data[...] = values

    def __getstate__(self) -> dict[str, Any]:
        """A plan is memory of one process; it is compiled again where it is needed."""
        return {name: value for name, value in vars(self).items() if name not in ("plan", "lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, plan=None, lock=threading.RLock())
