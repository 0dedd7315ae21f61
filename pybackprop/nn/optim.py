"""The optimizers: SGD, with momentum, Nesterov's momentum and weight decay; Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from pybackprop.autograd import messages
from pybackprop.autograd.messages import describe
from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.nn.optimizer import Optimizer, Setting, rate, switch

__all__ = ["OPTIMIZERS", "SGD", "Adam", "AdamW", "Optimizer", "optimizer_of", "rate"]


def _at_least_0(of: str, name: str, value: Any) -> float:
    return rate(name, value, of=of)


def _below_1(of: str, name: str, value: Any) -> float:
    return rate(name, value, 1, of)


class SGD(Optimizer):
    """Stochastic gradient descent: v = momentum v + g, then p = p - lr v (v is g without momentum).

    parameters    a Model, or tensors; may be given to `step` instead
    lr            learning rate, at least 0
    momentum      in [0, 1)
    weight_decay  at least 0: weight_decay p is added to g first
    nesterov      p = p - lr (momentum v + g) instead; needs momentum
    decay_biases  whether weight decay is for parameters of one axis too; fixed once the optimizer is made

    The same updates as torch.optim.SGD's. lr, momentum, weight_decay and nesterov may be changed between two steps.
    Raises ValueError for a parameter given twice, and for numbers outside their range.
    """

    STATE: ClassVar[tuple[str, ...]] = ("velocity",)
    OPTIONS: ClassVar[tuple[str, ...]] = ("lr", "momentum", "weight_decay", "nesterov", "decay_biases")

    weight_decay: Setting = Setting(_at_least_0)
    nesterov: Setting = Setting(switch, bool)

    def __init__(
        self,
        parameters: Any = None,
        *,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        decay_biases: bool = True,
    ) -> None:
        super().__init__(parameters, rate("lr", lr), rate("momentum", momentum, 1), decay_biases)
        self.weight_decay, self.nesterov = weight_decay, nesterov
        if self.nesterov and self.momentum == 0:
            raise ValueError("SGD: nesterov=True is a kind of momentum, and momentum is 0; give e.g. momentum=0.9")

    @property
    def keeps(self) -> bool:
        return self.momentum != 0

    def velocity(self, parameter: Tensor) -> Tensor:
        """The parameter's momentum, of its shape and dtype; zeros before the first step.

        Raises ShapeError or DTypeError if the parameter has become another since: its momentum does not fit it.
        """
        return self.kept(parameter)[0]

    def __repr__(self) -> str:
        unusual = f", weight_decay={self.weight_decay}" * (self.weight_decay != 0) + ", nesterov=True" * self.nesterov
        unusual += ", decay_biases=False" * (not self.decay_biases)
        return f"SGD(lr={self.lr}, momentum={self.momentum}{unusual})"


class Adam(Optimizer):
    """Adam: p = p - lr m / (sqrt(v) + eps), with m the mean of the gradients and v that of their squares.

    parameters    a Model, or tensors; may be given to the first `step` instead
    lr            learning rate, at least 0
    betas         in [0, 1): how much of the older gradients the means m and v keep in a step. Both are corrected for
                  their start from zero
    eps           at least 0
    weight_decay  at least 0: weight_decay p is added to the gradient first
    decay_biases  as of SGD

    The same updates as torch.optim.Adam's, except that one count of steps serves all parameters: each step updates
    all of them. lr, betas, eps and weight_decay may be changed between two steps.
    Raises ValueError for a parameter given twice, and for numbers outside their range.
    """

    STATE: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")
    OPTIONS: ClassVar[tuple[str, ...]] = ("lr", "betas", "eps", "weight_decay", "decay_biases")

    beta2: Setting = Setting(_below_1)
    eps: Setting = Setting(_at_least_0)
    weight_decay: Setting = Setting(_at_least_0)

    def __init__(
        self,
        parameters: Any = None,
        lr: float = 1e-3,
        *,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decay_biases: bool = True,
    ) -> None:
        super().__init__(parameters, rate("lr", lr, math.inf, self.name), 0.0, decay_biases)
        self.c_optimizer.rule = native.ADAM
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay

    @property
    def betas(self) -> tuple[float, float]:
        """How much of the older gradients, and of their squares, the means keep in a step."""
        return self.momentum, self.beta2

    @betas.setter
    def betas(self, value: Sequence[float]) -> None:
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise ValueError(f"{self.name}: found betas={value!r}, expected two numbers from 0 to below 1")
        beta1 = rate("betas[0]", value[0], 1, self.name)
        self.beta2 = rate("betas[1]", value[1], 1, self.name)
        self.momentum = beta1

    @property
    def keeps(self) -> bool:
        return True

    def moments(self, parameter: Tensor) -> tuple[Tensor, Tensor]:
        """(m, v) of a parameter, of its shape and dtype: the means of its gradients and of their squares, uncorrected.

        Zeros before the first step. Raises ShapeError or DTypeError if the parameter has become another since.
        """
        m, v = self.kept(parameter)
        return m, v

    def _check_counted(self, operation: str, updated: Sequence[Tensor]) -> None:
        """The correction of the means depends on how many updates they have had, which is counted once for all."""
        ids = {id(p) for p in updated}
        if self.steps == 0:
            self._kept = {key: entry for key, entry in self._kept.items() if key in ids}
            return
        if ids == set(self._kept):
            return
        odd = next((p for p in updated if id(p) not in self._kept), None)
        if odd is not None:
            what = f"{describe(odd)} was not among the parameters of its {self.steps} steps so far"
        else:
            odd = next(entry[0] for key, entry in self._kept.items() if key not in ids)
            what = f"{describe(odd)}, which its {self.steps} steps so far have updated, would be left out"
        raise ValueError(
            f"{operation}: {self.name} counts its steps for all of its parameters, and {what}. Update the same "
            f"parameters in each step, or make a new {self.name} for these"
        )


class AdamW(Adam):
    """Adam with decoupled weight decay: p shrinks by lr weight_decay p in each step, apart from its gradient.

    parameters    a Model, or tensors; may be given to the first `step` instead
    lr, betas, eps  as of Adam
    weight_decay  at least 0; 0.01 as in torch.optim.AdamW, whose updates these are
    decay_biases  as of SGD

    Raises ValueError for a parameter given twice, and for numbers outside their range.
    """

    def __init__(
        self,
        parameters: Any = None,
        lr: float = 1e-3,
        *,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        decay_biases: bool = True,
    ) -> None:
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay, decay_biases=decay_biases)
        self.c_optimizer.decoupled = True


OPTIMIZERS: dict[str, type[Optimizer]] = {kind.__name__: kind for kind in (SGD, Adam, AdamW)}
for _name in OPTIMIZERS:
    messages.remedies[f"{_name}.step"] = "Update after backward"


def optimizer_of(kind: str, parameters: Any, options: dict[str, Any]) -> Optimizer:
    """The optimizer of this name with these options (see Optimizer.options). Raises KeyError, TypeError, ValueError."""
    return OPTIMIZERS[kind](parameters, **options)
