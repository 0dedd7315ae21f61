"""PyTorch: out= for products, autograd for a step."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from pybackprop.bench.engine import Call, Engine
from pybackprop.convert import Array


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

    def step(self, x: Array, targ: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> Call:
        samples, targets = self._tensors(x, targ)
        parameters = w1_, b1_, w2_, b2_ = [tensor.requires_grad_() for tensor in self._tensors(w1, b1, w2, b2)]
        addmm, mse_loss = self.torch.addmm, self.torch.nn.functional.mse_loss
        named = dict(zip(("w1.g", "b1.g", "w2.g", "b2.g"), parameters, strict=True))
        self.results = lambda: {"loss": self.last.detach(), **{name: p.grad for name, p in named.items()}}

        def call() -> None:
            for p in parameters:
                p.grad = None
            self.last = mse_loss(addmm(b2_, addmm(b1_, samples, w1_).relu(), w2_), targets)
            self.last.backward()

        return call

    def _tensors(self, *arrays: Array) -> list[Any]:
        return [self.torch.from_numpy(array) for array in arrays]

    def about(self) -> dict[str, Any]:
        has_mkl = self.torch.backends.mkl.is_available()
        return {"blas": "MKL" if has_mkl else "no MKL", "threads": self.torch.get_num_threads()}
