"""What a kernel computes, as a record: arguments, shapes to try, the definition, usual rounding."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np

from pybackprop.core.arrays import Array

Arrays: TypeAlias = Mapping[str, Array]
Sizes: TypeAlias = Mapping[str, int]
Factors: TypeAlias = Callable[[Arrays], tuple[Array, Array]]
Terms: TypeAlias = Callable[[Arrays, Sizes], tuple[int, Mapping[str, Any]]]
C_TYPES = {"float32": "float", "float64": "double"}


@dataclass(frozen=True)
class Argument:
    """An array of a kernel. shape: names of sizes, () for one number. is_output: written, and never read."""

    name: str
    shape: tuple[str, ...]
    is_output: bool = False

    def of(self, sizes: Sizes) -> tuple[int, ...]:
        """Its shape for these sizes."""
        return tuple(sizes[name] for name in self.shape) or (1,)


@dataclass(frozen=True)
class Operation:
    """An operation, as a C function of its name.

    equation    what it computes, with shapes
    arguments   outputs, then inputs, in the order of the C function
    sizes       the names of the sizes, which follow the arrays
    shapes      the sizes to try; hard: those that are tried with special values
    usual       the sizes to time
    ladder      the sizes that a ladder times
    fast        the library's function by dtype, and slow its definition; both get passed(arrays, sizes)
    terms       how many numbers are added for one element, and of what sum of magnitudes: the bound of rounding
    flops       floating-point operations
    kind        what bench's engines call it; "": they do not have it
    body        a correct kernel's statements, with REAL and FMA for the type and its fused multiply-add
    factors     of a product: the two matrices
    """

    name: str
    equation: str
    arguments: tuple[Argument, ...]
    sizes: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    hard: tuple[tuple[int, ...], ...]
    usual: tuple[int, ...]
    ladder: tuple[int, ...]
    slow: Callable[[Arrays, Sizes], None]
    fast: Callable[[Arrays, Sizes], Callable[[], Any]] | None
    terms: Terms
    flops: Callable[[Sizes], int]
    kind: str
    body: str
    factors: Factors | None = None

    @property
    def inputs(self) -> list[Argument]:
        return [argument for argument in self.arguments if not argument.is_output]

    @property
    def outputs(self) -> list[Argument]:
        return [argument for argument in self.arguments if argument.is_output]

    def named(self, sizes: Sequence[int]) -> dict[str, int]:
        """The sizes by name. Raises ValueError for another number of sizes."""
        if len(sizes) == 1:
            sizes = [*sizes] * len(self.sizes)
        if len(sizes) != len(self.sizes):
            expected = f"{len(self.sizes)} sizes, {','.join(self.sizes)}, or one for all of them"
            raise ValueError(f"--size: found {','.join(map(str, sizes))}, expected {expected}")
        return dict(zip(self.sizes, sizes, strict=True))

    def nbytes(self, sizes: Sizes, dtype: str) -> int:
        """Bytes of all its arrays."""
        return sum(prod(argument.of(sizes)) for argument in self.arguments) * np.dtype(dtype).itemsize

    def prototype(self, dtype: str, const: str = "const ") -> str:
        """The declaration of its C function."""
        real = C_TYPES[dtype]
        arrays = [f"{'' if a.is_output else const}{real} *{a.name}" for a in self.arguments]
        return f"void {self.name}({', '.join([*arrays, *(f'size_t {size}' for size in self.sizes)])});"

    def expected(self, inputs: Arrays, sizes: Sizes, dtype: str) -> dict[str, Array]:
        """The outputs by the library's definition, bit for bit."""
        outputs = {a.name: np.zeros(a.of(sizes), dtype) for a in self.outputs}
        self.slow({**outputs, **inputs}, sizes)
        return outputs


def started(op: Operation, dtype: str) -> str:
    """The text of a file to start from: a correct kernel, with what it must keep."""
    real, fma = C_TYPES[dtype], "fmaf" if dtype == "float32" else "fma"
    body = re.sub(r"\bFMA\b", fma, re.sub(r"\bREAL\b", real, op.body))
    return f"""\
/* {op.name}: {op.equation}

   Arrays are row-major and contiguous, aligned to their elements only, and never overlap. Outputs hold
   rubbish at the start; inputs must not be written. Sizes may be 0. To give the bits of the definition,
   add in this order, each product and addition rounded once by {fma}, and let NaN and infinity through.

   pybackprop lab try THIS_FILE --op {op.name} */
#include <math.h>
#include <stddef.h>

{op.prototype(dtype)[:-1]} {{
{body}}}
"""
