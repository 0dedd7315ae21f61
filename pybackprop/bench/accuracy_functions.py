"""Accuracy of functions: exp, log and what is made of them, against values computed with 50 decimal digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal, localcontext
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import tensor
from pybackprop.bench.accuracy import Case, Engine, Row, by_torch, make, measured
from pybackprop.core.arrays import Array
from pybackprop.ops import cross_entropy, cross_entropy_grad, log_softmax, reference, sigmoid, softmax, tanh

DIGITS = 50
KIND = "normal"
NUMBERS, ROWS, CLASSES = 1000, 100, 10
Numbers = list[list[Decimal]]


def rows(dtype: Any, engines: Sequence[str]) -> Iterator[Row]:
    """The errors of all functions. Nothing is proved of them here, so a Row's share is None."""
    real = np.dtype(dtype)
    for case in cases(real):
        with localcontext() as context:
            context.prec = DIGITS
            yield from measured(case, real, KIND, engines)


def cases(dtype: np.dtype[Any]) -> Iterator[Case]:
    """Functions of normal numbers, log of their absolute values; of normal scores of 10 classes, 4 times as wide."""
    x = make(KIND, (NUMBERS,), dtype, 1)
    yield _elementwise("exp", x, reference.exp, np.exp, lambda t, x: t.exp(x), lambda x: x.exp())
    yield _elementwise("log", abs(x), reference.log, np.log, lambda t, x: t.log(x), lambda x: x.ln())
    yield _elementwise("sigmoid", x, _ours(sigmoid), _numpy_sigmoid, lambda t, x: t.sigmoid(x), _sigmoid)
    yield _elementwise("tanh", x, _ours(tanh), np.tanh, lambda t, x: t.tanh(x), lambda x: 2 * _sigmoid(2 * x) - 1)
    scores = (4 * make(KIND, (ROWS, CLASSES), dtype, 2)).astype(dtype)
    labels = np.random.default_rng(3).integers(CLASSES, size=ROWS)
    yield _of_rows("softmax", scores, _ours(softmax), _numpy_softmax, lambda t, x: t.softmax(x, 1), _softmax)
    yield _of_rows(
        "log_softmax", scores, _ours(log_softmax), _numpy_log_softmax, lambda t, x: t.log_softmax(x, 1), _log_softmax
    )
    yield from _cross_entropy(scores, labels)


def _ours(function: Callable[..., Any]) -> Callable[[Array], Array]:
    return lambda x: function(x)._array


def _decimals(x: Array) -> Numbers:
    return [[Decimal(float(value)) for value in row] for row in np.atleast_2d(x)]


def _elementwise(
    name: str,
    x: Array,
    ours: Callable[[Array], Array],
    in_numpy: Callable[[Array], Array],
    in_torch: Callable[..., Any],
    exact: Callable[[Decimal], Decimal],
) -> Case:
    engines: dict[str, Engine] = {
        "pybackprop": lambda: ours(x),
        "numpy": lambda: in_numpy(x),
        "torch": by_torch(in_torch, x),
    }
    at = [(k,) for k in range(len(x))]
    return Case(name, f"{len(x):,}", engines, lambda: (at, [exact(value) for value in _decimals(x)[0]], []))


def _of_rows(
    name: str,
    x: Array,
    ours: Callable[[Array], Array],
    in_numpy: Callable[[Array], Array],
    in_torch: Callable[..., Any],
    exact: Callable[[list[Decimal]], list[Decimal]],
) -> Case:
    engines: dict[str, Engine] = {
        "pybackprop": lambda: ours(x),
        "numpy": lambda: in_numpy(x),
        "torch": by_torch(in_torch, x),
    }
    n, h = x.shape
    at = [(i, j) for i in range(n) for j in range(h)]
    return Case(name, f"({n},{h})", engines, lambda: (at, [v for row in _decimals(x) for v in exact(row)], []))


# ---- the exact values ----


def _sigmoid(x: Decimal) -> Decimal:
    return 1 / (1 + (-x).exp())


def _softmax(row: list[Decimal]) -> list[Decimal]:
    e = [x.exp() for x in row]
    return [value / sum(e) for value in e]


def _log_softmax(row: list[Decimal]) -> list[Decimal]:
    logarithm = sum((x.exp() for x in row), Decimal(0)).ln()
    return [x - logarithm for x in row]


# ---- as one writes them in numpy ----


def _numpy_sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _numpy_softmax(x: Array) -> Array:
    e = np.exp(x - x.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def _numpy_log_softmax(x: Array) -> Array:
    d = x - x.max(1, keepdims=True)
    return np.asarray(d - np.log(np.exp(d).sum(1, keepdims=True)))


# ---- cross_entropy of labels ----


def _cross_entropy(out: Array, labels: Array) -> Iterator[Case]:
    n, h = out.shape
    one_hot = np.eye(h, dtype=out.dtype)[labels]

    def loss() -> tuple[list[Any], list[Decimal], list[float]]:
        logarithms = [_log_softmax(row)[j] for row, j in zip(_decimals(out), labels, strict=True)]
        return [()], [-sum(logarithms, Decimal(0)) / n], []

    def gradient() -> tuple[list[Any], list[Decimal], list[float]]:
        at = [(i, j) for i in range(n) for j in range(h)]
        shares = [_softmax(row) for row in _decimals(out)]
        return at, [(shares[i][j] - int(labels[i] == j)) / n for i, j in at], []

    def ours() -> Array:
        inp = tensor(out)
        cross_entropy_grad(inp, labels)
        return inp.g._array

    def by_autograd(t: Any, x: Any, targ: Any) -> Any:
        t.nn.functional.cross_entropy(x.requires_grad_(), targ).backward()
        return x.grad

    size = f"({n},{h}), labels"
    engines: dict[str, Engine] = {
        "pybackprop": lambda: cross_entropy(out, labels)._array,
        "numpy": lambda: np.asarray(-_numpy_log_softmax(out)[np.arange(n), labels].mean()),
        "torch": by_torch(lambda t, x, targ: t.nn.functional.cross_entropy(x, targ), out, labels),
    }
    yield Case("cross_entropy forward", size, engines, loss)
    engines = {
        "pybackprop": ours,
        "numpy": lambda: (_numpy_softmax(out) - one_hot) / out.dtype.type(n),
        "torch": by_torch(by_autograd, out.copy(), labels),
    }
    yield Case("cross_entropy backward", size, engines, gradient)
