"""Telling: the explanation of one element as a text, in six steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pybackprop.core import native
from pybackprop.teach.explain.paths import Path
from pybackprop.teach.explain.prose import Words, element
from pybackprop.teach.render.document import Block, Document, Formula, Heading, Table, Text

if TYPE_CHECKING:
    from pybackprop.teach.explain.facts import Explanation

ALL_ROWS = 10  # so many terms are all shown; of more, the largest
LARGEST = 6


def tell(e: Explanation) -> Document:
    """The six steps."""
    blocks: list[Block] = [
        Heading(f"{e.element} = {e.value:.6g}, and its gradient {e.gradient_name} = {exact(e.total, e)}")
    ]
    blocks += [Text(f"Note: {note}") for note in e.notes]
    ways = list(zip(e.paths, e.words, strict=True))
    blocks += [*_moves(e, ways), *_sums(e, ways), *_everything(e, ways), *_check(e)]
    marks = [(e.element, "element"), (e.gradient_name, "total")]
    for words in e.words:
        marks += [(words.moved, "moved"), (words.local, "local"), (words.upstream, "upstream")]
    return Document(blocks, [mark for mark in marks if mark[0] not in ("1", "")])


def exact(value: float, e: Explanation) -> str:
    """All digits that the dtype has."""
    return str(e.dtype.type(value))


def _moves(e: Explanation, ways: list[tuple[Path, Words]]) -> Iterator[Block]:
    yield Heading("1. What moves")
    for k, (path, words) in enumerate(ways, 1):
        yield Text(f"{e.way(k)}{words.moves}")
        yield Text(words.why)
        if not len(path):
            yield Text("There is not a single row here: nothing moves, and the sum over nothing is 0.")


def _sums(e: Explanation, ways: list[tuple[Path, Words]]) -> Iterator[Block]:
    yield Heading("2. By how much each of them moves")
    for k, (_, words) in enumerate(ways, 1):
        yield Text(f"{e.way(k)}{words.by}")
    yield Heading("3. How much the loss cares about each")
    for k, (_, words) in enumerate(ways, 1):
        yield Text(f"{e.way(k)}{_cares(words, e)}")
    yield Heading("4. The sum over all paths: how far it moves, times how much the loss cares")
    for k, (path, words) in enumerate(ways, 1):
        if len(path) and e.way(k):
            yield Text(e.way(k).rstrip())
        if len(path):
            yield _table(path, words)
        if len(path) > ALL_ROWS:
            yield from _partial_sums(path, words)
    yield Text(_total(e))


def _cares(words: Words, e: Explanation) -> str:
    if words.upstream.startswith("∂"):
        return f"{words.upstream} = 1: {e.loss_name} itself is what we ask about."
    return f"{words.upstream}, which the backward pass had ready before: ∂{e.loss_name}/∂{words.moved}."


def _table(path: Path, words: Words) -> Table:
    """All terms with the sum so far, or the largest ones."""
    products = path.products
    few = len(path) <= ALL_ROWS
    size = np.where(np.isnan(products), np.inf, np.abs(products))
    rows = range(len(path)) if few else np.argsort(-size, kind="stable")[:LARGEST]
    head = ["moves", f"by {words.local}", words.upstream, "product"] + (["sum so far"] if few else [])
    lines = []
    for k in map(int, rows):
        at = element(words.through, tuple(map(int, path.moved[k])))
        line = [at, *(f"{float(value) + 0.0:.6g}" for value in (path.local[k], path.upstream[k], products[k]))]
        lines.append(line + ([f"{path.added(k + 1):.6g}"] if few else []))
    if not few:
        lines.append([f"… {len(path) - LARGEST:,} smaller ones", "", "", ""])
    return Table(head, lines, ["moved", "local", "upstream", "", "total"][: len(head)])


def _partial_sums(path: Path, words: Words) -> Iterator[Block]:
    """How the sum grows where there are many terms, in the definition's order."""
    last = len(path) - 1
    letter = words.letter or "term"
    shown = [f"{letter}={k}: {path.added(k + 1):.6g}" for k in (0, 1, 2)]
    shown += ["…"] + [f"{letter}={k}: {path.added(k + 1):.6g}" for k in (last - 1, last)]
    yield Text(f"(These are the largest of {len(path):,}.) In the definition's order the sum grows like this:")
    yield Formula("   ".join(shown))
    if path.rule in ("w", "b") and len(path) > native.SEGMENT:
        yield Text(
            f"Rows are added in segments of {native.SEGMENT}, each from 0, and then the segments' sums in order: the "
            "only place where a long sum is cut, and the same on every machine."
        )


def _total(e: Explanation) -> str:
    count = len(e.terms)
    paths = f" on {len(e.paths)} paths" if len(e.paths) > 1 else ""
    how = f"{count:,} terms{paths}, added in the definition's order with one rounding each"
    said = f"Total: {exact(e.total, e)} ({'one term' if count == 1 else how})."
    if e.g is None:
        return f"{said} {_kept(e)} This is what it would hold."
    if e.agrees:
        return f"{said} That is {e.gradient_name}, bit for bit."
    return f"{said} But {e.gradient_name} holds {exact(e.g, e)}: see the note above."


def _kept(e: Explanation) -> str:
    """Why a tensor has no .g."""
    if e.tensor._node is not None or e.tensor.requires_g:
        return f"{e.name} keeps no .g after a backward; backward(keep=True) leaves it there."
    return f"{e.name} has no .g, for it wants none (requires_g is False)."


def _everything(e: Explanation, ways: list[tuple[Path, Words]]) -> Iterator[Block]:
    yield Heading(f"5. From one element to all: {e.name}.g = {e.matmul}")
    for k, (_, words) in enumerate(ways, 1):
        if e.way(k):
            yield Text(e.way(k).rstrip())
        for piece in words.everything:
            yield Formula(piece.strip()) if piece.startswith("  ") else Text(piece)


def _check(e: Explanation) -> Iterator[Block]:
    yield Heading("6. A check that trusts nobody")
    c = e.measured
    if c is None:
        yield Text("Not possible: what is no finite number cannot be moved a little.")
        return
    yield Text(f"Move {e.element} by {c.h:.0e} up and down, in double, run forward again, and look at {e.loss_name}:")
    yield Formula(f"slope {c.slope:.9g}   gradient {e.total:.9g}   relative error {c.error:+.1e}")
    if c.kink:
        yield Text(
            f"However little it moves, {c.kink} crosses 0, the corner of relu, where there are two slopes: "
            f"{c.left:.6g} to the left and {c.right:.6g} to the right. The convention is relu'(0) = 0."
        )
    elif c.shrunk:
        yield Text("(The step was made smaller until no relu crossed its corner at 0.)")
    if c.flipped:
        yield Text(
            f"{c.flipped} relu elements are so near 0 that in double they are on its other side: expect a difference."
        )
