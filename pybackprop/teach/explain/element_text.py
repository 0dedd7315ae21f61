"""The explanation of one element as a text, in six steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.teach.explain.facts import Facts
from pybackprop.teach.explain.rules import Path, Words
from pybackprop.teach.render.document import Block, Document, Formula, Heading, Table, Text
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import element
from pybackprop.teach.trace.operation import Operation
from pybackprop.teach.trace.slope import Check, slope_at_kink, with_kinks

ALL_ROWS = 10  # up to so many terms, all are shown; of more, the LARGEST
LARGEST = 6


def document(e: Facts) -> Document:
    """The six steps."""
    blocks: list[Block] = [
        Heading(f"{e.element} = {e.value:.6g}, and its gradient {e.gradient_name} = {exact(e.total, e)}")
    ]
    blocks += [Text(f"Note: {note}") for note in (*e.notes, *(constant.note for constant in e.left_out))]
    paths = list(zip(e.paths, e.words, strict=True))
    blocks += [*_moves(e, paths), *_sums(e, paths), *_all_elements(e), *_check(e)]
    marks = [(e.element, "element"), (e.gradient_name, "total")]
    for words in e.words:
        marks += [(words.moved, "moved"), (words.local, "local"), (words.upstream, "upstream")]
    return Document(blocks, [mark for mark in marks if mark[0] not in ("1", "")])


def exact(value: float, e: Facts) -> str:
    """The value with as many digits as its dtype needs."""
    return str(e.dtype.type(value))


def _moves(e: Facts, paths: Sequence[tuple[Path, Words]]) -> Iterator[Block]:
    yield Heading("1. What moves")
    for k, (path, words) in enumerate(paths, 1):
        yield Text(f"{e.path_prefix(k)}{words.moves}")
        yield Text(words.why)
        if not len(path):
            yield Text(path.rule.nothing)


def _sums(e: Facts, paths: Sequence[tuple[Path, Words]]) -> Iterator[Block]:
    yield Heading("2. By how much each of them moves")
    for k, (_, words) in enumerate(paths, 1):
        yield Text(f"{e.path_prefix(k)}{words.by}")
    yield Heading("3. How much the loss cares about each")
    for k, (path, words) in enumerate(paths, 1):
        yield Text(f"{e.path_prefix(k)}{_cares(path, words, e)}")
    yield Heading("4. The sum over all paths: how far it moves, times how much the loss cares")
    for k, (path, words) in enumerate(paths, 1):
        if len(path) and e.path_prefix(k):
            yield Text(e.path_prefix(k).rstrip())
        if len(path) and path.start is not None:
            yield Text(f"(The sum goes on from {path.start:.6g}, where the path before ended.)")
        if len(path):
            yield _table(path, words)
        if len(path) > ALL_ROWS:
            yield from _partial_sums(path)
    yield Text(_total(e))


def _cares(path: Path, words: Words, e: Facts) -> str:
    network, out = e.walk.network, path.operation.output
    if out is network.root and network.is_loss():
        return f"∂{e.loss_name}/∂{e.loss_name} = 1: {e.loss_name} itself is what we ask about."
    if out is network.root:
        return f"{words.upstream}, which was set by hand: ∂{e.loss_name}/∂{words.moved}, for a loss of your own."
    means = f"∂{e.loss_name}/∂{words.moved}"
    if not out.requires_g:
        return f"{words.upstream}: {means}. (A backward does not compute it, as nothing before it wants a gradient.)"
    return f"{words.upstream}, which the backward pass has already computed: {means}."


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
        lines.append([_others(size, len(path) - LARGEST), "", "", ""])
    return Table(head, lines, ["moved", "local", "upstream", "", "total"][: len(head)])


def _others(size: Array, count: int) -> str:
    """What is said of the terms that are not shown. size: of all terms."""
    largest_first = np.sort(size)[::-1]
    smaller = largest_first[LARGEST] < largest_first[LARGEST - 1]
    return f"… {count:,} smaller ones" if smaller else f"… {count:,} more, none larger"


def _partial_sums(path: Path) -> Iterator[Block]:
    """How the sum grows where there are many terms, in the definition's order."""
    last = len(path) - 1
    counted = path.rule.counted
    shown = [f"{counted}={k}: {path.added(k + 1):.6g}" for k in (0, 1, 2)]
    shown += ["…"] + [f"{counted}={k}: {path.added(k + 1):.6g}" for k in (last - 1, last)]
    yield Text(f"(These are the largest of {len(path):,}.) In the definition's order the sum grows like this:")
    yield Formula("   ".join(shown))
    if path.rule.cut and len(path) > native.SEGMENT:
        yield Text(
            f"Rows are added in segments of {native.SEGMENT}, each starting from 0; then the segments' sums are added "
            "in order. Every machine cuts a long sum at the same places."
        )


