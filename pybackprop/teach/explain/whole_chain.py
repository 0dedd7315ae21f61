"""The whole chain, from the loss back to the data: bp.explain(loss).

In the notation of the question that this project was born from: u = x @ w + b, v = relu(u), z = mse(v), and
dz/dx = dz/dv · dv/du · du/dx, one factor for each step. Networks with several layers count them: u1, v1, u2, z.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pybackprop.core.units import bytes_text
from pybackprop.teach.explain.derivation import whole
from pybackprop.teach.explain.facts import Explanation, largest
from pybackprop.teach.explain.paths import PRODUCTS, backward_order, rule_of
from pybackprop.teach.explain.prose import difference, shape
from pybackprop.teach.explain.symbols import Symbols
from pybackprop.teach.explain.terms import Terms
from pybackprop.teach.render.document import Block, Document, Formula, Heading, Table, Text
from pybackprop.teach.render.formula import Line, Name
from pybackprop.teach.trace.gradients import Walk, by_hand, same
from pybackprop.teach.trace.graph import Network, Operation
from pybackprop.teach.trace.replay import KNOWN, in_double
from pybackprop.teach.trace.slope import measure

LESSON = (50000, 784, 50)  # n, m, h of the lesson's first layer


class WholeChain(Explanation):
    """An Explanation of the loss: .steps says which .g holds which product of derivatives after which call.

    terms is empty and total 1, ∂loss/∂loss; matmul lists all products of the backward pass; check is the worst
    relative error of one element (that with the largest gradient) of each parameter.
    """

    def __init__(self, walk: Walk, notes: Sequence[str]) -> None:
        network, root = walk.network, walk.network.root
        self.walk, self.tensor, self.notes = walk, root, tuple(notes)
        self.at, self.shape, self.dtype = (0,) * root.ndim, root.shape, root.dtype
        self.name = self.loss_name = network.name(root)
        self.value, self.total = float(root._array.reshape(())), 1.0
        self.g = None if root._g is None else float(root._g._array.reshape(()))
        self.paths, self.words, self.terms = [], [], Terms([])
        self.symbols = Symbols(network)
        self.steps = [step for op in reversed(network.operations) for step in self._steps(op)]
        self.moves = f"{self.name} is one number: every .g says how much it moves."
        self.matmul = "; ".join(f"{step['g']} = {step['computed as']}" for step in self.steps)
        self.measured = None
        self.checks = self._checks()
        self.check = max((error for *_, error in self.checks), key=abs, default=float("nan"))

    @property
    def agrees(self) -> bool:
        """Whether every parameter's .g has the bits of this chain."""
        wanted = [leaf for leaf in self.walk.network.leaves() if leaf.requires_g]
        return all(leaf._g is not None and same(leaf._g._array, self.walk.of(leaf)) for leaf in wanted)

    def _steps(self, op: Operation) -> Iterator[dict[str, Any]]:
        """What one _grad call writes: name, shape, how it is computed, which product of derivatives it holds."""
        network = self.walk.network
        for slot in backward_order(op):
            given = op.inputs[slot]
            if network.name(given) == "targ" and not given.requires_g:
                continue
            yield {
                "after": by_hand(op, network) or f"the backward of '{op.kind}'",
                "g": f"{network.name(given)}.g",
                "shape": given.shape,
                "computed as": _computed(op, slot, network),
                "holds": self.symbols.holds(op, given),
                "wanted": given.requires_g or given._g is not None,
            }

    def _checks(self) -> list[tuple[str, float, float, float]]:
        """(element, gradient, slope, relative error) for the largest gradient of each parameter."""
        network = self.walk.network
        if not all(np.isfinite(t._array).all() for op in network for t in (*op.inputs, op.output)):
            return []
        found, values = [], in_double(network)
        for leaf in network.leaves():
            if leaf.requires_g and leaf.size and id(leaf) in self.walk.buffers:
                at = largest(self.walk.of(leaf))
                gradient = float(self.walk.of(leaf)[at])
                check = measure(network, leaf, at, gradient, values)
                name = f"{network.name(leaf)}[{','.join(map(str, at))}]"
                found.append((name, gradient, check.slope, check.error))
        return found

    def document(self) -> Document:
        blocks: list[Block] = [
            Heading(f"The whole chain: from {self.name} = {self.value:.6g} back to the first element")
        ]
        blocks += [Text(f"Note: {note}") for note in self.notes]
        blocks += [*_forward(self), *_backward(self), *_never_built(self), *_checked(self)]
        return Document(blocks, [(step["g"], "upstream") for step in self.steps])

    def formulas(self) -> Sequence[Line]:
        network = self.walk.network
        lines: list[Line] = []
        for op in reversed(network.operations):
            for slot in backward_order(op):
                given = op.inputs[slot]
                if op.kind in KNOWN and (network.name(given) != "targ" or given.requires_g):
                    g = Name(network.name(given), g=True)
                    lines.append([*self.symbols.parts(op, given), "=", g, "=", *whole(op, slot, network)])
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Steps and checks as plain numbers and words."""
        return {
            "element": self.name,
            "value": self.value,
            "moves": self.moves,
            "steps": [step | {"shape": list(step["shape"])} for step in self.steps],
            "jacobians": jacobians(self.walk.network),
            "checks": [dict(zip(("element", "gradient", "slope", "error"), row, strict=True)) for row in self.checks],
            "total": self.total,
            "matmul": self.matmul,
            "check": self.check,
            "notes": list(self.notes),
        }


def _computed(op: Operation, slot: int, network: Network) -> str:
    """out.g @ w2.T, for any input of an operation."""
    names, Z = [network.name(given) for given in op.inputs], network.name(op.output)
    if op.kind not in KNOWN:
        return f"by '{op.kind}' itself"
    rule = rule_of(op, slot)
    loss = f"2 * ({difference(op, slot, network)}) / {op.inputs[0].size}" if op.kind == "mse" else ""
    return {
        "w": f"{names[0]}.T @ {Z}.g",
        "x": f"{Z}.g @ {names[1] if len(names) > 1 else ''}.T",
        "b": f"{Z}.g.sum(0)",
        "relu": f"({names[0]} > 0) * {Z}.g",
        "mse": loss,
        "targ": loss,
        "same": f"{Z}.g",
        "broadcast": f"{Z}.g summed to {shape(op.inputs[slot])}",
    }[rule]


def jacobians(network: Network) -> list[dict[str, Any]]:
    """For each product: the size of ∂u/∂x, (n·h) × (n·m), and what is built instead, x.g (n,m)."""
    found = []
    for op in network:
        if op.kind in PRODUCTS:
            (n, m), h = op.inputs[0].shape, op.inputs[1].shape[1]
            names = network.name(op.output), network.name(op.inputs[0])
            found.append(jacobian(*names, n, m, h, op.output.dtype.itemsize))
    return found


def jacobian(out: str, inp: str, n: int, m: int, h: int, itemsize: int) -> dict[str, Any]:
    """rows n·h, columns n·m; not_zero: only elements of the same row i move each other."""
    numbers = n * h * n * m
    return {
        "of": f"∂{out}/∂{inp}",
        "rows": n * h,
        "columns": n * m,
        "numbers": numbers,
        "bytes": numbers * itemsize,
        "not_zero": n * m * h,
        "built_instead": f"{inp}.g",
        "built_numbers": n * m,
        "built_bytes": n * m * itemsize,
    }


# ---- the text ----


def _forward(e: WholeChain) -> Iterator[Block]:
    yield Heading("1. Forward, step by step: u is what a layer computes, v what relu passes on, z the mse")
    rows = [
        [f"{symbol} = {formula}", f"{name} {size.replace('()', 'one number')}"]
        for symbol, formula, name, size in e.symbols.forward()
    ]
    yield Table(["step", "is called"], rows, ["", "moved"], words=True)
    first = e.walk.network.operations[0]
    leaf = first.inputs[min(1, len(first.inputs) - 1)]
    yield Text("z is a function of a function of a function, so the chain rule multiplies one factor for each step:")
    yield Formula(f"∂z/∂{e.symbols.of(leaf)} = {e.symbols.holds(first, leaf, width=80)}")


def _backward(e: WholeChain) -> Iterator[Block]:
    yield Heading("2. Backward: which .g holds which product of derivatives, after which call")
    after = ""
    rows: list[list[str]] = []
    for step in e.steps:
        if step["after"] != after and rows:
            yield from _after(after, rows)
            rows = []
        after = step["after"]
        size = f"({','.join(map(str, step['shape']))})"
        star = "" if step["wanted"] else " *"
        rows.append([f"{step['g']} {size}{star}", f"= {step['computed as']}", f"holds {step['holds']}"])
    yield from _after(after, rows)
    unwanted = [step["g"] for step in e.steps if not step["wanted"]]
    if unwanted:
        yield Text(
            f"* {', '.join(unwanted)}: only by hand, for bp.lin_grad sets all; the tape leaves out what nobody wants."
        )
    yield Text(
        "What arrives (out.g, in a _grad function) is the product of all factors so far. Each call multiplies in one "
        "more and leaves the result as the .g of what went in (inp.g), where the layer before it finds it."
    )


def _after(call: str, rows: list[list[str]]) -> Iterator[Block]:
    yield Text(f"after {call}")
    yield Table(["", "", ""], rows, ["upstream", "local", ""], words=True)


def _never_built(e: WholeChain) -> Iterator[Block]:
    yield Heading("3. The Jacobian that is never built")
    found = jacobians(e.walk.network)
    yield Text(
        "Written out as the paper does, the factor ∂u/∂x of a layer is a matrix: a row for each of the n·h elements "
        "of u (n rows, h outputs), a column for each of the n·m elements of x (m inputs)."
    )
    for one in found:
        jacobian_bytes, built_bytes = bytes_text(one["bytes"]), bytes_text(one["built_bytes"])
        yield Formula(
            f"{one['of']}: {one['rows']:,} by {one['columns']:,} = {one['numbers']:,} numbers, {jacobian_bytes}; "
            f"instead {one['built_instead']}: {one['built_numbers']:,} numbers, {built_bytes}"
        )
    big = jacobian("u", "x", *LESSON, 4)
    yield Text(
        f"(For the lesson's layer, 50000 rows, 784 → 50: {big['numbers']:,} numbers, {bytes_text(big['bytes'])}.) "
        "Almost all of them are zeros, for u[i,j] moves only with row i of x, and the others are the elements of w, "
        "again and again, once for each row. And we want only its product with the row of numbers that arrives, u.g: "
        "that is u.g @ w.T, with no Jacobian in memory at any time."
    )


def _checked(e: WholeChain) -> Iterator[Block]:
    yield Heading("4. A check that trusts nobody")
    if not e.checks:
        yield Text("Not possible: what is no finite number cannot be moved a little.")
        return
    yield Text("The element with the largest gradient of each parameter, moved up and down a little in double:")
    rows = [[name, f"{g:.6g}", f"{slope:.6g}", f"{error:+.1e}"] for name, g, slope, error in e.checks]
    yield Table(["element", "gradient", "slope", "relative error"], rows, ["element", "total", "", ""])
    yield Text("To see one element's gradient term by term: bp.explain(w, at=(k, j)).")
