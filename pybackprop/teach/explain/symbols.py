"""Symbols: u for what a layer computes, v for what relu passes on, z for the mse, numbered if there are several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pybackprop.autograd.tensor import Tensor
from pybackprop.teach.explain.rules import rule_for
from pybackprop.teach.render.formula import Name, Part, Partial
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import shape
from pybackprop.teach.trace.operation import Operation

WIDTH = 40  # of a product of derivatives in a table


def symbol(op: Operation) -> str:
    """The letter for an operation's result: u, v, z, or y for anything else."""
    return "z" if op.is_loss else rule_for(op, 0).symbol


class Symbols:
    """The letters of one network's results, and the products of derivatives written with them."""

    def __init__(self, network: Network) -> None:
        self.network = network
        letters = [symbol(op) for op in network]
        in_all, so_far = Counter(letters), Counter[str]()
        self.symbols: dict[int, str] = {}
        for op, letter in zip(network, letters, strict=True):
            so_far[letter] += 1
            self.symbols[id(op.output)] = letter if in_all[letter] == 1 else f"{letter}{so_far[letter]}"
        self.factors: dict[int, list[str]] = {id(network.root): []}
        for op in reversed(network.operations):
            for given in op.inputs:
                self.factors.setdefault(id(given), self._factors(op, given))

    def functions(self, letter: str) -> str:
        """The functions whose results have this letter: "relu", or "relu or leaky_relu"."""
        return " or ".join(dict.fromkeys(op.function for op in self.network if symbol(op) == letter))

    def of(self, tensor: Tensor) -> str:
        """A result's symbol, or the name of a tensor that no operation computed."""
        return self.symbols.get(id(tensor), self.network.name(tensor))

    def factor(self, op: Operation, given: Tensor) -> str:
        """∂u2/∂v1: the factor of one step."""
        return f"∂{self.of(op.output)}/∂{self.of(given)}"

    def holds(self, op: Operation, given: Tensor, width: int = WIDTH) -> str:
        """∂z/∂u2 · ∂u2/∂v1 · …: the factors from the loss to given, through op; the middle is left out if too long.

        What is used several times has the share through op, and "+ …" for the others.
        """
        factors = [*self.factors.get(id(op.output), []), self.factor(op, given)]
        more = " + …" if len(self.network.uses(given)) > 1 else ""
        product = " · ".join(factors)
        return (product if len(product) <= width else " · ".join([factors[0], "…", *factors[-2:]])) + more

    def parts(self, op: Operation, given: Tensor) -> list[Part]:
        """The same product for LaTeX and MathML."""
        parts: list[Part] = []
        for factor in self._factors(op, given):
            above, below = factor.removeprefix("∂").split("/∂")
            parts += [*(["·"] if parts else []), Partial(Name(above), Name(below))]
        return parts

    def _factors(self, op: Operation, given: Tensor) -> list[str]:
        """The product for given; of what is used several times, one total derivative: a product would be a share."""
        if len(self.network.uses(given)) > 1:
            return [f"∂{self.of(self.network.root)}/∂{self.of(given)}"]
        return [*self.factors.get(id(op.output), []), self.factor(op, given)]

    def forward(self) -> Iterator[tuple[str, str, str, str]]:
        """(symbol, formula, name, shape) of every step."""
        for op in self.network:
            formula = rule_for(op, 0).forward(op, [self.of(t) for t in op.inputs])
            yield self.of(op.output), formula, self.network.name(op.output), shape(op.output)