def _total(e: Facts) -> str:
    count = len(e.terms)
    paths = f" on {len(e.paths)} paths" if len(e.paths) > 1 else ""
    orders = {path.rule.order for path in e.paths}
    order = f"added {orders.pop()}" if len(orders) == 1 else "added path by path"
    terms = "one term" if count == 1 else f"{count:,} terms{paths}, {order}"
    total = f"Total: {exact(e.total, e)} ({terms})."
    if e.g is None:
        return f"{total} {_kept(e)}"
    if e.agrees and e.is_measured:
        return f"{total} {e.gradient_name} holds {exact(e.g, e)}: the same, as closely as slopes can be measured."
    if e.agrees:
        return f"{total} That is {e.gradient_name}, bit for bit."
    return f"{total} But {e.gradient_name} holds {exact(e.g, e)}{': see the note above' if e.notes else ''}."


def _kept(e: Facts) -> str:
    """Why a tensor has no .g, and what it would hold."""
    if e.tensor._node is not None or e.tensor.requires_g:
        return (
            f"{e.name} keeps no .g after a backward; backward(keep=True) leaves it there. This is what it would hold."
        )
    why = f"{e.name} has no .g, because its requires_g is False."
    return f"{why} {'This is the share that is on the tape.' if e.left_out else 'This is what it would hold.'}"


def _all_elements(e: Facts) -> Iterator[Block]:
    yield Heading(f"5. From one element to all: {e.name}.g = {e.matmul}")
    for k, words in enumerate(e.words, 1):
        if e.path_prefix(k):
            yield Text(e.path_prefix(k).rstrip())
        for piece in words.everything:
            yield Formula(piece.strip()) if piece.startswith("  ") else Text(piece)
    if len(e.paths) > 1:
        yield Text(f"{e.name} is used {times(len(e.paths))}. Each path gives a share, and {e.name}.g is their sum:")
        yield Formula(f"{e.name}.g = {e.matmul}")
        shares = " + ".join(_summand(path.share) for path in e.paths)
        yield Formula(f"{e.gradient_name} = {shares} = {sum(path.share for path in e.paths):.9g}")


def times(count: int) -> str:
    """How often, in words."""
    return "twice" if count == 2 else f"{count} times"


def _summand(value: float) -> str:
    return f"({value:.9g})" if value < 0 else f"{value + 0.0:.9g}"


def _check(e: Facts) -> Iterator[Block]:
    yield Heading("6. An independent check: nudge it and measure")
    check, held = e.measured, ", ".join(constant.name for constant in e.left_out)
    if check is None:
        yield Text("Not possible: where there is an infinity or a NaN, no change can be measured.")
        return
    if held and e.held is None:
        yield Text(
            f"The program as it ran cannot be run again: {'; '.join(c.problem for c in e.left_out if c.problem)}. So "
            f"{held} is kept as it is here, and what goes through it is missing from the slope as well."
        )
    yield Text(
        f"Move {e.element} by h = {check.h:g} up and down, in double, run forward again, and look at {_looked_at(e)}:"
    )
    yield from _measured(check, e)
    if e.held is not None:
        yield Text(f"The slope is that of the program as it ran. If {held} is kept as it is:")
        yield from _measured(e.held, e)
    names = _kinked(e.walk.network)
    if check.operation is not None:
        yield Text(_at_kink(check, check.operation))
    elif check.shrunk:
        yield Text(f"(The step was made smaller until no {names} crossed its corner at {_kink(e.walk.network)}.)")
    if check.flipped:
        yield Text(
            f"{check.flipped} {names} elements are so near {_kink(e.walk.network)} that in double they fall on the "
            "other side of it: expect a difference."
        )


def _looked_at(e: Facts) -> str:
    network = e.walk.network
    if network.is_loss():
        return e.loss_name
    out = network.name(network.root)
    return f"the sum of {out} * {out}.g, which has the slopes of a loss with this {out}.g"


def _measured(check: Check, e: Facts) -> Iterator[Block]:
    loss = e.loss_name if e.walk.network.is_loss() else "sum"
    above, below = f"{check.above:.15g}", f"({check.below:.15g})" if check.below < 0 else f"{check.below:.15g}"
    yield Formula(f"slope ({loss}₊ - {loss}₋) / 2h = ({above} - {below}) / {2 * check.h:g} = {check.slope:.9g}")
    yield Formula(f"gradient {e.total:.9g}   relative error {check.error:+.1e}")


def _at_kink(check: Check, op: Operation) -> str:
    name, kink = op.function, f"{op.kink:g}"
    return (
        f"However little it moves, {check.kink} crosses {kink}, the corner of {name}, where there are two slopes: "
        f"{check.left:.6g} to the left and {check.right:.6g} to the right. The convention is "
        f"{name}'({kink}) = {slope_at_kink(op):g}."
    )


def _kinked(network: Network) -> str:
    """The functions with a corner: relu, or several."""
    return " or ".join(dict.fromkeys(op.function for op, _ in with_kinks(network)))


def _kink(network: Network) -> str:
    """Where their corners are."""
    return " or ".join(dict.fromkeys(f"{kink:g}" for _, kink in with_kinks(network)))
