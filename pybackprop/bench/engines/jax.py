"""JAX: compiled functions; a call ends when its result is ready."""

from __future__ import annotations

import math
from importlib import import_module
from itertools import count
from typing import Any

from pybackprop.bench.engines.engine import Call, Engine, named_gradients
from pybackprop.bench.workloads import BETA2, EPS, LR, MOMENTUM, STEPS
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

    def update(self, p: Array, g: Array, m: Array, v: Array) -> Call:
        """Into the memory of the arrays that it is given."""
        jax = self.jax

        def adam(p: Any, m: Any, v: Any, g: Any, step: Any, root: Any) -> Any:
            m = MOMENTUM * m + (1 - MOMENTUM) * g
            v = BETA2 * v + (1 - BETA2) * g * g
            return p - step * m / (jax.numpy.sqrt(v) / root + EPS), m, v

        compiled, steps = jax.jit(adam, donate_argnums=(0, 1, 2)), count(STEPS + 1)
        *self.last, gradient = map(jax.numpy.array, (p, m, v, g))
        self.results = lambda: dict(zip("pmv", self.last, strict=True))

        def call() -> None:
            t = next(steps)
            numbers = p.dtype.type(LR / (1 - MOMENTUM**t)), p.dtype.type(math.sqrt(1 - BETA2**t))
            self.last = jax.block_until_ready(compiled(*self.last, gradient, *numbers))

        return call

    def loss(self, out: Array, targ: Array) -> Call:
        jax = self.jax

        def loss(out: Any, targ: Any) -> Any:
            return -jax.numpy.take_along_axis(jax.nn.log_softmax(out), targ[:, None], 1).mean()

        compiled, operands = jax.jit(jax.value_and_grad(loss)), [jax.numpy.asarray(out), jax.numpy.asarray(targ)]
        self.results = lambda: dict(zip(("loss", "dout"), self.last, strict=True))

        def call() -> None:
            self.last = jax.block_until_ready(compiled(*operands))

        return call

    def about(self) -> dict[str, Any]:
        return {"blas": "XLA", "devices": [str(device) for device in self.jax.devices()]}
