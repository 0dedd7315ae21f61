"""The small built-in example of `pybackprop explain`, and the same network on data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pybackprop import data
from pybackprop.autograd.tensor import Tensor, tensor
from pybackprop.core import native
from pybackprop.core.errors import ShapeError
from pybackprop.ops import lin, lin_grad, mse, mse_grad, relu, relu_grad

SHAPE = (4, 5, 8)  # rows, inputs, hidden; one output, as in the lesson
ROWS, HIDDEN = 64, 50  # of an example on data
SEED = 221


@dataclass(frozen=True)
class Example:
    """The lesson's network after forward and backward by hand; .tensors by the lesson's names, l1, l2, l3, ..., out."""

    tensors: dict[str, Tensor]
    loss: Tensor


def small(shape: tuple[int, ...] = SHAPE) -> Example:
    """Numbers that are easy to read, quarters between -2 and 2, from the frozen random stream: the same everywhere.

    shape: rows, inputs, sizes of the hidden layers, and, where there are four or more, the outputs (else 1).
    """
    if len(shape) < 3:
        raise ShapeError(f"--shape: found {shape}, expected at least three numbers: rows, inputs, hidden")
    n, *sizes = shape if len(shape) > 3 else (*shape, 1)
    state = native.new_state(SEED, 0)
    x, targ = _quarters((n, sizes[0]), state), _quarters((n, sizes[-1]), state)
    return _run(x, targ, sizes, lambda m, h: (_quarters((m, h), state), _quarters((h,), state)))


def on_data(path: Path | None, hidden: int = HIDDEN) -> Example:
    """The first rows of a data set (without a path, the built-in digits) and a fresh network on them."""
    from pybackprop.nn.initial import he_uniform

    split = data.digits() if path is None else data.dataset(path, np.float32)
    x = tensor(np.asarray(split.x_train)[:ROWS])
    labels = np.asarray(split.y_train)
    classes = labels.dtype.kind in "iu"
    rows = np.eye(int(labels.max()) + 1)[labels[:ROWS]] if classes else labels[:ROWS].reshape(len(x), -1)
    targ = tensor(rows.astype(np.float32))
    state = native.new_state(SEED, 0)
    sizes = [x.shape[1], hidden, targ.shape[1]]
    return _run(x, targ, sizes, lambda m, h: (he_uniform("mlp", m, h, x.dtype, state), tensor(np.zeros(h, np.float32))))


def _quarters(shape: tuple[int, ...], state: object) -> Tensor:
    made = tensor(np.zeros(shape, np.float32))
    native.random_uniform[made.dtype](made.pointer(), 2.0, state, made.size)
    np.round(made._array * 4, out=made._array)
    made._array /= 4
    return made


def _run(x: Tensor, targ: Tensor, sizes: Sequence[int], make: Callable[[int, int], tuple[Tensor, Tensor]]) -> Example:
    """Forward, and backward by hand as the lesson writes it."""
    tensors, inp = {"x": x}, x
    backward: list[Callable[[], None]] = []
    last = len(sizes) - 1
    for k in range(1, len(sizes)):
        w, b = make(sizes[k - 1], sizes[k])
        w.requires_g = b.requires_g = True
        out = lin(inp, w, b)
        backward.append(partial(lin_grad, inp, out, w, b))
        name = "out" if k == last else f"l{2 * k - 1}"
        tensors |= {f"w{k}": w, f"b{k}": b, name: out}
        inp = out
        if k < last:
            inp = tensors[f"l{2 * k}"] = relu(out)
            backward.append(partial(relu_grad, out, inp))
    loss = mse(inp, targ)
    mse_grad(inp, targ)
    for grad in reversed(backward):
        grad()
    return Example(tensors | {"targ": targ, "loss": loss}, loss)
