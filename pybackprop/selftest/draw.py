"""Draw: the random decisions of one case, and arrays of hard values in hard places."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.core.native import FLOAT32, FLOAT64, SEGMENT

T = TypeVar("T")

VALUES = (
    "plain", "plain", "plain", "odd", "one odd", "small", "sparse", "sparse -0", "sparse odd", "zeros", "-zeros",
    "whole", "huge", "denormal", "nan",
)  # fmt: skip
FINITE = ("plain", "plain", "plain", "sparse", "sparse -0", "zeros", "whole")
LAYOUTS = ("C", "C", "C", "F", "inset", "inset.T", "steps", "backwards", "unaligned", "offset", "readonly", "broadcast")
LAYOUTS_OF_VECTORS = ("C", "C", "steps", "backwards", "unaligned", "offset", "readonly")
DENSITY = (0.05, 0.2, 0.5)  # of what is not zero
MIX = 2**64
GUARD = 16  # elements around an output that must stay as they are


def mixed(number: int) -> int:
    """splitmix64: neighbouring numbers give unrelated ones."""
    number = (number + 0x9E3779B97F4A7C15) % MIX
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 % MIX
    number = (number ^ number >> 27) * 0x94D049BB133111EB % MIX
    return number ^ number >> 31


class Draw:
    """Decisions that depend on one number alone.

    notes  what was drawn, for the report of a failure
    """

    random: random.Random
    numbers: np.random.Generator

    def __init__(self, number: int) -> None:
        seed = mixed(number)
        self.random = random.Random(seed)
        self.numbers = np.random.Generator(np.random.SFC64(seed))
        self.notes: dict[str, Any] = {}

    # ---- decisions ----

    def one_of(self, things: Sequence[T]) -> T:
        return things[int(self.random.random() * len(things))]

    def maybe(self, probability: float) -> bool:
        return self.random.random() < probability

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high."""
        return low + int(self.random.random() * (high - low + 1))

    def note(self, name: str, value: T) -> T:
        self.notes[name] = value
        return value

    # ---- shapes and types ----

    def size(self, least: int = 0) -> int:
        """Mostly small, around the widths of vectors and tiles; seldom larger."""
        p = self.random.random()
        if p < 0.04:
            return least
        if p < 0.12:
            return 1
        if p < 0.75:
            return self.between(1, 13)
        if p < 0.93:
            return self.between(1, 36)
        return self.between(1, 71) if p < 0.998 else self.between(71, 300)

    def rows(self, least: int = 0) -> int:
        """A size, or one around the end of a segment."""
        if self.maybe(0.98):
            return self.size(least)
        return self.one_of((SEGMENT - 1, SEGMENT, SEGMENT + 1, 600, 2 * SEGMENT - 1, 2 * SEGMENT + 1, 3 * SEGMENT + 1))

    def dtype(self) -> Any:
        return self.note("dtype", FLOAT32 if self.maybe(0.65) else FLOAT64)

    # ---- values ----

    def array(self, name: str, shape: tuple[int, ...], dtype: Any, kinds: Sequence[str] = VALUES) -> Array:
        """Values of one kind, in C order."""
        kind = self.one_of(kinds)
        self.notes[name] = Operand(shape, dtype, kind)
        return self._values(shape, dtype, kind)

    def _values(self, shape: tuple[int, ...], dtype: Any, kind: str) -> Array:
        if kind == "zeros":
            return np.zeros(shape, dtype)
        if kind == "-zeros":
            return np.full(shape, -0.0, dtype)
        if kind == "whole":
            return self.numbers.integers(-3, 4, shape).astype(dtype)
        values: Array = np.asarray(self.numbers.standard_normal(shape, dtype))
        change = {"odd": self._odd, "one odd": self._one_odd, "small": self._small, "nan": self._nan}.get(kind)
        if change is not None:
            change(values)
        elif kind.startswith("sparse"):
            values[self.numbers.random(shape, np.float32) > self.one_of(DENSITY)] = -0.0 if kind.endswith("-0") else 0
            if kind.endswith("odd"):
                self._one_odd(values)
        elif kind == "huge":
            values *= np.finfo(dtype).max / 4
        elif kind == "denormal":
            values *= np.finfo(dtype).tiny / 8
        return values

    def _odd(self, values: Array) -> None:
        at = self.numbers.random(values.shape, np.float32) < 0.06
        odd = odd_numbers(values.dtype)
        values[at] = odd[self.numbers.integers(len(odd), size=int(at.sum()))]

    def _one_odd(self, values: Array) -> None:
        if values.size:
            odd = odd_numbers(values.dtype)
            values.reshape(-1)[self.between(0, values.size - 1)] = odd[self.between(0, len(odd) - 1)]

    def _small(self, values: Array) -> None:
        tiny = float(np.finfo(values.dtype).tiny)
        scales = [tiny**0.5, tiny**0.5 / 64, tiny * 64, tiny, 0, float(np.finfo(values.dtype).smallest_subnormal)]
        values *= np.array(scales, values.dtype)[self.numbers.integers(len(scales), size=values.shape)]

    def _nan(self, values: Array) -> None:
        values[self.numbers.random(values.shape, np.float32) < 0.5] = np.nan

    # ---- places in memory ----

    def laid(self, name: str, array: Array, layouts: Sequence[str] | None = None) -> Array:
        """The values of a matrix or vector in some memory layout. "broadcast" repeats the first row."""
        layout = self.one_of(layouts or (LAYOUTS if array.ndim == 2 else LAYOUTS_OF_VECTORS))
        placed: Array = self._place(array, layout)
        if name in self.notes:
            self.notes[name] = self.notes[name]._replace(layout=layout, strides=placed.strides)
        return placed

    def _place(self, array: Array, layout: str) -> Any:
        if layout == "C" or array.ndim not in (1, 2):
            return array.copy()
        if layout == "F":
            return np.asfortranarray(array)
        if layout == "broadcast":
            return np.broadcast_to(array[:1].copy(), array.shape) if len(array) else array.copy()
        if layout == "readonly":
            placed = array.copy()
            placed.flags.writeable = False
            return placed
        view = self._view(array, layout)
        view[...] = array
        return view

    def _view(self, array: Array, layout: str) -> Any:
        """Part of a larger array that holds NaN, of the array's shape."""
        shape = array.shape
        if layout == "unaligned":
            return np.asarray(np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(shape))
        if layout == "offset":
            start = self.between(1, GUARD)
            return np.full(array.size + GUARD, np.nan, array.dtype)[start : start + array.size].reshape(shape)
        if layout in ("steps", "backwards"):
            steps = [self.between(1, 3) * (-1 if layout == "backwards" and self.maybe(0.7) else 1) for _ in shape]
            sizes = [size * abs(step) for size, step in zip(shape, steps, strict=True)]
            return np.full(sizes, np.nan, array.dtype)[tuple(slice(None, None, step) for step in steps)]
        rows, cols = shape if layout == "inset" else shape[::-1]
        inside = np.full((rows + 3, cols + 5), np.nan, array.dtype)[2:-1, 3:-2]
        return inside if layout == "inset" else inside.T


class Operand(NamedTuple):
    """How an array was drawn, for the report of a failure."""

    shape: tuple[int, ...]
    dtype: Any
    values: str
    layout: str = "C"
    strides: tuple[int, ...] = ()

    def __str__(self) -> str:
        where = "C order" if self.layout == "C" else f"{self.layout}, strides {self.strides} bytes"
        return f"{self.shape} {self.dtype}, {self.values} values, {where}"


_ODD: dict[Any, Array] = {}


def odd_numbers(dtype: Any) -> Array:
    """NaN, infinities, zeros of both signs, subnormal and largest numbers."""
    if dtype not in _ODD:
        info = np.finfo(dtype)
        plus = [np.inf, 0.0, info.tiny, info.tiny / 4, info.smallest_subnormal, info.max, 1]
        _ODD[dtype] = np.array([np.nan, *plus, *(-number for number in plus)], dtype)
    return _ODD[dtype]
