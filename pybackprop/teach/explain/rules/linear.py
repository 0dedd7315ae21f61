"""The operands of a layer: x @ w + b, as lin, as @ and as +."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop import ops
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.ops import reference
from pybackprop.teach.explain.rules.rule import Marks, Path, Rule, Words, rule
from pybackprop.teach.render.formula import Name, Part
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import Index, among, element, every, shape, upto
from pybackprop.teach.trace.operation import Operation


def column(shape: Index, j: int) -> Array:
    """The indices of column j of a matrix."""
    n = shape[0]
    return np.stack([np.arange(n), np.full(n, j)], 1)


def row(shape: Index, i: int) -> Array:
    """The indices of row i of a matrix."""
    h = shape[1]
    return np.stack([np.full(h, i), np.arange(h)], 1)


class _Product(Rule):
    """A factor of x @ w."""

    symbol = "u"

    def forward(self, op: Operation, names: list[str]) -> str:
        return " + ".join([" @ ".join(names[:2]), *names[2:]])


@rule(ops.LIN, "w")
@rule(ops.MATMUL, "w")
class Weight(_Product):
    """w[k,j] moves column j, row i by x[i,k]."""

    letter = counted = "i"
    cut = True

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        return column(op.output.shape, at[1]), op.inputs[0]._array[:, at[0]]

    def add(self, path: Path, local: Array, upstream: Array) -> Any:
        return reference.linear_backward_w(local[:, None], upstream[:, None], path.started(1, 1))[0, 0]

    def words(self, path: Path, network: Network) -> Words:
        x, w, *bias = path.operation.inputs
        z = path.operation.output
        X, W, Z = map(network.name, (x, w, z))
        k, j = path.at
        me, plus = element(W, path.at), f" + {element(network.name(bias[0]), (j,))}" if bias else ""
        return Words(
            Z,
            f"{self.used(path.operation, me, network)} In {Z} it moves column {j}, {every('row', len(path))}, and "
            f"nothing else: {Z}[i,{j}] for {upto('i', len(path))}.",
            f"{Z}[i,{j}] = {among(f'{X}[i,{k}] {me}', k, w.shape[0])}{plus}: column {j}, because {me} is in the sum of "
            f"{Z}[i,j] only for j = {j}; {every('row', len(path))}, because each row of {X} is multiplied by {W}.",
            f"Its factor there is {X}[i,{k}]: {Z}[i,{j}] changes by {X}[i,{k}] per unit change of {me}.",
            f"{Z}[i,{j}]",
            f"{X}[i,{k}]",
            f"{Z}.g[i,{j}]",
            (
                f"The sum runs down column {k} of {X} and column {j} of {Z}.g, side by side. For any element:",
                f"  {path.gradient(W)}[k,j] = Σ_i {X}[i,k] {Z}.g[i,j]",
                "A matrix product pairs a row of the first with a column of the second: the index summed over is the "
                f"inner one, last in the first and first in the second. Here it is i. In {Z}.g[i,j] it comes first, "
                f"as it should, but in {X}[i,k] it comes first too, and should be last. So {X} is the one to "
                "transpose:",
                f"  {path.gradient(W)} = {X}.T @ {Z}.g        {turned(x)} @ {shape(z)} -> {shape(w)}",
                f"Row {k} of {X}.T times column {j} of {Z}.g is {path.this_element}; all rows times all columns give "
                f"all elements. ({Z}.g @ {X}.T {_runs(x, z)}: it adds along a row of {Z}.g, but {me} moves a column.)",
            ),
        )

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        return f"{network.name(op.inputs[0])}.T @ {network.name(op.output)}.g"

    def index(self, path: Path) -> tuple[str, ...]:
        return "i", str(path.at[1])

    def factor(self, path: Path, network: Network) -> list[Part]:
        return [Name(network.name(path.operation.inputs[0]), ("i", str(path.at[0]))), "·"]

    def whole(self, op: Operation, slot: int, network: Network) -> list[Part]:
        return [Name(network.name(op.inputs[0]), transposed=True), "@", Name(network.name(op.output), g=True)]

    def marks(self, path: Path) -> Marks:
        return Marks((None, path.at[1]), (0, (None, path.at[0])), before=True)


def turned(array: Tensor) -> str:
    """The shape of a matrix's transpose."""
    return f"({array.shape[1]},{array.shape[0]})"


def _runs(x: Tensor, z: Tensor) -> str:
    """Whether z.g @ x.T is possible."""
    if z.shape[1] == x.shape[0]:
        return f"runs here, too, {shape(z)} @ {turned(x)}, and is something else"
    return f"does not run, {shape(z)} @ {turned(x)}, and where the sizes are equal it is something else"


