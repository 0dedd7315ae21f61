"""Explanation: why one element's gradient is what it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

import numpy as np

from pybackprop.convert import Array
from pybackprop.storage import Storage
from pybackprop.teach.again import in_double
from pybackprop.teach.check import Check, measure
from pybackprop.teach.derive import derivation
from pybackprop.teach.formula import Line
from pybackprop.teach.gradients import Walk, same
from pybackprop.teach.moves import Index, Path, paths_of
from pybackprop.teach.show import Document
from pybackprop.teach.telling import tell
from pybackprop.teach.terms import Terms
from pybackprop.teach.told import Told
from pybackprop.teach.words import element, words_of

if TYPE_CHECKING:
    from pybackprop.teach.scene import Scene


class Explanation(Told):
    """Why t.g[at] is what it is.

    moves    which values move when the element moves, in words
    terms    each with .at .local .upstream .product (and .through, the tensor that .at is an index of), in the
             definition's order; len() and slices cost little however many there are
    total    their sum as csrc/ops/reference.c adds them: t.g[at], bit for bit (agrees says so; g is what t.g holds)
    matmul   the gradient of the whole tensor: "x.T @ l1.g"
    check    relative error, signed, of total against a measured slope; NaN where nothing can be measured
    notes    what the reader must know: a .g that is not of this forward pass, a NaN and where it arose
    """

    def __init__(self, walk: Walk, tensor: Storage, at: Index, notes: Sequence[str]) -> None:
        network = walk.network
        self.walk, self.tensor, self.at, self.notes = walk, tensor, at, tuple(notes)
        self.name, self.shape, self.dtype = network.name(tensor), tensor.shape, tensor.dtype
        self.loss_name = network.name(network.root) if network.is_loss() else "the loss"
        self.paths: list[Path] = paths_of(tensor, at, walk)
        self.words = [words_of(path, network, len(self.paths) == 1) for path in self.paths]
        self.value = float(tensor._array[at])
        self.moves = " ".join(f"{self.way(k)}{words.moves}" for k, words in enumerate(self.words, 1))
        self.terms = Terms([(words.through, path) for words, path in zip(self.words, self.paths, strict=True)])
        self.total = self.paths[-1].added()
        self.matmul = " + ".join(words.matmul for words in self.words)
        self.g = None if tensor._g is None else float(tensor._g._array[at])
        self.measured = self._measure()
        self.check = float("nan") if self.measured is None else self.measured.error

    @property
    def agrees(self) -> bool:
        """Whether total has the bits of t.g[at]; where t keeps no .g, of the private walk's."""
        found = self.walk.of(self.tensor)[self.at] if self.g is None else self.dtype.type(self.g)
        return same(np.asarray(found), np.asarray(self.dtype.type(self.total)))

    @property
    def element(self) -> str:
        """w1[3,7]"""
        return element(self.name, self.at)

    @property
    def gradient_name(self) -> str:
        """w1.g[3,7]"""
        return element(f"{self.name}.g", self.at)

    def way(self, k: int) -> str:
        """What the text about path k, from 1, begins with; nothing where there is one path."""
        return f"Path {k} of {len(self.paths)}, through {self.words[k - 1].through}: " if len(self.paths) > 1 else ""

    def _measure(self) -> Check | None:
        network = self.walk.network
        if not all(np.isfinite(t._array).all() for op in network for t in (*op.inputs, op.output)):
            return None
        return measure(network, self.tensor, self.at, self.total, in_double(network))

    def document(self) -> Document:
        return tell(self)

    def formulas(self) -> Sequence[Line]:
        return derivation(self.name, self.walk.network, self.paths, str(self.dtype.type(self.total)))

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain numbers and words; of many terms the first thousand (see "terms_in_all")."""
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
            "notes": list(self.notes),
        }

    def plot(self, path: str | File | None = None) -> Any:
        """A matplotlib figure: the matrices as heat maps with the element, what it moves and the terms marked.

        path: where to save it too (.png, .svg, .pdf). Raises ImportError without matplotlib.
        """
        from pybackprop.teach.picture import picture

        return picture(self, path)

    def to_html(self, path: str | File | None = None) -> str:
        """The page to play with, the network's matrices on it and this element chosen; path: where to save it too."""
        from pybackprop.teach import page

        found = self.scene()
        if path is not None:
            page.write(path, found)
        return page.html_of(found)

    def scene(self) -> Scene:
        """What the page shows. Raises GradientError and ValueError for a network that it cannot show."""
        from pybackprop.teach.exported import scene

        return scene(self.walk, self.tensor, self.at)


def largest(gradient: Array) -> Index:
    """The element with the largest gradient; a NaN first."""
    if gradient.size == 0:
        raise IndexError(f"explain: a tensor of shape {gradient.shape} has no elements")
    size = np.abs(np.where(np.isnan(gradient), np.inf, gradient))
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(size)), gradient.shape))
