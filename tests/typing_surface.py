"""Read by mypy --strict and pyright, never run: the public surface as an annotated program uses it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

import pybackprop as bp

x: bp.Tensor = bp.tensor(np.ones((4, 3), np.float32))
w: bp.Tensor = bp.param([[1.0], [2.0], [3.0]], name="w")
b: bp.Tensor = bp.as_tensor(np.zeros(1, np.float32))
out: bp.Tensor = bp.lin(x, w, b)
same: bp.Tensor = x @ w + b
loss: bp.Tensor = bp.mse(bp.relu(out), np.ones((4, 1), np.float32))
loss.backward(keep=True)
number: float = float(loss)
gradient: bp.Tensor | None = w.g
shape: tuple[int, ...] = out.shape
bp.mse_grad(out, np.ones(4, np.float32))
bp.lin_grad(x, out, w, b)
w -= 0.1 * w.g
w = w - 0.1 * w.g
b -= 0.1 * out.g.sum(0)
w *= 2
if w.g is None:
    raise RuntimeError("no gradient yet")
w.g = None
w.g = np.ones((3, 1))
chained: bp.Tensor = bp.relu(x @ w + b) @ w.T
row: bp.Tensor = x[0]
right: int = (x > 0).sum()
share: float = (x > 0).mean()
mean: float = x.mean().item()
reference: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = bp.reference.linear_forward(x, w)


def relu_gradient(inp: bp.Tensor, result: bp.Tensor) -> bp.Tensor:
    return (inp > 0).float() * result.g


def linear_gradient(inp: bp.Tensor, result: bp.Tensor, weights: bp.Tensor) -> None:
    inp.g = result.g @ weights.T
    weights.g = inp.T @ result.g
    weights.g = (inp.unsqueeze(-1) * result.g.unsqueeze(1)).sum(0)


def any_data(data: ArrayLike, targets: ArrayLike) -> float:
    """Lists, arrays, tensors, and a DataFrame, which has __array__."""
    return float(bp.mse(bp.lin(data, w, b), targets))


class Mine(bp.Module):
    def forward(self, inp: bp.Tensor) -> bp.Tensor:
        return inp * 2

    def bwd(self, out: bp.Tensor, inp: bp.Tensor) -> None:
        inp.g = 2 * out.g


class Weighted(bp.Module):
    """Two operands, and other names of them."""

    def __init__(self) -> None:
        self.weight = bp.param(np.ones((3, 3)))

    def forward(self, first: bp.Tensor, second: bp.Tensor) -> bp.Tensor:
        return first @ self.weight + second

    def bwd(self, result: bp.Tensor, first: bp.Tensor, second: bp.Tensor) -> None:
        first.g, second.g = result.g @ self.weight.T, result.g
        self.weight.g = first.T @ result.g


model: bp.Model = bp.Model([bp.Lin(w, b), bp.Relu(), Mine()], loss=bp.Mse())
parameters: list[bp.Tensor] = model.parameters()
sgd = bp.SGD(model, lr=0.1, momentum=0.9)
trained: bp.Tensor = model(x, np.ones((4, 1), np.float32))
before_step: float = float(trained)
model.backward()
sgd.step()
plan: bp.Plan = bp.compile(model, batch=4, optimizer=sgd)
step: float = plan.step(x, np.ones((4, 1), np.float32))
predicted: bp.Tensor = plan.predict(x)
losses: list[float] = [epoch.loss for epoch in plan.fit(x, out.data, epochs=1, callback=lambda moment: moment.step > 9)]
room: int = plan.memory()["total"]
needed: int = model.memory(batch=4).peak
fitting: dict[str, int] = bp.fits(model, memory="1GB")
with bp.ledger() as led:
    model(x, np.ones((4, 1), np.float32)).backward()
counted: bp.Ledger = led
names: list[str] = [buffer.name for buffer in counted.buffers]
checked: bool = bp.gradcheck(model, x, np.ones((4, 1), np.float32)).ok
split: bp.data.Split = bp.data.digits()
kernels: list[str] = bp.kernels()
explained: bp.Explanation = bp.explain(w, at=(0, 0))
moves: str = explained.moves
upstream: float = explained.terms[0].upstream
relative: float = explained.check
faster: float = bp.explain.compare("broadcast", "matmul", size=(4, 3, 2)).ways[0].seconds
verdict: bp.Verdict = bp.judge(w, "out.g @ x.T")
is_right: bool = verdict.ok
square: bp.Op = bp.define_op(
    "square",
    forward=lambda given: given**2,
    backward=lambda dout, given: 2 * given * dout,
    operands=("given",),
    elementwise=True,
)
squared: bp.Tensor = square(x)
with bp.debug():
    bp.set_threads(2)
about: dict[str, object] = bp.info()
