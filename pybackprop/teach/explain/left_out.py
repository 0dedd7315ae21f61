"""What is said about values that move with the element, and that a backward takes as constants."""

from __future__ import annotations

from dataclasses import dataclass

from pybackprop.autograd.origins import DEPTH
from pybackprop.autograd.tensor import COPY
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import shape
from pybackprop.teach.trace.off_tape import SHARED, Constant


@dataclass(frozen=True)
class LeftOut:
    """name: what the value is called; problem: why it cannot be computed again; empty if it can. note: a text."""

    name: str
    problem: str
    note: str


def left_out(constant: Constant, network: Network, of: str) -> LeftOut:
    """What to say about a constant that was computed from the tensor called `of`."""
    name = network.name(constant.tensor)
    if not constant.by:
        note = (
            f"Whether {name} {shape(constant.tensor)} moves with {of} is not known: more than {DEPTH} operations in a "
            "row computed it off the tape, and no more are followed. A backward takes it as a constant."
        )
        return LeftOut(name, constant.problem, note)
    note = (
        f"{name} {shape(constant.tensor)} moves with {of}, too: {_how(constant, of)} A backward takes {name} as a "
        f"constant, so {of}.g leaves out what goes through it, and so does the sum below. {_remedy(constant, of)}"
    )
    return LeftOut(name, constant.problem, note)


def _how(constant: Constant, of: str) -> str:
    if constant.by == (COPY.name,):
        return f"it is a copy of {of} (bp.tensor), which is off the tape."
    if constant.by == (SHARED.name,):
        return f"it lies in the memory of {of}, and the tape does not know."
    steps = ", then ".join(f"'{name}'" for name in constant.by)
    return f"it was computed from {of} by {steps}, off the tape."


def _remedy(constant: Constant, of: str) -> str:
    if COPY.name in constant.by:
        return "To have it counted, do without the copy, or use .clone() in its place."
    if SHARED.name in constant.by:
        return f"To have it counted, use {of} itself."
    return (
        f"It is counted if {of} wants a gradient (requires_g) before the forward pass, and each step has a derivative."
    )
