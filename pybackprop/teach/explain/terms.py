"""Terms: the summands of an element's gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, overload

import numpy as np

from pybackprop.teach.explain.rules import Path
from pybackprop.teach.trace.notation import Index


@dataclass(frozen=True)
class Term:
    """One summand: one value that moves with the element.

    through   the name of the tensor in which something moves
    at        the index there
    local     ∂ through[at] / ∂ element: how far it moves
    upstream  ∂ loss / ∂ through[at]: how much the loss cares
    product   local * upstream, in double
    """

    through: str
    at: Index
    local: float
    upstream: float
    product: float


class Terms(Sequence[Term]):
    """All terms in the definition's order. Created on demand, because there may be a million."""

    def __init__(self, paths: Sequence[tuple[str, Path]]) -> None:
        self._paths = [(name, path, path.products) for name, path in paths]
        self._ends = list(accumulate(len(path) for _, path in paths))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, k: int) -> Term: ...
    @overload
    def __getitem__(self, k: slice) -> list[Term]: ...
    def __getitem__(self, k: Any) -> Any:
        if isinstance(k, slice):
            return [self[i] for i in range(*k.indices(len(self)))]
        position = k + len(self) if k < 0 else k
        if not 0 <= position < len(self):
            raise IndexError(f"terms: there are {len(self)}, found index {k}")
        which = int(np.searchsorted(self._ends, position, side="right"))
        name, path, products = self._paths[which]
        k = position - (self._ends[which] - len(path))
        return _term(name, path, k, float(products[k]))

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"<{len(self)} terms: {shown}{', …' if len(self) > 3 else ''}>"


def _term(name: str, path: Path, k: int, product: float) -> Term:
    at = tuple(int(i) for i in path.moved[k])
    return Term(name, at, float(path.local[k]), float(path.upstream[k]), product)
