"""PyTorch: out= for products, autograd for a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, cast

import numpy as np

from pybackprop.bench.engines.engine import Call, Engine, named_gradients
from pybackprop.bench.workloads import ADAM_LR, BETA2, EPOCHS, EPS, LR, MOMENTUM, STEPS
from pybackprop.core.arrays import Array


class Torch(Engine):
    """Eager calls on tensors that share the arrays' memory."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.torch: Any = import_module("torch")
        self.torch.set_num_threads(threads)

    def matmul(self, a: Array, b: Array) -> Call:
        return self._product("out", *self._tensors(a, b))

    def backward_w(self, x: Array, dout: Array) -> Call:
        samples, upstream = self._tensors(x, dout)
        return self._product("dw", samples.T, upstream)

    def backward_x(self, dout: Array, w: Array) -> Call:
        upstream, weights = self._tensors(dout, w)
        return self._product("dx", upstream, weights.T)

    def _product(self, name: str, a: Any, b: Any) -> Call:
        out = a.new_empty(a.shape[0], b.shape[1])
        self.results = lambda: {name: out}
        return partial(self.torch.matmul, a, b, out=out)

    def forward(self, x: Array, w: Array, b: Array) -> Call:
        samples, weights, bias = self._tensors(x, w, b)
        out = samples.new_empty(len(x), len(b))
        self.results = lambda: {"out": out}
        return partial(self.torch.addmm, bias, samples, weights, out=out)

    def step(self, x: Array, targ: Array, **parameters: Array) -> Call:
        samples, targets, *tensors = self._tensors(x, targ, *parameters.values())
        loss, _ = self._network(tensors)
        self.results = lambda: {"loss": self.last.detach(), **named_gradients(parameters, [p.grad for p in tensors])}

        def call() -> None:
            for p in tensors:
                p.grad = None
            self.last = loss(samples, targets)
            self.last.backward()

        return call

    def epoch(self, x: Array, targ: Array, batch: int, **parameters: Array) -> Call:
        samples, targets, *tensors = self._tensors(x, targ, *parameters.values())
        loss, parameters_ = self._network(tensors)
        sgd = self.torch.optim.SGD(parameters_, lr=LR, momentum=MOMENTUM)
        self.results = lambda: {"loss": np.array(self.last, x.dtype)}

        def call() -> None:
            total = 0.0
            for rows in self.torch.randperm(len(samples)).split(batch):
                sgd.zero_grad()
                value = loss(samples[rows], targets[rows])
                value.backward()
                sgd.step()
                total += value.item() * len(rows)
            self.last = total / len(samples)

        return call

    def classify(self, x: Array, targ: Array, batch: int, **parameters: Array) -> Call:
        torch, cross_entropy = self.torch, self.torch.nn.functional.cross_entropy
        samples, labels, *tensors = self._tensors(x, targ, *parameters.values())
        scores, parameters_ = self._scores(tensors)
        adam = torch.optim.Adam(parameters_, lr=ADAM_LR, fused=True)
        self.results = lambda: {"loss": np.array(self.last, x.dtype)}

        def call() -> None:
            for _ in range(EPOCHS):
                total = 0.0
                for rows in torch.randperm(len(samples)).split(batch):
                    adam.zero_grad()
                    value = cross_entropy(scores(samples[rows]), labels[rows])
                    value.backward()
                    adam.step()
                    total += value.item() * len(rows)
                self.last = total / len(samples)

        return call

    def update(self, p: Array, g: Array, m: Array, v: Array) -> Call:
        """Adam's fused form, which is faster than the default one."""
        parameter, gradient, mean, squares = self._tensors(p, g, m, v)
        parameter.requires_grad_().grad = gradient
        adam = self.torch.optim.Adam([parameter], lr=LR, betas=(MOMENTUM, BETA2), eps=EPS, fused=True)
        steps = self.torch.tensor(float(STEPS))
        adam.state[parameter] = {"step": steps, "exp_avg": mean, "exp_avg_sq": squares}
        self.results = lambda: {"p": parameter.detach(), "m": mean, "v": squares}
        return cast("Call", adam.step)

    def loss(self, out: Array, targ: Array) -> Call:
        """Written out, in place: faster than autograd, which allocates what it returns (see Autograd)."""
        torch, nll_loss = self.torch, self.torch.nn.functional.nll_loss
        scores, labels = self._tensors(out, targ)
        dout, columns = torch.empty_like(scores), labels[:, None]
        ones = scores.new_full((len(out), 1), -1.0)
        self.results = lambda: {"loss": self.last, "dout": dout}

        def call() -> None:
            torch.log_softmax(scores, 1, out=dout)
            self.last = nll_loss(dout, labels)
            dout.exp_().scatter_add_(1, columns, ones).mul_(1 / len(scores))

        return call

    def _network(self, tensors: Sequence[Any]) -> tuple[Callable[[Any, Any], Any], list[Any]]:
        """(the loss as a function of x and targ, the parameters). The parameters share the tensors' memory."""
        scores, parameters = self._scores(tensors)
        mse_loss = self.torch.nn.functional.mse_loss
        return lambda x, targ: mse_loss(scores(x), targ), parameters

    def _scores(self, tensors: Sequence[Any]) -> tuple[Callable[[Any], Any], list[Any]]:
        """(the outputs as a function of x, the parameters). The parameters share the tensors' memory."""
        parameters = [tensor.requires_grad_() for tensor in tensors]
        layers, addmm = list(zip(parameters[::2], parameters[1::2], strict=True)), self.torch.addmm

        def scores(x: Any) -> Any:
            for w, b in layers[:-1]:
                x = addmm(b, x, w).relu()
            w, b = layers[-1]
            return addmm(b, x, w)

        return scores, parameters

    def _tensors(self, *arrays: Array) -> list[Any]:
        return [self.torch.from_numpy(array) for array in arrays]

    def about(self) -> dict[str, Any]:
        has_mkl = self.torch.backends.mkl.is_available()
        return {"blas": "MKL" if has_mkl else "no MKL", "threads": self.torch.get_num_threads()}


class Autograd(Torch):
    """The loss as most users of PyTorch write it."""

    def loss(self, out: Array, targ: Array) -> Call:
        cross_entropy = self.torch.nn.functional.cross_entropy
        scores, labels = self._tensors(out, targ)
        scores.requires_grad_()
        self.results = lambda: {"loss": self.last.detach(), "dout": scores.grad}

        def call() -> None:
            scores.grad = None
            self.last = cross_entropy(scores, labels)
            self.last.backward()

        return call
