"""The cases on which a kernel is checked: every shape with random numbers, some shapes with special values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.lab.operation import Operation

Generator = np.random.Generator


def _zeros(rng: Generator, numbers: Array) -> None:
    numbers[rng.random(numbers.shape) < 0.5] = 0


def _signed_zeros(rng: Generator, numbers: Array) -> None:
    numbers[...] = rng.choice([0.0, -0.0, 1.0, -1.0], numbers.shape)


def _subnormal(rng: Generator, numbers: Array) -> None:
    lowest = np.finfo(numbers.dtype).minexp
    with np.errstate(under="ignore"):
        numbers[...] = np.ldexp(numbers, rng.integers(lowest - 20, lowest // 2, numbers.shape))


def _nan(rng: Generator, numbers: Array) -> None:
    _zeros(rng, numbers)
    numbers[rng.random(numbers.shape) < 0.1] = np.nan


def _infinite(rng: Generator, numbers: Array) -> None:
    _zeros(rng, numbers)
    numbers[rng.random(numbers.shape) < 0.1] = np.inf
    numbers[rng.random(numbers.shape) < 0.1] = -np.inf


def _huge(rng: Generator, numbers: Array) -> None:
    numbers *= np.ldexp(np.ones((), numbers.dtype), np.finfo(numbers.dtype).maxexp - 40)


RANDOM = "random numbers"
SPECIAL: dict[str, Callable[[Generator, Array], None]] = {
    "half of them zero": _zeros,
    "signed zeros": _signed_zeros,
    "subnormal numbers": _subnormal,
    "some NaN": _nan,
    "some infinite": _infinite,
    "huge numbers": _huge,
}


@dataclass(frozen=True)
class Case:
    """Sizes and the kind of values, and the seed that draws them."""

    operation: str
    sizes: dict[str, int]
    values: str
    dtype: str
    seed: int

    def __str__(self) -> str:
        return f"{', '.join(f'{name}={size}' for name, size in self.sizes.items())}, {self.values}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def cases(op: Operation, dtype: str) -> Iterator[Case]:
    """Every shape with random numbers, then the hard shapes with each kind of special values."""
    for seed, shape in enumerate(op.shapes):
        yield Case(op.name, op.named(shape), RANDOM, dtype, seed)
    for values in SPECIAL:
        for seed, shape in enumerate(op.hard):
            yield Case(op.name, op.named(shape), values, dtype, seed)


def inputs(op: Operation, case: Case) -> dict[str, Array]:
    """The inputs by name, the same in every process. Where a value is special, some of each array are."""
    rng = np.random.default_rng([case.seed, *case.sizes.values()])
    made = {}
    for argument in op.inputs:
        shape = argument.of(case.sizes)
        numbers = rng.standard_normal(prod(shape)).astype(case.dtype).reshape(shape)
        if case.values in SPECIAL:
            SPECIAL[case.values](rng, numbers)
        made[argument.name] = numbers
    return made


def timed_inputs(op: Operation, sizes: dict[str, int], dtype: str, zeros: float = 0.0) -> dict[str, Array]:
    """Random inputs to time on; of the first one, so many of its elements are zero."""
    made = inputs(op, Case(op.name, sizes, RANDOM, dtype, 0))
    if zeros:
        first = made[op.inputs[0].name]
        first[np.random.default_rng(0).random(first.shape) < zeros] = 0
    return made
