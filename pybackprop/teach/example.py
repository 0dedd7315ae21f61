"""The small example network of explain, judge, the exercises and the page: mse(lin(relu(lin(x)))).

One builder with two kinds of numbers that you can check in your head, quarters and numbers with one decimal; and the
same network on data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from pybackprop import data
from pybackprop.autograd.tensor import Tensor, param, tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.core.errors import ShapeError
from pybackprop.engine.model import Model
from pybackprop.nn.initial import he_uniform
from pybackprop.ops import lin, lin_grad, mse, mse_grad, relu, relu_grad
from pybackprop.teach.trace.graph import network_ending_in

SHAPE = (4, 5, 8)  # rows, inputs, hidden; one output, as in the lesson
ROWS, HIDDEN = 64, 50  # for the example on data
ASK_NOTHING = data.Choices()
SEED = 221
OUTPUTS = 2  # of the example with decimals
ROLE_OF = {"x": "x", "w": "w1", "b": "b1", "z": "l1", "a": "l2", "out": "out", "targ": "targ"}  # in judge's questions

Layer: TypeAlias = "tuple[Tensor, Tensor]"  # w (m,h) and b (h,)


@dataclass(frozen=True)
class Example:
    """The network after forward and backward, with every gradient; .tensors uses the lesson's names: l1, ..., out."""

    tensors: dict[str, Tensor]
    loss: Tensor


def run(x: Tensor, targ: Tensor, layers: Sequence[Layer]) -> Example:
    """Runs lin, relu, lin, ..., mse forward on x (n,m) and targ (n,h), and backward by hand as the lesson does."""
    tensors, value = {"x": x}, x
    backward: list[Callable[[], None]] = []
    for k, (w, b) in enumerate(layers, 1):
        if k > 1:
            before, value = value, relu(value)
            tensors[f"l{2 * k - 2}"] = value
            backward.append(partial(relu_grad, before, value))
        out = lin(value, w, b)
        backward.append(partial(lin_grad, value, out, w, b))
        tensors |= {f"w{k}": w, f"b{k}": b, "out" if k == len(layers) else f"l{2 * k - 1}": out}
        value = out
    loss = mse(value, targ)
    mse_grad(value, targ)
    for grad in reversed(backward):
        grad()
    return Example(tensors | {"targ": targ, "loss": loss}, loss)


# ---- quarters ----


def small(shape: tuple[int, ...] = SHAPE) -> Example:
    """The example on quarters between -2 and 2 from the library's own random stream, the same on every machine.

    shape: rows, inputs, the sizes of the hidden layers, and, if it has four numbers or more, the outputs (else 1).
    Raises ShapeError for fewer than three numbers.
    """
    if len(shape) < 3:
        raise ShapeError(f"--shape: found {shape}, expected at least three numbers: rows, inputs, hidden")
    n, *sizes = shape if len(shape) > 3 else (*shape, 1)
    state = native.new_state(SEED, 0)
    x, targ = _quarters((n, sizes[0]), state), _quarters((n, sizes[-1]), state)
    layers = [_layer(_quarters((m, h), state), _quarters((h,), state)) for m, h in pairwise(sizes)]
    return run(x, targ, layers)


def _quarters(shape: tuple[int, ...], state: object) -> Tensor:
    numbers = tensor(np.zeros(shape, np.float32))
    native.random_uniform[numbers.dtype](numbers.pointer(), 2.0, state, numbers.size)
    np.round(numbers._array * 4, out=numbers._array)
    numbers._array /= 4
    return numbers


def _layer(w: Tensor, b: Tensor) -> Layer:
    w.requires_g = b.requires_g = True
    return w, b


def on_data(path: Path | None, asked: data.Choices = ASK_NOTHING, hidden: int = HIDDEN) -> Example:
    """The first rows of a data set (without a path, the built-in digits) and a new network on them.

    asked: which column is the target, and so on; else decided and scaled as `pybackprop train` does. Raises DataError
    for a file that is not a data set.
    """
    split = data.digits() if path is None else data.read(path, np.float32, asked).split
    x = tensor(np.asarray(split.x_train)[:ROWS])
    labels = np.asarray(split.y_train)
    classes = labels.dtype.kind in "iu"
    rows = np.eye(int(labels.max()) + 1)[labels[:ROWS]] if classes else labels[:ROWS].reshape(len(x), -1)
    targ = tensor(rows.astype(np.float32))
    state = native.new_state(SEED, 0)
    sizes = [x.shape[1], hidden, targ.shape[1]]
    layers = [
        _layer(he_uniform("example", m, h, x.dtype, state), tensor(np.zeros(h, np.float32))) for m, h in pairwise(sizes)
    ]
    return run(x, targ, layers)


def on_model(model: Model, x: Array, targ: Array) -> Example:
    """A model after forward and backward on x (n,m) and targ (n,h), or labels (n,); every gradient is kept.

    The names are those of explanations. Raises ShapeError where x or targ does not fit.
    """
    value = tensor(x)
    targets = tensor(targ) if targ.dtype == x.dtype else targ
    for layer in model.layers:
        value = layer(value)
    loss = model.loss(value, targets)
    loss.backward(keep=True)
    network = network_ending_in(loss)
    return Example({network.name(t): t for op in network for t in (*op.inputs, op.output)}, loss)


# ---- decimals ----


def decimals(shape: Sequence[int] = (4, 3, 2), seed: int = 0, dtype: Any = np.float32) -> Example:
    """The example on numbers with one decimal, none of them 0; x is (n,m), w1 (m,h), w2 (h,2).

    The data and the targets have requires_g set too. Raises ValueError unless shape has three numbers.
    """
    n, m, h = shape
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> Array:
        return np.asarray(rng.choice([-1, 1], shape) * rng.integers(1, 15, shape) / 10, dtype)

    x, targ = param(numbers(n, m)), param(numbers(n, OUTPUTS))
    w1, b1, w2, b2 = (param(numbers(*s)) for s in ((m, h), (h,), (h, OUTPUTS), (OUTPUTS,)))
    b1.data[:] = np.abs(b1.data)  # so that most elements pass relu
    # unit 0 passes in every row: where its gradient is 0, a sum that forgets a row would look right
    lowest = float((x.data @ w1.data[:, 0]).min(initial=0))
    b1.data[0] = max(float(b1.data[0]), np.ceil(-10 * lowest + 1) / 10)
    return run(x, targ, [(w1, b1), (w2, b2)])
