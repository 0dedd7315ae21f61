"""The small example network that explains, judges, exercises and pages are shown on: mse(lin(relu(lin(x)))).

One builder, two sets of numbers that can be checked in the head: quarters, and numbers with one decimal; and the same
network on data.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from pybackprop import data
from pybackprop.autograd.tensor import Tensor, param, tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.core.errors import ShapeError
from pybackprop.ops import lin, mse, relu

SHAPE = (4, 5, 8)  # rows, inputs, hidden; one output, as in the lesson
ROWS, HIDDEN = 64, 50  # of an example on data
SEED = 221
OUTPUTS = 2  # of the one with decimals
ROLE_OF = {"x": "x", "w": "w1", "b": "b1", "z": "l1", "a": "l2", "out": "out", "targ": "targ"}  # in a question

Layer: TypeAlias = "tuple[Tensor, Tensor]"  # w (m,h) and b (h,)


@dataclass(frozen=True)
class Example:
    """The network after forward and backward, every gradient kept; .tensors by the lesson's names, l1, l2, ..., out."""

    tensors: dict[str, Tensor]
    loss: Tensor


def run(x: Tensor, targ: Tensor, layers: Sequence[Layer]) -> Example:
    """Forward and backward of lin, relu, lin, ..., mse. x (n,m) and targ (n,h) get their `.g` too if they want one."""
    tensors, value = {"x": x}, x
    for k, (w, b) in enumerate(layers, 1):
        is_last = k == len(layers)
        out = lin(value, w, b)
        tensors |= {f"w{k}": w, f"b{k}": b, "out" if is_last else f"l{2 * k - 1}": out}
        value = out if is_last else tensors.setdefault(f"l{2 * k}", relu(out))
    loss = mse(value, targ)
    loss.backward(keep=True)
    return Example(tensors | {"targ": targ, "loss": loss}, loss)


# ---- quarters ----


def small(shape: tuple[int, ...] = SHAPE) -> Example:
    """Quarters between -2 and 2, from the frozen random stream: the same everywhere. The data has a gradient too.

    shape: rows, inputs, sizes of the hidden layers, and, where there are four or more, the outputs (else 1).
    Raises ShapeError for fewer than three.
    """
    if len(shape) < 3:
        raise ShapeError(f"--shape: found {shape}, expected at least three numbers: rows, inputs, hidden")
    n, *sizes = shape if len(shape) > 3 else (*shape, 1)
    state = native.new_state(SEED, 0)
    x, targ = _quarters((n, sizes[0]), state), _quarters((n, sizes[-1]), state)
    layers = [_layer(_quarters((m, h), state), _quarters((h,), state)) for m, h in itertools.pairwise(sizes)]
    return _with_data_gradient(x, targ, layers)


def _quarters(shape: tuple[int, ...], state: object) -> Tensor:
    numbers = tensor(np.zeros(shape, np.float32))
    native.random_uniform[numbers.dtype](numbers.pointer(), 2.0, state, numbers.size)
    np.round(numbers._array * 4, out=numbers._array)
    numbers._array /= 4
    return numbers


def _layer(w: Tensor, b: Tensor) -> Layer:
    w.requires_g = b.requires_g = True
    return w, b


def _with_data_gradient(x: Tensor, targ: Tensor, layers: Sequence[Layer]) -> Example:
    """As the lesson's functions leave it: they set x.g too, which the tape does only for data that wants one."""
    x.requires_g = True
    example = run(x, targ, layers)
    x.requires_g = False
    return example


def on_data(path: Path | None, hidden: int = HIDDEN) -> Example:
    """The first rows of a data set (without a path, the built-in digits) and a fresh network on them.

    Raises DataError for a file that is none.
    """
    from pybackprop.nn.initial import he_uniform

    split = data.digits() if path is None else data.dataset(path, np.float32)
    x = tensor(np.asarray(split.x_train)[:ROWS])
    labels = np.asarray(split.y_train)
    classes = labels.dtype.kind in "iu"
    rows = np.eye(int(labels.max()) + 1)[labels[:ROWS]] if classes else labels[:ROWS].reshape(len(x), -1)
    targ = tensor(rows.astype(np.float32))
    state = native.new_state(SEED, 0)
    sizes = [x.shape[1], hidden, targ.shape[1]]
    layers = [
        _layer(he_uniform("mlp", m, h, x.dtype, state), tensor(np.zeros(h, np.float32)))
        for m, h in itertools.pairwise(sizes)
    ]
    return _with_data_gradient(x, targ, layers)


# ---- decimals ----


def decimals(shape: Sequence[int] = (4, 3, 2), seed: int = 0, dtype: Any = np.float32) -> Example:
    """Numbers with one decimal, none of them 0, of another seed each time; x is (n,m), w1 (m,h), w2 (h,2).

    The data and the targets want a gradient too.
    """
    n, m, h = shape
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> Array:
        return np.asarray(rng.choice([-1, 1], shape) * rng.integers(1, 15, shape) / 10, dtype)

    x, targ = param(numbers(n, m)), param(numbers(n, OUTPUTS))
    w1, b1, w2, b2 = (param(numbers(*s)) for s in ((m, h), (h,), (h, OUTPUTS), (OUTPUTS,)))
    b1.data[:] = np.abs(b1.data)  # so that most of relu is open
    return run(x, targ, [(w1, b1), (w2, b2)])
