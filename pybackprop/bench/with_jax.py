"""JAX: everything compiled, every result waited for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pybackprop.bench.engine import Call, Engine
from pybackprop.convert import Array

NAMES = ("w1.g", "b1.g", "w2.g", "b2.g")


class Jax(Engine):
    """jit on the CPU backend; it cannot write into an array that is there already."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.jax: Any = import_module("jax")
        self.jax.config.update("jax_enable_x64", True)
        self.jax.config.update("jax_platforms", "cpu")

    def matmul(self, a: Array, b: Array) -> Call:
        return self._compiled("out", lambda a, b: a @ b, a, b)

    def forward(self, x: Array, w: Array, b: Array) -> Call:
        return self._compiled("out", lambda x, w, b: x @ w + b, x, w, b)

    def backward_w(self, x: Array, dout: Array) -> Call:
        return self._compiled("dw", lambda x, dout: x.T @ dout, x, dout)

    def backward_x(self, dout: Array, w: Array) -> Call:
        return self._compiled("dx", lambda dout, w: dout @ w.T, dout, w)

    def _compiled(self, name: str, function: Any, *arrays: Array) -> Call:
        operands, compiled = [self.jax.numpy.asarray(array) for array in arrays], self.jax.jit(function)
        self.results = lambda: {name: self.last}

        def call() -> None:
            self.last = compiled(*operands).block_until_ready()

        return call

    def step(self, x: Array, targ: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> Call:
        jax, relu = self.jax, self.jax.nn.relu

        def loss(p: Any, x: Any, targ: Any) -> Any:
            w1, b1, w2, b2 = p
            return ((relu(x @ w1 + b1) @ w2 + b2 - targ) ** 2).mean()

        compiled, wait = jax.jit(jax.value_and_grad(loss)), jax.block_until_ready
        operands = jax.tree.map(jax.numpy.asarray, ([w1, b1, w2, b2], x, targ))
        self.results = lambda: {"loss": self.last[0], **dict(zip(NAMES, self.last[1], strict=True))}

        def call() -> None:
            self.last = wait(compiled(*operands))

        return call

    def about(self) -> dict[str, Any]:
        return {"blas": "XLA", "devices": [str(device) for device in self.jax.devices()]}
