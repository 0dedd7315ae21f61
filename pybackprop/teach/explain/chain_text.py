"""The whole chain as a text, in four parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, TypeAlias

from pybackprop.core.units import bytes_text
from pybackprop.teach.explain.chain_facts import jacobian, jacobians
from pybackprop.teach.explain.symbols import Symbols
from pybackprop.teach.render.document import Block, Document, Formula, Heading, Table, Text
from pybackprop.teach.trace.graph import Network

LESSON = (50000, 784, 50)  # n, m, h of the lesson's first layer

Step: TypeAlias = "dict[str, Any]"
Checked: TypeAlias = "tuple[str, float, float, float]"


def document(
    heading: str, notes: Sequence[str], symbols: Symbols, steps: Sequence[Step], checks: Sequence[Checked]
) -> Document:
    """Forward, backward, the Jacobian that is never built, the check. steps, checks: those of a WholeChain."""
    blocks: list[Block] = [Heading(heading), *(Text(f"Note: {note}") for note in notes)]
    blocks += [*_forward(symbols), *_backward(steps), *_never_built(symbols.network), *_checked(checks)]
    return Document(blocks, [(step["g"], "upstream") for step in steps])


def _forward(symbols: Symbols) -> Iterator[Block]:
    yield Heading(f"1. Forward, step by step{_letters(symbols)}")
    rows = [
        [f"{symbol} = {formula}", f"{name} {size.replace('()', 'one number')}"]
        for symbol, formula, name, size in symbols.forward()
    ]
    yield Table(["step", "is called"], rows, ["", "moved"], words=True)
    first = symbols.network.operations[0]
    leaf = first.inputs[min(1, len(first.inputs) - 1)]
    z = symbols.of(symbols.network.root)
    several = any(len(symbols.network.uses(given)) > 1 for op in symbols.network for given in op.inputs)
    yield Text(
        f"The chain rule multiplies one factor for each step on the way to {z}{', and adds the ways' * several}:"
    )
    yield Formula(f"∂{z}/∂{symbols.of(leaf)} = {symbols.holds(first, leaf, width=80)}")


def _letters(symbols: Symbols) -> str:
    """What u, v and z stand for, of those that this network has."""
    says = {"u": "what a layer computes", "v": "what {} passes on", "z": "the {}", "y": "what {} computes"}
    letters = [
        f"{letter} is {words.format(functions)}"
        for letter, words in says.items()
        if (functions := symbols.functions(letter))
    ]
    return f": {', '.join(letters)}" if letters else ""


def _backward(steps: Sequence[Step]) -> Iterator[Block]:
    yield Heading("2. Backward: which .g holds which product of derivatives, after which call")
    for call, written in groupby(steps, key=lambda step: step["after"]):
        yield Text(f"after {call}")
        yield Table(["", "", ""], [_row(step) for step in written], ["upstream", "local", ""], words=True)
    if any(step["shares"] > 1 for step in steps):
        yield Text("+ …: it is used several times. Each use gives a share, and the .g is the sum of them.")
    for by_hand, why in ((True, "only in a backward pass by hand, because "), (False, "not computed, because ")):
        names = dict.fromkeys(step["g"] for step in steps if not step["wanted"] and step["by hand"] is by_hand)
        calls = " and ".join(dict.fromkeys(_function(step) for step in steps if step["g"] in names and by_hand))
        sets = f"{calls} set{'s' * (' and ' not in calls)} every .g; " * by_hand
        if names:
            yield Text(f"* {', '.join(names)}: {why}{sets}the tape computes only the gradients that are required.")
    yield Text(
        "What arrives (out.g, in a _grad function) is the product of all factors so far. Each call multiplies it by "
        "one more and stores the result as the .g of its input (inp.g), where the layer before it reads it."
    )


def _row(step: Step) -> list[str]:
    size = f"({','.join(map(str, step['shape']))})"
    star = "" if step["wanted"] else " *"
    more = " + …" if step["shares"] > 1 else ""
    return [f"{step['g']} {size}{star}", f"= {step['computed as']}{more}", f"holds {step['holds']}"]


def _function(step: Step) -> str:
    """bp.lin_grad, of a call."""
    return str(step["after"]).partition("(")[0]


def _never_built(network: Network) -> Iterator[Block]:
    yield Heading("3. The Jacobian that is never built")
    yield Text(
        "Written out as the paper does, the factor ∂u/∂x of a layer is a matrix: a row for each of the n·h elements "
        "of u (n rows, h outputs), a column for each of the n·m elements of x (m inputs)."
    )
    for one in jacobians(network):
        jacobian_bytes, built_bytes = bytes_text(one["bytes"]), bytes_text(one["built_bytes"])
        yield Formula(
            f"{one['of']}: {one['rows']:,} by {one['columns']:,} = {one['numbers']:,} numbers, {jacobian_bytes}; "
            f"instead {one['built_instead']}: {one['built_numbers']:,} numbers, {built_bytes}"
        )
    big = jacobian("u", "x", *LESSON, 4)
    yield Text(
        f"(For the lesson's layer, 50000 rows, 784 → 50: {big['numbers']:,} numbers, {bytes_text(big['bytes'])}.) "
        "Almost all of them are zeros, because u[i,j] depends only on row i of x. The others are the elements of w, "
        "repeated for each row. And all we need is the Jacobian's product with the gradient that arrives, u.g: that "
        "is u.g @ w.T, and the Jacobian is never in memory."
    )


def _checked(checks: Sequence[Checked]) -> Iterator[Block]:
    yield Heading("4. An independent check: nudge it and measure")
    if not checks:
        yield Text("Not possible: where there is an infinity or a NaN, no change can be measured.")
        return
    yield Text("The element with the largest gradient of each parameter, moved up and down a little in double:")
    rows = [[name, f"{g:.6g}", f"{slope:.6g}", f"{error:+.1e}"] for name, g, slope, error in checks]
    yield Table(["element", "gradient", "slope", "relative error"], rows, ["element", "total", "", ""])
    yield Text("To see one element's gradient term by term: bp.explain(w, at=(k, j)).")