@rule(ops.LIN, "x")
@rule(ops.MATMUL, "x")
class Input(_Product):
    """x[i,k] moves row i, column j by w[k,j]."""

    letter = counted = "j"

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        return row(op.output.shape, at[0]), op.inputs[1]._array[at[1]]

    def add(self, path: Path, local: Array, upstream: Array) -> Any:
        return reference.linear_backward_x(upstream[None], local[None], path.started(1, 1))[0, 0]

    def words(self, path: Path, network: Network) -> Words:
        x, w, *bias = path.operation.inputs
        z = path.operation.output
        X, W, Z = map(network.name, (x, w, z))
        i, k = path.at
        me, plus = element(X, path.at), f" + {network.name(bias[0])}[j]" if bias else ""
        return Words(
            Z,
            f"{self.used(path.operation, me, network)} In {Z} it moves row {i}, {every('column', len(path))}, and "
            f"nothing else: {Z}[{i},j] for {upto('j', len(path))}.",
            f"{Z}[{i},j] = {among(f'{me} {W}[{k},j]', k, w.shape[0])}{plus}: row {i}, because a row of a product is "
            f"computed from the same row of its first factor, {X}, and no other row of it; "
            f"{every('column', len(path))}, because that row is multiplied by each column of {W}.",
            f"Its factor there is {W}[{k},j]: {Z}[{i},j] changes by {W}[{k},j] per unit change of {me}.",
            f"{Z}[{i},j]",
            f"{W}[{k},j]",
            f"{Z}.g[{i},j]",
            (
                f"The sum runs along row {i} of {Z}.g and row {k} of {W}, side by side. For any element:",
                f"  {path.gradient(X)}[i,k] = Σ_j {Z}.g[i,j] {W}[k,j]",
                "A matrix product pairs a row of the first with a column of the second: the index summed over is the "
                f"inner one, last in the first and first in the second. Here it is j. In {Z}.g[i,j] it comes last, as "
                f"it should, but in {W}[k,j] it comes last too, and should be first. So {W} is the one to transpose:",
                f"  {path.gradient(X)} = {Z}.g @ {W}.T        {shape(z)} @ {turned(w)} -> {shape(x)}",
                f"Row {i} of {Z}.g times column {k} of {W}.T is {path.this_element}; all rows times all columns give "
                "all elements.",
            ),
        )

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        return f"{network.name(op.output)}.g @ {network.name(op.inputs[1])}.T"

    def index(self, path: Path) -> tuple[str, ...]:
        return str(path.at[0]), "j"

    def factor(self, path: Path, network: Network) -> list[Part]:
        return [Name(network.name(path.operation.inputs[1]), (str(path.at[1]), "j")), "·"]

    def whole(self, op: Operation, slot: int, network: Network) -> list[Part]:
        return [Name(network.name(op.output), g=True), "@", Name(network.name(op.inputs[1]), transposed=True)]

    def marks(self, path: Path) -> Marks:
        return Marks((path.at[0], None), (1, (path.at[1], None)))


class _Summand(Rule):
    """An operand of +."""

    symbol = "u"

    def forward(self, op: Operation, names: list[str]) -> str:
        return " + ".join([*names, *(f"{number:g}" for number in op.params.values())])


@rule(ops.LIN, "b")
@rule(ops.ADD)
class Bias(_Summand):
    """b[j] moves column j by 1 in every row."""

    letter = counted = "i"
    cut = True

    def fits(self, op: Operation, slot: int) -> bool:
        given, out = op.inputs[slot], op.output
        return given.ndim == 1 and out.ndim == 2 and given.shape == out.shape[1:]

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        return column(op.output.shape, at[0]), np.ones(op.output.shape[0])

    def add(self, path: Path, local: Array, upstream: Array) -> Any:
        return reference.linear_backward_b(upstream[:, None], path.started(1))[0]

    def words(self, path: Path, network: Network) -> Words:
        z, b = path.operation.output, path.operation.inputs[path.slot]
        B, Z = network.name(b), network.name(z)
        (j,) = path.at
        me, n = element(B, path.at), len(path)
        rows = f"all {n} rows. It was broadcast, that is, added to every row" if n != 1 else "the only row: it is added"
        return Words(
            Z,
            f"{self.used(path.operation, me, network)} In {Z} it moves column {j}, {every('row', n)}, and nothing "
            f"else: {Z}[i,{j}] for {upto('i', n)}.",
            f"{Z}[i,{j}] = … + {me}: there is one {me} for {rows} {'of' if n != 1 else 'to'} column {j}.",
            f"Nothing multiplies it: {Z}[i,{j}] changes by 1 per unit change of {me}.",
            f"{Z}[i,{j}]",
            "1",
            f"{Z}.g[i,{j}]",
            (
                f"All factors are 1, so this is the sum of column {j} of {Z}.g over the rows. For any element:",
                f"  {path.gradient(B)}[j] = Σ_i {Z}.g[i,j]",
                f"What was broadcast over the rows is summed over the rows, axis 0, so {B}.g has the shape of {B}:",
                f"  {path.gradient(B)} = {Z}.g.sum(0)        {shape(z)} -> {shape(b)}",
            ),
        )

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        return f"{network.name(op.output)}.g.sum(0)"

    def index(self, path: Path) -> tuple[str, ...]:
        return "i", str(path.at[0])

    def whole(self, op: Operation, slot: int, network: Network) -> list[Part]:
        return [Name(f"{network.name(op.output)}.g.sum(0)")]

    def marks(self, path: Path) -> Marks:
        return Marks((None, path.at[0]))
