"""A rule: everything that is said about one operand of an operation. The operations themselves do not know of rules.

    @rule(ops.LIN, "w")
    class Weight(Rule): ...

A rule says which elements move when one element of the operand moves, and by how much, and how the definition adds the
terms; it has the words, the formulas, and what a heat map marks. An operation without a rule is explained by measuring
(see measured.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.ops import Op
from pybackprop.teach.render.formula import Name, Part, Partial, Sum
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import Index
from pybackprop.teach.trace.operation import Operation
from pybackprop.teach.trace.steps import bias_added


@dataclass(frozen=True)
class Path:
    """One way from an element to the loss: the element is in input `slot` of an operation and moves its output.

    moved     the index of each moved element in the output, one row each (terms, dimensions)
    local     ∂ moved / ∂ element, one number each
    upstream  ∂ loss / ∂ moved, the output's gradient there
    start     what earlier paths left in the gradient, to which this one adds; None for the first
    number    which of several paths it is, from 1; 0 if it is the only one
    """

    operation: Operation
    slot: int
    at: Index
    rule: Rule
    moved: Array
    local: Array
    upstream: Array
    start: float | None
    number: int = 0

    def __len__(self) -> int:
        return len(self.local)

    @property
    def products(self) -> Array:
        """The terms in double: exact where the numbers are float32."""
        with np.errstate(all="ignore"):
            return self.rule.products(self.local.astype(np.float64), self.upstream.astype(np.float64))

    def added(self, count: int | None = None) -> float:
        """The sum of the first `count` terms as the definition adds them, on top of start."""
        few = slice(None, count)
        return float(self.rule.add(self, self.local[few], self.upstream[few]))

    @property
    def share(self) -> float:
        """The sum of this path's terms alone, in double."""
        with np.errstate(all="ignore"):
            return float(self.products.sum())

    def gradient(self, name: str) -> str:
        """The gradient that this path gives all elements of the tensor of this name, in formulas."""
        return f"share {self.number} of {name}.g" if self.number else f"{name}.g"

    @property
    def this_element(self) -> str:
        """What its terms add up to, in texts."""
        return "this path's share of the element" if self.number else "this element"

    def started(self, *shape: int) -> Array | None:
        """What earlier paths left, as an array of this shape; None on the first path."""
        return None if self.start is None else np.full(shape, self.start, self.local.dtype)


@dataclass(frozen=True)
class Words:
    """What is said about one path.

    moves, why, by  which values move, why those, and by how much; "and nothing else" means in this result
    moved, local, upstream  with this element's own indices, the summed one as a letter
    everything      from this element to all of them, one string per paragraph; formulas begin with two spaces
    """

    through: str
    moves: str
    why: str
    by: str
    moved: str
    local: str
    upstream: str
    everything: tuple[str, ...]


Line = tuple["int | None", "int | None"]  # row and column; None: all of that axis


@dataclass(frozen=True)
class Marks:
    """What a heat map frames: the elements that move, and those that they are multiplied by.

    moved   in the output and its gradient; None: the output is one number and is not drawn
    factor  the input they are multiplied by, and where in it
    before  whether the factor is drawn before the element's own matrix
    """

    moved: Line | None
    factor: tuple[int, Line] | None = None
    before: bool = False


