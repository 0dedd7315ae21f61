"""explain: why a gradient is what it is, element by element, on the learner's own numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import numpy as np

from pybackprop.autograd.tensor import Tensor
from pybackprop.core.errors import GradientError
from pybackprop.teach.explain.asked import note_of, part_asked
from pybackprop.teach.explain.explanation import Explanation
from pybackprop.teach.explain.outer_product import compare
from pybackprop.teach.explain.terms import Term
from pybackprop.teach.explain.whole_chain import WholeChain
from pybackprop.teach.trace.gradients import Walk, agreement, check_backward, largest, walk_back
from pybackprop.teach.trace.graph import Network, networks_of
from pybackprop.teach.trace.nonfinite import first_nonfinite
from pybackprop.teach.trace.notation import Index, element
from pybackprop.teach.trace.off_tape import Program, program_of, takes_part
from pybackprop.teach.trace.parts import Part
from pybackprop.teach.trace.replay import check_unchanged

__all__ = ["Explanation", "Term", "explain"]

TRIED = 8  # so many of the networks that a tensor took part in are tried, the latest first

P = ParamSpec("P")
Q = ParamSpec("Q")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")


class _WithCompare(Protocol[P, R_co, Q, S]):
    """The type of a function with a function as its attribute `compare`."""

    compare: Callable[Q, S]

    def __call__(self, *args: P.args, **options: P.kwargs) -> R_co: ...


def _with(compare: Callable[Q, S]) -> Callable[[Callable[P, R_co]], _WithCompare[P, R_co, Q, S]]:
    """A decorator that attaches compare to the function."""

    def attach(function: Callable[P, R_co]) -> _WithCompare[P, R_co, Q, S]:
        function.compare = compare  # type: ignore[attr-defined]
        return cast("_WithCompare[P, R_co, Q, S]", function)

    return attach


@_with(compare)
def explain(t: Tensor, at: Any = None, *, loss: Tensor | None = None) -> Explanation:
    """Why t.g[at] is what it is: which values move, by how much, how much the loss cares, and the sum.

    t     any tensor that took part in a forward pass: weights, bias, data, pre-activation, activation, output
    at    the element, (3, 7) or 3; by default the one with the largest gradient. For the loss itself, without
          at, the whole chain is explained
    loss  which loss, if t took part in several (otherwise the one whose gradient t.g holds, or the latest)

    A backward pass must have run. Nothing is changed: no `.g`, no value. What the library computed from t off the tape
    is followed too, or named where a backward takes it as a constant; what numpy computed from t.data is not.
    For a part that was made only to be asked about, w[0, 0] or w[:, 1], the element of w is explained, and a note says
    so; at is then an index of the part.
    Raises IndexError for an element out of range, GradientError for a tensor that took no part, if no backward pass
    has run, for an operation without a derivative, or if values were overwritten since.

    explain.compare(...) shows the lesson's first version of w.g beside the matrix product that replaced it.
    """
    part = part_asked(t, loss)
    if part is not None:
        return _of_part(part, at, t.shape, loss)
    program, walk, notes = _walk(t, loss)
    if (at is None or np.shape(at) == (0,)) and walk.network.root is t and walk.network.is_loss():
        return WholeChain(walk, notes)
    if t is walk.network.root:
        raise GradientError(
            f"explain: {walk.network.name(t)} is where the backward began: nothing was computed from it"
        )
    where = _index(at, walk.network.name(t), t.shape) if at is not None else largest(walk.of(t))
    return Explanation(program, walk, t, where, notes)


def _of_part(part: Part, at: Any, shape: Index, loss: Tensor | None) -> Explanation:
    """The element of the whole tensor; without at, the one with the largest gradient of those that the part shows."""
    program, walk, notes = _walk(part.whole, loss)
    name = walk.network.name(part.whole)
    gradient = part.of(walk.of(part.whole))
    where = part.at(_index(at, f"(part of {name})", shape) if at is not None else largest(gradient))
    return Explanation(program, walk, part.whole, where, [note_of(part, where, name), *notes])


def _walk(t: Any, loss: Tensor | None) -> tuple[Program, Walk, list[str]]:
    """The program that t took part in, its backward pass, and notes; of several, the one that t.g is from."""
    networks = networks_of(t, loss, takes_part)
    problem: GradientError | None = None
    stale: tuple[Program, Walk, list[str]] | None = None
    for network in networks[:TRIED]:
        try:
            program = program_of(network, t)
            check_unchanged(program.network)
            check_backward(t, program.network)
            walk = walk_back(program.network, t)
        except GradientError as error:
            problem = problem or error
            continue
        note = agreement(t, walk) if t is not network.root else _of_loss(network, walk)
        found = program, walk, [note for note in (note, first_nonfinite(walk)) if note]
        if not note:
            return found
        if not network.only_looks_at(t) or networks[0].only_looks_at(t):  # these come last
            stale = stale or found
    if stale is None:
        raise problem  # type: ignore[misc]
    return stale


def _of_loss(network: Network, walk: Walk) -> str:
    """A note if the `.g` of a parameter is not that of this forward pass."""
    notes = (agreement(leaf, walk) for leaf in network.leaves() if leaf._g is not None)
    return next(filter(None, notes), "")


def _index(at: Any, name: str, shape: Index) -> Index:
    """at as a tuple of nonnegative indices. Raises IndexError, whose message gives the valid range."""
    given = tuple(at) if isinstance(at, (tuple, list, np.ndarray)) and np.ndim(at) else (at,)
    if any(isinstance(i, bool) or not isinstance(i, (int, np.integer)) for i in given):
        raise IndexError(f"explain: found at={at!r}, expected whole numbers: {_valid(name, shape)}")
    inside = len(given) == len(shape) and all(-size <= i < size for i, size in zip(given, shape, strict=True))
    if not inside:
        raise IndexError(f"explain: {element(name, tuple(map(int, given)))} is out of range: {_valid(name, shape)}")
    return tuple(int(i) % size for i, size in zip(given, shape, strict=True))


def _valid(name: str, shape: Index) -> str:
    axes = {1: ["element"], 2: ["row", "column"]}.get(len(shape), [f"axis {k}" for k in range(len(shape))])
    ranges = ", ".join(f"{axis} 0 .. {size - 1}" for axis, size in zip(axes, shape, strict=True))
    return f"{name} has shape {shape}: {ranges or 'at is ()'}"
