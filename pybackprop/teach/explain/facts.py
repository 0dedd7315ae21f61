"""Facts: the numbers and words behind the explanation of one element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.teach.explain.left_out import LeftOut, left_out
from pybackprop.teach.explain.paths import paths_of, words_of
from pybackprop.teach.explain.rules import Path, Words
from pybackprop.teach.explain.terms import Terms
from pybackprop.teach.trace.gradients import Walk, same
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import Index, element
from pybackprop.teach.trace.off_tape import Program
from pybackprop.teach.trace.replay import in_double
from pybackprop.teach.trace.slope import Check, measure

MEASURED_RTOL = {native.FLOAT32: 1e-4, native.FLOAT64: 1e-6}  # for a sum of measured terms, relative to Σ |term|


class Facts:
    """One element of one tensor, what it moves, and what its gradient adds up to. See Explanation."""

    program: Program
    walk: Walk
    tensor: Tensor
    at: Index
    notes: tuple[str, ...]
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    loss_name: str
    value: float
    moves: str
    terms: Terms
    total: float
    matmul: str
    g: float | None
    measured: Check | None
    held: Check | None
    check: float

    def __init__(self, program: Program, walk: Walk, tensor: Tensor, at: Index, notes: Sequence[str]) -> None:
        network = walk.network
        self.program, self.walk, self.tensor, self.at, self.notes = program, walk, tensor, at, tuple(notes)
        self.name, self.shape, self.dtype = network.name(tensor), tensor.shape, tensor.dtype
        self.loss_name = network.name(network.root) if network.is_loss() else "loss"
        self.paths: list[Path] = paths_of(tensor, at, walk)
        is_only = len(self.paths) == 1 and not program.constants
        self.words: list[Words] = [words_of(path, network, is_only) for path in self.paths]
        self.left_out: list[LeftOut] = [left_out(constant, network, self.name) for constant in program.constants]
        self.value = float(tensor._array[at])
        self.moves = " ".join(f"{self.path_prefix(k)}{words.moves}" for k, words in enumerate(self.words, 1))
        self.terms = Terms([(words.through, path) for words, path in zip(self.words, self.paths, strict=True)])
        self.total = self.paths[-1].added()
        self.matmul = " + ".join(path.rule.computed(path.operation, path.slot, network) for path in self.paths)
        self.g = None if tensor._g is None else float(tensor._g._array[at])
        self.measured = self._measure(program.ran or network)
        self.held = self._measure(network) if program.constants and program.ran else None
        self.check = float("nan") if self.measured is None else self.measured.error

    @property
    def agrees(self) -> bool:
        """Whether total equals t.g[at] bit for bit; if t keeps no .g, the gradient that a backward pass computes.

        If local derivatives were measured: whether the two are as close as measuring allows.
        """
        gradient = np.asarray(self.walk.of(self.tensor)[self.at] if self.g is None else self.dtype.type(self.g))
        total = np.asarray(self.dtype.type(self.total))
        return self._close(gradient, total) if self.is_measured else same(gradient, total)

    def _close(self, gradient: Array, total: Array) -> bool:
        size = sum(float(np.abs(path.products).sum()) for path in self.paths)
        return bool(np.isclose(total, gradient, rtol=0, atol=MEASURED_RTOL[self.dtype] * size, equal_nan=True))

    @property
    def is_measured(self) -> bool:
        """Whether some local derivatives were measured, because an operation has no registered rule."""
        return any(path.rule.measured for path in self.paths)

    @property
    def element(self) -> str:
        """w1[3,7]"""
        return element(self.name, self.at)

    @property
    def gradient_name(self) -> str:
        """w1.g[3,7]"""
        return element(f"{self.name}.g", self.at)

    def path_prefix(self, k: int) -> str:
        """The beginning of the text about path k, counted from 1; empty if there is only one path."""
        return f"Path {k} of {len(self.paths)}, through {self.words[k - 1].through}: " if len(self.paths) > 1 else ""

    def _measure(self, network: Network) -> Check | None:
        return measure(network, self.tensor, self.at, self.total, in_double(network)) if network.is_finite() else None

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain numbers and strings, with at most the first thousand terms (see "terms_in_all")."""
        return {
            "element": self.element,
            "at": list(self.at),
            "shape": list(self.shape),
            "dtype": str(self.dtype),
            "value": self.value,
            "moves": self.moves,
            "terms": [vars(term) | {"at": list(term.at)} for term in self.terms[:1000]],
            "terms_in_all": len(self.terms),
            "total": self.total,
            "g": self.g,
            "agrees": self.agrees,
            "matmul": self.matmul,
            "check": self.check,
            "slope": None if self.measured is None else self.measured.slope,
            "left_out": [constant.name for constant in self.left_out],
            "notes": list(self.notes),
        }
