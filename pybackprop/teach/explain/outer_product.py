"""explain.compare: the lesson's first version of a weight's gradient beside the matrix product that replaced it."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, tensor
from pybackprop.core.arrays import Array, float_type
from pybackprop.core.available_memory import available
from pybackprop.core.units import bytes_text
from pybackprop.ops import reference
from pybackprop.ops.matmul import matmul
from pybackprop.teach.render.document import Block, Document, Formula, Heading, Table, Text
from pybackprop.teach.render.formula import Line, Name, Sum
from pybackprop.teach.render.renderable import Renderable

SIZE = (256, 100, 50)  # n, m, h
LESSON = (50000, 784, 50)
REPEATS, SECONDS = 5, 0.05  # timed at least so often and for at least so long; the best time counts


def _broadcast(x: Tensor, dout: Tensor) -> Tensor:
    return (x.unsqueeze(-1) * dout.unsqueeze(1)).sum(0)


def _matmul(x: Tensor, dout: Tensor) -> Tensor:
    product: Tensor = matmul(x, dout, transpose_a=True)
    return product


@dataclass(frozen=True)
class Method:
    """One way to compute w.g.

    code    as the lesson writes it
    stores  whether it stores all n·m·h products before it adds any
    """

    code: str
    compute: Callable[[Tensor, Tensor], Tensor]
    stores: bool

    def temporary(self, n: int, m: int, h: int) -> int:
        """How many numbers it stores on the way."""
        return n * m * h if self.stores else 0


METHODS = {
    "broadcast": Method("(x.unsqueeze(-1) * out.g.unsqueeze(1)).sum(0)", _broadcast, stores=True),
    "matmul": Method("x.T @ out.g", _matmul, stores=False),
}


def compare(
    first: str = "broadcast",
    second: str = "matmul",
    *,
    size: Sequence[int] = SIZE,
    at: tuple[int, int] = (0, 0),
    dtype: Any = np.float32,
) -> Comparison:
    """Two ways to compute w.g from x (n,m) and out.g (n,h), run and measured.

    size   (n, m, h)
    at     the element of w.g (m,h) whose terms are shown
    Raises ValueError for an unknown way or an invalid size, IndexError for an element out of range, MemoryError for
    a size whose products would not fit in the free memory.
    """
    for name in (first, second):
        if name not in METHODS:
            raise ValueError(f"explain.compare: found {name!r}, expected one of {', '.join(map(repr, METHODS))}")
    n, m, h = _sizes(size)
    if not (0 <= at[0] < m and 0 <= at[1] < h):
        raise IndexError(f"explain.compare: found at={at}, expected k = 0 .. {m - 1} and j = 0 .. {h - 1}")
    real = float_type(dtype)
    for name in (first, second):
        _refuse_too_large(name, METHODS[name].temporary(n, m, h) * real.itemsize)
    rng = np.random.default_rng(0)
    x, dout = (tensor(rng.standard_normal((n, width)).astype(real)) for width in (m, h))
    return Comparison((n, m, h), at, x, dout, [_measured(name, x, dout) for name in (first, second)])


def _sizes(size: Sequence[int]) -> tuple[int, int, int]:
    if len(size) != 3 or not all(isinstance(part, (int, np.integer)) and part >= 1 for part in size):
        raise ValueError(f"explain.compare: found size={size!r}, expected three whole numbers from 1: n, m, h")
    n, m, h = map(int, size)
    return n, m, h


def _refuse_too_large(name: str, needed: int) -> None:
    free = free_bytes()
    if needed > 0.8 * free:
        raise MemoryError(
            f"explain.compare: '{name}' stores n·m·h products, {bytes_text(needed)} at this size, and "
            f"{bytes_text(free)} of memory is free. Choose a smaller size=(n, m, h). "
            "(This is why the lesson replaced it.)"
        )


def free_bytes() -> int:
    """Memory that this process can still allocate; 2 GB where the system does not say."""
    free = available()
    return 2 * 10**9 if free is None else free


@dataclass(frozen=True)
class Measured:
    """temporary: bytes of the stored products; peak: measured peak of the bytes of all arrays."""

    name: str
    result: Array
    seconds: float
    temporary: int
    peak: int


def _measured(name: str, x: Tensor, dout: Tensor) -> Measured:
    method = METHODS[name]
    result = method.compute(x, dout)._array
    times: list[float] = []
    while len(times) < REPEATS or sum(times) < SECONDS:
        start = time.perf_counter()
        method.compute(x, dout)
        times.append(time.perf_counter() - start)
    stored = method.temporary(x.shape[0], x.shape[1], dout.shape[1]) * x.dtype.itemsize
    return Measured(name, result, min(times), stored, _peak(method, x, dout))


def _peak(method: Method, x: Tensor, dout: Tensor) -> int:
    """Bytes of arrays alive at once while it runs, as tracemalloc sees numpy allocate them."""
    was_tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    method.compute(x, dout)
    peak = tracemalloc.get_traced_memory()[1] - before
    if not was_tracing:
        tracemalloc.stop()
    return peak


class Comparison(Renderable):
    """Two ways to compute w.g, run and measured: print it, or read its parts.

    ways        one each, with .name .seconds .temporary (bytes of stored products) .peak (bytes) .result
    same_terms  whether both add the same products for the element at .at
    offsets     bytes from one term to the next, in each array that is read
    difference  the largest difference between the two results
    largest     the largest absolute value in the second result
    """

    size: tuple[int, int, int]
    at: tuple[int, int]
    ways: list[Measured]
    terms: list[tuple[float, float, float]]
    offsets: dict[str, int]
    same_terms: bool
    difference: float
    largest: float

    def __init__(
        self, size: tuple[int, int, int], at: tuple[int, int], x: Tensor, dout: Tensor, ways: list[Measured]
    ) -> None:
        self.size, self.at, self.ways = size, at, ways
        k, j = at
        few = slice(0, 4)
        column, other = x._array[:, k], dout._array[:, j]
        self.terms = [(float(a), float(b), float(a * b)) for a, b in zip(column[few], other[few], strict=True)]
        self.offsets, stored = self._strides(x, dout)
        added = reference.linear_backward_w(column[:, None], other[:, None])[0, 0]
        self.same_terms = all(way.temporary or way.result[at] == added for way in ways) and (
            stored is None or bool((stored == column * other).all())
        )
        self.difference = float(np.abs(ways[0].result - ways[1].result).max())
        self.largest = float(np.abs(ways[1].result).max())

    def _strides(self, x: Tensor, dout: Tensor) -> tuple[dict[str, int], Array | None]:
        """Bytes from one term to the next, i to i+1, in each array that is read; and the products that are stored."""
        offsets = {"x": x._array.strides[0], "out.g": dout._array.strides[0]}
        if not any(way.temporary for way in self.ways):
            return offsets, None
        products = (x.unsqueeze(-1) * dout.unsqueeze(1))._array
        return {"products": products.strides[0], **offsets}, products[:, self.at[0], self.at[1]].copy()

    def document(self) -> Document:
        """The text: the terms, where they lie in memory, bytes and time."""
        n, m, h = self.size
        k, j = self.at
        blocks: list[Block] = [
            Heading(f"w.g of a layer with x ({n},{m}), w ({m},{h}), out ({n},{h}), in two ways"),
            *(Formula(f"{way.name:<10} w.g = {METHODS[way.name].code}") for way in self.ways),
            Heading(f"The same terms, here of w.g[{k},{j}] = Σ_i x[i,{k}] out.g[i,{j}]"),
            self._terms(),
            Text(
                f"Both add these {n:,} products. (Not in the same order: numpy's .sum(0) rounds differently from the "
                f"matrix product. The results differ by at most {self.difference:.1e}; the largest element is "
                f"{self.largest:.3g}.)"
            ),
            Heading("Where they lie in memory"),
            *(Text(self._in_words(name)) for name in dict.fromkeys(way.name for way in self.ways)),
            Heading("Bytes and time, measured"),
            self._table(),
        ]
        if "products" in self.offsets:
            big = bytes_text(METHODS["broadcast"].temporary(*LESSON) * 4)
            blocks.append(Text(f"At the lesson's size, x (50000,784) and out (50000,50), the products take {big}."))
        return Document(blocks)

    def _in_words(self, name: str) -> str:
        """Where the terms of one element lie in memory."""
        n, m, h = self.size
        k, j = self.at
        if METHODS[name].stores:
            return (
                f"{name} stores all {n}·{m}·{h} = {n * m * h:,} products before it adds any. The terms of one element "
                f"lie {self.offsets['products']:,} bytes apart there: each is written once, far from the next, and "
                "read again to be added."
            )
        return (
            f"{name} stores no product. It reads column {k} of x, its elements {self.offsets['x']:,} bytes apart, "
            f"and column {j} of out.g, {self.offsets['out.g']:,} bytes apart, and multiplies and adds in a register. "
            "It does so for a block of elements at once, so that each number it reads is used many times."
        )

    def _terms(self) -> Table:
        k, j = self.at
        rows = [[str(i), *(f"{value:.6g}" for value in row)] for i, row in enumerate(self.terms)]
        rows += [["…", "", "", ""]] if self.size[0] > len(rows) else []
        return Table(["i", f"x[i,{k}]", f"out.g[i,{j}]", "product"], rows, ["", "local", "upstream", ""])

    def _table(self) -> Table:
        rows = [
            [way.name, bytes_text(way.temporary), bytes_text(way.peak), f"{way.seconds * 1e3:.3g} ms"]
            for way in self.ways
        ]
        return Table(["", "products stored", "arrays at the peak", "time"], rows, ["", "", "", "total"])

    def formulas(self) -> Sequence[Line]:
        """The sum of one element, and the matrix product of all."""
        k, j = map(str, self.at)
        element, term = Name("w", (k, j), g=True), (Name("x", ("i", k)), "·", Name("out", ("i", j), g=True))
        return [
            [element, "=", Sum("i", self.size[0] - 1), *term],
            [Name("w", g=True), "=", Name("x", transposed=True), "@", Name("out", g=True)],
        ]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain numbers and words."""
        return {
            "size": list(self.size),
            "at": list(self.at),
            "same_terms": self.same_terms,
            "bytes_between_terms": self.offsets,
            "ways": [
                {"name": w.name, "seconds": w.seconds, "temporary_bytes": w.temporary, "peak_bytes": w.peak}
                for w in self.ways
            ],
            "largest_difference": self.difference,
        }
