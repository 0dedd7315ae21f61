"""Accuracy: how far results are from exact ones, in units of the last place, for this library, numpy and PyTorch.

Exact sums: a product of two floats is split into two floats without error (Dekker 1971), and math.fsum adds floats with
a single rounding. So the exact value of a sum of products is known to far below a unit in the last place of a result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

from pybackprop import reference
from pybackprop.autograd.tensor import param, tensor
from pybackprop.core.arrays import Array
from pybackprop.ops import lin, lin_grad, matmul, mse, mse_grad

Engine: TypeAlias = Callable[..., Array]
SEGMENT = 512  # BP_SEGMENT of csrc/pybackprop.h
KINDS = ("normal", "positive", "sparse", "alternating")
SAMPLED = 24  # elements of a result that are compared
PIECE = 2**16
LR, MU = 0.1, 0.9


@dataclass(frozen=True)
class Row:
    """The errors of one engine in one operation on one kind of data.

    mean, worst  in units of the last place of the exact result
    share        the worst error divided by what is proved to be the largest possible; None if nothing is proved here
    """

    operation: str
    size: str
    dtype: str
    kind: str
    engine: str
    mean: float
    worst: float
    share: float | None


def make(kind: str, shape: tuple[int, ...], dtype: Any, seed: int) -> Array:
    """Data of a kind: normal; positive, uniform in [0, 1); sparse, as digits are: bytes / 255 of which four in five are
    0; alternating: 1 + noise and -1 + noise in turn, whose sum cancels.
    """
    rng = np.random.default_rng(seed)
    if kind == "normal":
        return rng.standard_normal(shape).astype(dtype)
    if kind == "positive":
        return rng.random(shape).astype(dtype)
    if kind == "sparse":
        return (rng.integers(1, 256, shape) / 255 * (rng.random(shape) < 0.2)).astype(dtype)
    signs = 1.0 - 2.0 * (np.arange(shape[0]) % 2)
    return (signs.reshape(-1, *[1] * (len(shape) - 1)) + 1e-3 * rng.standard_normal(shape)).astype(dtype)


def products(a: Array, b: Array) -> tuple[Array, Array]:
    """Two arrays of float64 whose sum is exactly a * b."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    high = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return high, ((a1 * b1 - high) + a1 * b2 + a2 * b1) + a2 * b2


def _halves(a: Array) -> tuple[Array, Array]:
    big = a * (2.0**27 + 1)
    high = big - (big - a)
    return high, a - high


def dot(a: Array, b: Array, extra: float = 0.0) -> tuple[float, float]:
    """The exact sum of a * b, plus extra, rounded once; and the sum of the absolute values."""
    high, low = products(a, b)
    return exact_sum(high, low, np.array([extra])), float(np.abs(high).sum()) + abs(extra)


def exact_sum(*parts: Array) -> float:
    """The sum of all elements, rounded once; in pieces, as lists of floats take four times the memory of arrays."""
    pieces = (part[k : k + PIECE] for part in parts for k in range(0, part.size, PIECE))
    return math.fsum(itertools.chain.from_iterable(piece[piece != 0].tolist() for piece in pieces))


def gamma(roundings: int, unit: float) -> float:
    """The largest relative error of a term that goes through so many roundings (Higham, section 3.1)."""
    return roundings * unit / (1 - roundings * unit)


def segmented(rows: int) -> int:
    """How many roundings a term of a sum over rows goes through at the most."""
    return min(rows, SEGMENT) + math.ceil(rows / SEGMENT)


@dataclass(frozen=True)
class Case:
    """An operation on some data.

    engines  its result by engine
    exact    (indices of the sampled elements, their exact values, the largest error that is proved for ours, if it is)
    """

    operation: str
    size: str
    engines: dict[str, Engine]
    exact: Callable[[], tuple[list[Any], Sequence[float | Decimal], list[float]]]


def rows(dtype: Any, kind: str, most: int, engines: Sequence[str]) -> Iterator[Row]:
    """The errors of all operations; most: rows of the longest sums."""
    for case in cases(np.dtype(dtype), kind, most):
        yield from measured(case, np.dtype(dtype), kind, engines)


def measured(case: Case, dtype: np.dtype[Any], kind: str, engines: Sequence[str]) -> Iterator[Row]:
    """The errors of one operation by each engine that has it."""
    at, exact, bounds = case.exact()
    ulps = np.spacing(np.abs([float(value) for value in exact]).astype(dtype)).astype(np.float64)
    for name in engines:
        if name not in case.engines:
            continue
        result = np.asarray(case.engines[name]())
        errors = np.array([_error(float(result[k]), value) for k, value in zip(at, exact, strict=True)])
        share = _share(errors, np.array(bounds)) if name == "pybackprop" and bounds else None
        mean, worst = float(np.mean(errors / ulps)), float(np.max(errors / ulps))
        yield Row(case.operation, case.size, dtype.name, kind, name, mean, worst, share)


