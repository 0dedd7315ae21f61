"""Read by mypy --strict, never run: the public surface as an annotated program uses it."""

from __future__ import annotations

import numpy as np

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
w -= 0.1
w *= 2


class Mine(bp.Module):
    def forward(self, inp: bp.Tensor) -> bp.Tensor:
        return inp * 2

    def bwd(self, out: bp.Tensor, inp: bp.Tensor) -> None:
        inp.g = out.g


model: bp.Model = bp.Model([bp.Lin(w, b), bp.Relu(), Mine()], loss=bp.Mse())
parameters: list[bp.Tensor] = model.parameters()
sgd = bp.SGD(model, lr=0.1, momentum=0.9)
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