class Rule:
    """The default: one element moves its own element of the result, by 1."""

    letter = ""  # the index that is summed over
    nothing = "There are no rows here: nothing moves, and the sum over nothing is 0."  # if there are no terms
    counted = "term"  # what partial sums are counted by
    order = "in the definition's order, each with one rounding"  # in which the terms are added
    symbol = "y"  # of the operation's result in the whole chain: u for a layer, v for an activation
    measured = False  # whether the local derivatives were measured
    cut = False  # whether a long sum is cut into segments
    filled = 0  # when a backward fills the operand's gradient: lower numbers first, then in the order of operands

    def fits(self, op: Operation, slot: int) -> bool:
        """Whether this rule holds for the operation's shapes."""
        return True

    # numbers

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        """The indices of what moves (terms, dimensions), and the local derivatives."""
        return np.array([at], dtype=int).reshape(1, len(at)), np.ones(1)

    def products(self, local: Array, upstream: Array) -> Array:
        """The terms."""
        return np.asarray(local * upstream)

    def add(self, path: Path, local: Array, upstream: Array) -> Any:
        """The definition's sum: one product, rounded once, after what earlier paths left."""
        if not len(local):
            return 0 if path.start is None else path.start
        with np.errstate(all="ignore"):
            product = self.product(local, upstream)
            return product if path.start is None else local.dtype.type(path.start) + product

    def product(self, local: Array, upstream: Array) -> Any:
        """The one term, in the network's own dtype."""
        return local[0] * upstream[0]

    # words

    def words(self, path: Path, network: Network) -> Words:
        """What is said about a path."""
        raise NotImplementedError

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        """The whole gradient of the operand as code: x.T @ l1.g."""
        return f"{network.name(op.output)}.g"

    def forward(self, op: Operation, names: list[str]) -> str:
        """The operation written with these operand names: x @ w + b. The rule of the first operand writes it."""
        return f"{op.function}({', '.join(names)})"

    def used(self, op: Operation, me: str, network: Network) -> str:
        """Where the element is used: the beginning of what is said about a path."""
        made = rule_of(op).forward(op, [network.name(t) for t in op.inputs])
        if (bias := bias_added(network.operations, op)) is None:
            return f"{me} is used in {network.name(op.output)} = {made}."
        names = [made if t is op.output else network.name(t) for t in bias.inputs]
        return f"{me} is used in {made}, the product in {network.name(bias.output)} = {' + '.join(names)}."

    # formulas

    def index(self, path: Path) -> tuple[str, ...]:
        """The index of the moved element, with the letter that is summed over."""
        return tuple(map(str, path.at))

    def sum(self, path: Path) -> list[Part]:
        """The summation sign, if there is a sum."""
        return [Sum(self.letter, len(path) - 1)] if self.letter else []

    def chain(self, path: Path, network: Network, loss: Name, me: Name) -> list[Part]:
        """The chain rule for this path."""
        moved = Name(network.name(path.operation.output), self.index(path))
        return [*self.sum(path), Partial(moved, me), "·", Partial(loss, moved)]

    def known(self, path: Path, network: Network) -> list[Part]:
        """The same with the local derivatives put in."""
        return [*self.sum(path), *self.factor(path, network), self.upstream(path, network)]

    def factor(self, path: Path, network: Network) -> list[Part]:
        """The local derivative and a multiplication sign; nothing where it is 1."""
        return []

    def upstream(self, path: Path, network: Network) -> Name:
        """The gradient that arrives."""
        return Name(network.name(path.operation.output), self.index(path), g=True)

    def whole(self, op: Operation, slot: int, network: Network) -> list[Part]:
        """The gradient of all elements at once; empty where it is not known as a formula."""
        return [Name(network.name(op.output), g=True)]

    # heat map

    def marks(self, path: Path) -> Marks:
        """What a heat map frames."""
        return Marks(line(path.at))


def line(at: Index) -> Line:
    """Row and column of an index; a vector is drawn as one row."""
    if len(at) == 1:
        return 0, at[0]
    return (at[0], at[1]) if len(at) == 2 else (None, None)


def gradient_formula(op: Operation, slot: int, network: Network) -> str:
    """The operation's own formula for an input's gradient, with this network's names and numbers put in."""
    return with_names(op, op.op.gradients[slot], network.name(op.output), [*map(network.name, op.inputs)], str)


def with_names(
    op: Operation, text: str, result: str, operands: Sequence[str], number: Callable[[Any], str] = "{:g}".format
) -> str:
    """A formula of an operation's record with names for its result and operands, and its arguments as number writes."""
    names = {name: number(value) for name, value in op.params.items()} | {"out": result}
    names |= dict(zip(op.op.operands, operands, strict=False))
    if "number" in names and len(operands) < len(op.op.operands):  # t * 2: the second operand is a number
        names[op.op.operands[-1]] = names["number"]
    return re.sub(r"(?<![\w.])[^\W\d]\w*", lambda word: names.get(word[0], word[0]), text)


# ---- the registry ----

_RULES: dict[tuple[Any, str], list[Rule]] = {}  # by operation and operand
AnyRule = TypeVar("AnyRule", bound=type[Rule])


def rule(op: Op, *operands: str) -> Callable[[AnyRule], AnyRule]:
    """Registers a rule for some operands of an operation (by default all). Of several, the first that fits is used."""

    def register(kind: AnyRule) -> AnyRule:
        for operand in operands or op.operands:
            _RULES.setdefault((op, operand), []).append(kind())
        return kind

    return register


def rule_of(op: Operation) -> Rule:
    """The rule that writes an operation as a formula."""
    return registered(op, 0) or Rule()


def registered(op: Operation, slot: int) -> Rule | None:
    """The rule for one input of an operation; None if there is none."""
    operand = op.op.operands[slot] if slot < len(op.op.operands) else ""
    return next((rule for rule in _RULES.get((op.op, operand), ()) if rule.fits(op, slot)), None)