def _error(found: float, exact: float | Decimal) -> float:
    return float(abs(Decimal(found) - exact)) if isinstance(exact, Decimal) else abs(found - exact)


def _share(errors: Array, bounds: Array) -> float:
    """The largest error as a part of its bound; infinite where there is an error and the bound is 0."""
    with np.errstate(all="ignore"):
        return float(np.nanmax(np.where(errors > 0, errors / bounds, 0.0)))


def cases(dtype: np.dtype[Any], kind: str, most: int) -> Iterator[Case]:
    """All operations. Long sums have `most` rows; products 64 inputs, and 784 or 4,096."""
    unit = float(np.finfo(dtype).eps) / 2
    rows_of_w = min(most, 10**6)
    for k in (64, 784, 4096):
        yield _product("linear forward", 64, k, 16, dtype, kind, unit)
    yield _backward_x(64, 784, 50, dtype, kind, unit)
    yield from (_backward_w(n, dtype, kind, unit) for n in dict.fromkeys((min(1000, most), rows_of_w)))
    yield from (_backward_b(n, dtype, kind, unit) for n in dict.fromkeys((min(1000, most), most)))
    yield from (_mse(n, dtype, kind, unit) for n in dict.fromkeys((min(1000, most), most)))
    yield from _elementwise(1000, dtype, kind, unit)


def _sampled(shape: tuple[int, ...], count: int = SAMPLED) -> list[Any]:
    rng = np.random.default_rng(1)
    return [tuple(int(rng.integers(length)) for length in shape) for _ in range(count)]


def by_torch(function: Callable[..., Any], *arrays: Array) -> Engine:
    def run() -> Array:
        torch: Any = import_module("torch")
        result: Array = function(torch, *map(torch.from_numpy, arrays)).numpy()
        return result

    return run


def _product(name: str, n: int, m: int, h: int, dtype: Any, kind: str, unit: float) -> Case:
    x, w, b = make(kind, (n, m), dtype, 1), make("normal", (m, h), dtype, 2), make("normal", (h,), dtype, 3)

    def exact() -> tuple[list[Any], list[float], list[float]]:
        at = _sampled((n, h))
        sums = [dot(x[i], w[:, j], float(b[j])) for i, j in at]
        return at, [s for s, _ in sums], [gamma(m + 1, unit) * a for _, a in sums]

    engines: dict[str, Engine] = {
        "pybackprop": lambda: lin(x, w, b)._array,
        "numpy": lambda: x @ w + b,
        "torch": by_torch(lambda t, x, w, b: x @ w + b, x, w, b),
    }
    return Case(name, f"({n},{m})·({m},{h})", engines, exact)


def _backward_x(n: int, m: int, h: int, dtype: Any, kind: str, unit: float) -> Case:
    dout, w = make(kind, (n, h), dtype, 1), make("normal", (m, h), dtype, 2)

    def exact() -> tuple[list[Any], list[float], list[float]]:
        at = _sampled((n, m))
        sums = [dot(dout[i], w[k]) for i, k in at]
        return at, [s for s, _ in sums], [gamma(h, unit) * a for _, a in sums]

    engines: dict[str, Engine] = {
        "pybackprop": lambda: matmul(dout, w, transpose_b=True)._array,
        "numpy": lambda: dout @ w.T,
        "torch": by_torch(lambda t, d, w: d @ w.T, dout, w),
    }
    return Case("linear backward x", f"({n},{h})·({h},{m})", engines, exact)


def _gradients(x: Array, dout: Array) -> tuple[Array, Array]:
    """w.g and b.g, from the lesson's function."""
    out = tensor(np.zeros_like(dout))
    out.g = dout
    w, b = param(np.zeros((x.shape[1], dout.shape[1]), x.dtype)), param(np.zeros(dout.shape[1], x.dtype))
    lin_grad(x, out, w, b)
    return w.g._array, b.g._array


def _backward_w(n: int, dtype: Any, kind: str, unit: float) -> Case:
    x, dout = make(kind, (n, 4), dtype, 1), make("normal", (n, 2), dtype, 2)

    def exact() -> tuple[list[Any], list[float], list[float]]:
        at = [(k, j) for k in range(4) for j in range(2)]
        sums = [dot(x[:, k], dout[:, j]) for k, j in at]
        return at, [s for s, _ in sums], [gamma(segmented(n), unit) * a for _, a in sums]

    engines: dict[str, Engine] = {
        "pybackprop": lambda: _gradients(x, dout)[0],
        "numpy": lambda: x.T @ dout,
        "torch": by_torch(lambda t, x, d: x.T @ d, x, dout),
    }
    return Case("linear backward w", f"{n:,} rows", engines, exact)


