"""JAX: compiled functions; a call ends when its result is ready."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pybackprop.bench.engines.engine import Call, Engine, named_gradients
from pybackprop.core.arrays import Array


class Jax(Engine):
    """jit on the CPU backend; results are new arrays, as JAX cannot write into existing ones."""

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

    def step(self, x: Array, targ: Array, **parameters: Array) -> Call:
        jax, relu = self.jax, self.jax.nn.relu

        def loss(p: Any, x: Any, targ: Any) -> Any:
            a = x
            for w, b in zip(p[:-2:2], p[1:-2:2], strict=True):
                a = relu(a @ w + b)
            return ((a @ p[-2] + p[-1] - targ) ** 2).mean()

        compiled, wait = jax.jit(jax.value_and_grad(loss)), jax.block_until_ready
        operands = jax.tree.map(jax.numpy.asarray, (list(parameters.values()), x, targ))
        self.results = lambda: {"loss": self.last[0], **named_gradients(parameters, self.last[1])}

        def call() -> None:
            self.last = wait(compiled(*operands))

        return call

    def about(self) -> dict[str, Any]:
        return {"blas": "XLA", "devices": [str(device) for device in self.jax.devices()]}
