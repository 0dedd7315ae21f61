"""The points of a sweep: an operation's sizes, its type, and all settings that change its speed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from pybackprop.bench.workloads import Workload
from pybackprop.core import settings
from pybackprop.core.units import threads_text

KINDS = {  # what can be swept: the workload's kind, and its sizes
    "matmul": ("matmul", "rows x inner x columns"),
    "linear": ("forward", "n x m x h"),
    "backward_w": ("backward_w", "n x m x h"),
    "backward_x": ("backward_x", "n x m x h"),
    "step": ("step", "rows x inputs x ... x outputs, of a compiled plan"),
}
USUAL = {"matmul": (512, 512, 512), "step": (64, 784, 50, 10)}  # sizes where none are given
LESSON = (1024, 784, 50)  # of the others
NETWORKS = ("step",)
AXES = ("shape", "dtype", "kernel", "threads", "block", "depth")
MOST_POINTS = 2000
ARRAYS = {"step": 3}  # times the bytes of all operands that a call needs, at most; others: 2


@dataclass(frozen=True)
class Point:
    """One combination. block, depth: see set_tiles; None: as usual."""

    op: str
    shape: tuple[int, ...]
    dtype: str
    kernel: str
    threads: int
    block: int | None = None
    depth: int | None = None

    @property
    def workload(self) -> Workload:
        return Workload("sweep", KINDS[self.op][0], self.shape, self.dtype, self.threads)

    @property
    def label(self) -> str:
        """Everything that tells it from other points."""
        tiles = "".join(f", {name} {value}" for name, value in (("block", self.block), ("depth", self.depth)) if value)
        threads = threads_text(self.threads)
        return f"{self.op} {shape_text(self.shape)} {self.dtype} {self.kernel}, {threads}{tiles}"

    @property
    def bytes(self) -> int:
        """What a call needs, roughly: operands and results."""
        pairs = zip(self.shape[1:], self.shape[2:], strict=False)
        rows = self.shape[0] * sum(self.shape[1:]) + self.shape[0] * self.shape[1]
        return ARRAYS.get(self.op, 2) * (rows + sum(m * h for m, h in pairs)) * (8 if self.dtype == "float64" else 4)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "shape": list(self.shape)}

    def apply(self) -> None:
        """Sets kernel, threads and tiles. Raises ValueError for those that this machine does not have."""
        settings.use_kernel(self.kernel)
        settings.set_threads(self.threads)
        settings.set_tiles(self.block, self.depth)

    def check(self) -> None:
        """Raises ValueError for sizes, kernels and tiles that cannot be. Tiles are as usual afterwards."""
        if len(self.shape) < 3 or (len(self.shape) > 3 and self.op not in NETWORKS) or min(self.shape) < 1:
            raise ValueError(
                f"lab sweep {self.op}: found the shape {shape_text(self.shape)}, expected {KINDS[self.op][1]}"
            )
        kernel, threads = settings.kernel(), settings.threads()
        try:
            self.apply()
        finally:
            settings.use_kernel(kernel)
            settings.set_threads(threads)
            settings.set_tiles()


def point(values: dict[str, Any]) -> Point:
    """A point from its `to_dict`. Raises ValueError for anything else."""
    try:
        found = Point(**{**values, "shape": tuple(values["shape"])})
    except (TypeError, KeyError) as error:
        raise ValueError(f"no point of a sweep: {error}") from error
    kinds = {"op": str, "dtype": str, "kernel": str, "threads": int}
    numbers = [found.block or 1, found.depth or 1, *found.shape]
    is_typed = all(isinstance(getattr(found, name), kind) for name, kind in kinds.items())
    if not is_typed or found.op not in KINDS or not all(isinstance(number, int) for number in numbers):
        raise ValueError(f"no point of a sweep: {values!r}")
    return found


def shape_text(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))


def points(op: str, axes: dict[str, Sequence[Any]]) -> list[Point]:
    """All combinations of the axes' values. Raises ValueError for values that cannot be, and for too many."""
    usual: dict[str, Sequence[Any]] = {
        "shape": [USUAL.get(op, LESSON)],
        "dtype": ["float32"],
        "kernel": [settings.kernel()],
        "threads": [settings.threads()],
        "block": [None],
        "depth": [None],
    }
    values = [list(dict.fromkeys(axes.get(name) or usual[name])) for name in AXES]
    count = math.prod(map(len, values))
    if count > MOST_POINTS:
        raise ValueError(f"lab sweep: {count} combinations, expected at most {MOST_POINTS}")
    found = [Point(op, *some) for some in product(*values)]
    for each in found:
        each.check()
    return found


def varied(found: Sequence[Point]) -> list[str]:
    """The axes along which points differ, longest first."""
    lengths = {name: len({getattr(each, name) for each in found}) for name in AXES}
    return sorted((name for name in AXES if lengths[name] > 1), key=lambda name: -lengths[name])