def _backward_b(n: int, dtype: Any, kind: str, unit: float) -> Case:
    dout = make(kind, (n, 2), dtype, 1)

    def exact() -> tuple[list[Any], list[float], list[float]]:
        columns = [dout[:, j].astype(np.float64) for j in range(2)]
        bounds = [gamma(segmented(n), unit) * float(np.abs(c).sum()) for c in columns]
        return [(0,), (1,)], [exact_sum(c) for c in columns], bounds

    engines: dict[str, Engine] = {
        "pybackprop": lambda: _gradients(np.zeros((n, 1), dout.dtype), dout)[1],
        "numpy": lambda: dout.sum(0),
        "torch": by_torch(lambda t, d: d.sum(0), dout),
    }
    return Case("linear backward b", f"{n:,} rows", engines, exact)


def _mse(n: int, dtype: Any, kind: str, unit: float) -> Case:
    out, targ = make(kind, (n, 1), dtype, 1), make("normal", (n, 1), dtype, 2)

    def exact() -> tuple[list[Any], list[float], list[float]]:
        o, t = out[:, 0].astype(np.float64), targ[:, 0].astype(np.float64)
        high = o - t
        part = high - o
        low = (o - (high - part)) + (-t - part)  # high + low is o - t exactly (Knuth)
        parts = [*products(high, high), *products(2 * high, low), *products(low, low)]
        value = exact_sum(*parts) / n
        relative = gamma(3, unit) + gamma(segmented(n) + 8, 2.0**-53)
        return [()], [value], [relative * value]

    engines: dict[str, Engine] = {
        "pybackprop": lambda: mse(out, targ)._array,
        "numpy": lambda: np.asarray(((out - targ) ** 2).mean()),
        "torch": by_torch(lambda t, o, g: t.nn.functional.mse_loss(o, g), out, targ),
    }
    return Case("mse forward", f"{n:,} rows", engines, exact)


def _elementwise(n: int, dtype: Any, kind: str, unit: float) -> Iterator[Case]:
    a, b, v = make(kind, (n,), dtype, 1), make("normal", (n,), dtype, 2), make("normal", (n,), dtype, 3)
    lr, mu = float(dtype.type(LR)), float(dtype.type(MU))
    at = [(k,) for k in range(n)]

    def compared(values: Sequence[float], bounds: Sequence[float]) -> Any:
        floor = float(np.finfo(dtype).tiny) * unit
        return lambda: (at, list(values), [bound + floor if bound else 0.0 for bound in bounds])

    def sums(*terms: Array) -> list[float]:
        return [math.fsum(row) for row in zip(*(term.astype(np.float64).tolist() for term in terms), strict=True)]

    def gradient() -> Array:
        out = tensor(a[:, None])
        mse_grad(out, b[:, None])
        return out.g._array[:, 0]

    added = sums(a, b)
    yield Case(
        "add",
        f"{n:,}",
        {
            "pybackprop": lambda: (tensor(a) + b)._array,
            "numpy": lambda: a + b,
            "torch": by_torch(lambda t, a, b: a + b, a, b),
        },
        compared(added, [unit * abs(value) for value in added]),
    )
    factor = [2 * value / n for value in sums(a, -b)]
    yield Case(
        "mse backward",
        f"{n:,}",
        {
            "pybackprop": gradient,
            "numpy": lambda: 2 * (a - b) / dtype.type(n),
            "torch": by_torch(lambda t, a, b: 2 * (a - b) / n, a, b),
        },
        compared(factor, [(gamma(3, unit) + 2.0**-50) * abs(value) for value in factor]),
    )
    relu = np.maximum(a, 0)
    yield Case(
        "relu",
        f"{n:,}",
        {
            "pybackprop": lambda: reference.relu_forward(a),
            "numpy": lambda: np.maximum(a, 0),
            "torch": by_torch(lambda t, a: t.relu(a), a),
        },
        compared([float(value) for value in relu], [0.0] * n),
    )
    step = sums(b, *products(np.full(n, -lr), a))
    yield Case(
        "sgd",
        f"{n:,}",
        {
            "pybackprop": lambda: reference.sgd_update(b, a, lr),
            "numpy": lambda: b - dtype.type(lr) * a,
            "torch": by_torch(lambda t, b, a: b.sub(a, alpha=lr), b, a),
        },
        compared(step, [(unit + 2.0**-52) * abs(value) for value in step]),
    )
    moved = sums(a, *products(np.full(n, mu), v))
    yield Case(
        "momentum",
        f"{n:,}",
        {
            "pybackprop": lambda: reference.sgd_momentum_update(b, v, a, lr, mu)[1],
            "numpy": lambda: dtype.type(mu) * v + a,
            "torch": by_torch(lambda t, v, a: t.add(a, v, alpha=mu), v, a),
        },
        compared(moved, [(unit + 2.0**-52) * abs(value) for value in moved]),
    )
