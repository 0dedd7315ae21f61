"""The whole chain, from the loss back to the data: bp.explain(loss)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pybackprop.teach.explain import chain_text
from pybackprop.teach.explain.chain_facts import backward_steps, jacobians, largest_checked, shown_inputs
from pybackprop.teach.explain.explanation import Explanation
from pybackprop.teach.explain.rules import rule_for
from pybackprop.teach.explain.symbols import Symbols
from pybackprop.teach.explain.terms import Terms
from pybackprop.teach.render.document import Document
from pybackprop.teach.render.formula import Line, Name, Part
from pybackprop.teach.render.renderable import Renderable
from pybackprop.teach.trace.gradients import Walk, same


class WholeChain(Explanation):
    """An Explanation of the loss: .steps says which .g holds which product of derivatives after which call.

    terms is empty and total 1, ∂loss/∂loss; matmul lists all products of the backward pass; check is the largest
    relative error among the parameters, each checked at the element with the largest gradient.
    """

    steps: list[dict[str, Any]]
    checks: list[tuple[str, float, float, float]]

    def __init__(self, walk: Walk, notes: Sequence[str]) -> None:
        network, root = walk.network, walk.network.root
        self.walk, self.tensor, self.notes = walk, root, tuple(notes)
        self.at, self.shape, self.dtype = (0,) * root.ndim, root.shape, root.dtype
        self.name = self.loss_name = network.name(root)
        self.value, self.total = float(root._array.reshape(())), 1.0
        self.g = None if root._g is None else float(root._g._array.reshape(()))
        self.paths, self.words, self.terms = [], [], Terms([])
        self.symbols = Symbols(network)
        self.steps = backward_steps(self.symbols)
        self.moves = f"{self.name} is one number: every .g says how much it moves."
        self.matmul = "; ".join(f"{g} = {' + '.join(shares)}" for g, shares in self._gradients().items())
        self.measured = self.held = None
        self.checks, omitted = largest_checked(walk)
        self.notes = (*self.notes, *omitted)
        self.check = max((error for *_, error in self.checks), key=abs, default=float("nan"))

    def _gradients(self) -> dict[str, list[str]]:
        """How each `.g` is computed: its shares."""
        shares: dict[str, list[str]] = {}
        for step in self.steps:
            shares.setdefault(step["g"], []).append(step["computed as"])
        return shares

    @property
    def agrees(self) -> bool:
        """Whether every parameter's .g equals this chain's, bit for bit."""
        parameters = [leaf for leaf in self.walk.network.leaves() if leaf.requires_g]
        return all(leaf._g is not None and same(leaf._g._array, self.walk.of(leaf)) for leaf in parameters)

    def _repr_html_(self) -> str:
        """The text: the page shows one element at a time, and .page() begins with the largest gradient."""
        return Renderable._repr_html_(self)

    def _repr_mimebundle_(self, **options: Any) -> None:
        """Nothing: the other forms are shown."""

    def document(self) -> Document:
        """The text, in four parts: forward, backward, the Jacobian that is never built, the check."""
        heading = f"The whole chain: from {self.name} = {self.value:.6g} back to the first element"
        return chain_text.document(heading, self.notes, self.symbols, self.steps, self.checks)

    def formulas(self) -> Sequence[Line]:
        """A line for each `.g`: the product of derivatives that it holds, and how it is computed."""
        network = self.walk.network
        lines: dict[int, list[Part]] = {}
        for op in reversed(network.operations):
            for slot in shown_inputs(op):
                given = op.inputs[slot]
                whole = rule_for(op, slot).whole(op, slot, network)
                if whole and id(given) in lines:
                    lines[id(given)] += ["+", *whole]
                elif whole:
                    lines[id(given)] = [
                        *self.symbols.parts(op, given),
                        "=",
                        Name(network.name(given), g=True),
                        "=",
                        *whole,
                    ]
        return list(lines.values())

    def to_dict(self) -> dict[str, Any]:
        """Steps and checks as plain numbers and strings."""
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
