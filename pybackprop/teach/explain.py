"""explain: why a gradient is what it is, element by element, on the learner's own numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path as File
from typing import Any

import numpy as np

from pybackprop.convert import Array
from pybackprop.errors import GradientError
from pybackprop.storage import Storage
from pybackprop.teach.again import check_unchanged
from pybackprop.teach.bad import first_bad
from pybackprop.teach.check import Check, measure
from pybackprop.teach.derive import derivation
from pybackprop.teach.find import Network, networks_of
from pybackprop.teach.formula import Line, latex, mathml
from pybackprop.teach.gradients import Walk, agreement, check_backward, same, walk_back
from pybackprop.teach.moves import Index, Path, paths_of
from pybackprop.teach.show import Document
from pybackprop.teach.telling import tell
from pybackprop.teach.terms import Term, Terms
from pybackprop.teach.words import element, words_of
from pybackprop.tensor import Tensor

__all__ = ["Explanation", "Term", "explain"]


class Told:
    """What can be shown: as plain text (print), in colours (rich), in a notebook, as formulas and as JSON."""

    def document(self) -> Document:
        raise NotImplementedError

    def formulas(self) -> Sequence[Line]:
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        raise NotImplementedError

    def __str__(self) -> str:
        return self.document().plain().strip("\n")

    __repr__ = __str__

    def __rich__(self) -> Any:
        return self.document().rich()

    def _repr_html_(self) -> str:
        return self.document().html() + self.mathml()

    def latex(self) -> str:
        """The derivation, with this example's indices, as an aligned environment."""
        return latex(self.formulas())

    def mathml(self) -> str:
        """The derivation as a <math> element."""
        return mathml(self.formulas())

    def to_json(self) -> str:
        """to_dict as JSON; numbers that are not finite become the words "nan", "inf", "-inf"."""
        return json.dumps(_plain(self.to_dict()), allow_nan=False)


class Explanation(Told):
    """Why t.g[at] is what it is.

    moves    which values move when the element moves, in words
    terms    each with .at .local .upstream .product (and .through, the tensor that .at is an index of), in the
             definition's order; len() and slices cost little however many there are
    total    their sum as csrc/reference.c adds them: t.g[at], bit for bit (agrees says so; g is what t.g holds)
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
        self.words = [words_of(path, network) for path in self.paths]
        self.value = float(tensor._array[at])
        self.moves = " ".join(words.moves for words in self.words)
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

    def _measure(self) -> Check | None:
        network = self.walk.network
        if not all(np.isfinite(t._array).all() for op in network for t in (*op.inputs, op.output)):
            return None
        return measure(network, self.tensor, self.at, self.total)

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
        from pybackprop.teach.exported import html

        made = html(self.walk, self.tensor, self.at)
        if path is not None:
            File(path).write_text(made, encoding="utf-8")
        return made


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


class Explain:
    """`bp.explain(t, at=...)`; see __call__. compare: the lesson's first version of w.g beside the matmul."""

    def __call__(self, t: Tensor, at: Any = None, *, loss: Tensor | None = None) -> Explanation:
        """Why t.g[at] is what it is: which values move, by how much, how much the loss cares, and the sum.

        t     any tensor that took part in a forward pass: weights, bias, data, pre-activation, activation, output
        at    the element, (3, 7) or 3; without it the one with the largest gradient. For the loss itself, without
              at, the whole chain is explained
        loss  which loss, if t took part in several (otherwise the one whose gradient t.g holds, or the latest)

        A backward must have run. Nothing is changed: no `.g`, no value. Raises IndexError for an element out of
        range, GradientError for a tensor that took no part, a missing backward, an operation without derivative, or
        values that were overwritten since.
        """
        walk, notes = _walk(t, loss)
        if at is None and walk.network.root is t and walk.network.is_loss():
            from pybackprop.teach.chain_rule import WholeChain

            return WholeChain(walk, notes)
        if t is walk.network.root:
            raise GradientError(
                f"explain: {walk.network.name(t)} is where the backward began: nothing was computed from it"
            )
        where = _index(at, t, walk.network) if at is not None else _largest(walk.of(t))
        return Explanation(walk, t, where, notes)

    @staticmethod
    def compare(first: str = "broadcast", second: str = "matmul", **options: Any) -> Any:
        """See pybackprop.teach.compare.compare."""
        from pybackprop.teach.compare import compare

        return compare(first, second, **options)


def _walk(t: Any, loss: Tensor | None) -> tuple[Walk, list[str]]:
    """The backward of the network that t took part in, and notes; of several networks the one that t.g is from."""
    networks = networks_of(t, loss)
    problem: GradientError | None = None
    stale: tuple[Walk, list[str]] | None = None
    for network in networks[:8]:
        try:
            check_unchanged(network)
            check_backward(t, network)
            walk = walk_back(network, t)
        except GradientError as error:
            problem = problem or error
            continue
        note = agreement(t, walk) if t is not network.root else _of_loss(network, walk)
        notes = [note for note in (note, first_bad(walk)) if note]
        if not note:
            return walk, notes
        stale = stale or (walk, notes)
    if stale is None:
        raise problem  # type: ignore[misc]
    return stale


def _of_loss(network: Network, walk: Walk) -> str:
    leaf = next((t for t in network.leaves() if t.requires_g), None)
    if leaf is None or leaf._g is None:
        return ""
    return agreement(leaf, walk)


def _index(at: Any, t: Tensor, network: Network) -> Index:
    """at as a tuple of indices from 0. Raises IndexError, which says the valid range."""
    name = network.name(t)
    given = at if isinstance(at, (tuple, list)) else (at,)
    if any(isinstance(i, bool) or not isinstance(i, (int, np.integer)) for i in given):
        raise IndexError(f"explain: found at={at!r}, expected whole numbers: {_valid(name, t.shape)}")
    inside = len(given) == t.ndim and all(-size <= i < size for i, size in zip(given, t.shape, strict=True))
    if not inside:
        raise IndexError(f"explain: {element(name, tuple(map(int, given)))} is not there: {_valid(name, t.shape)}")
    return tuple(int(i) % size for i, size in zip(given, t.shape, strict=True))


def _valid(name: str, shape: Index) -> str:
    axes = {1: ["element"], 2: ["row", "column"]}.get(len(shape), [f"axis {k}" for k in range(len(shape))])
    ranges = ", ".join(f"{axis} 0 .. {size - 1}" for axis, size in zip(axes, shape, strict=True))
    return f"{name} has shape {shape}: {ranges or 'at is ()'}"


def _largest(gradient: Array) -> Index:
    """The element with the largest gradient; a NaN first."""
    if gradient.size == 0:
        raise IndexError(f"explain: a tensor of shape {gradient.shape} has no elements")
    size = np.abs(np.where(np.isnan(gradient), np.inf, gradient))
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(size)), gradient.shape))


explain = Explain()
