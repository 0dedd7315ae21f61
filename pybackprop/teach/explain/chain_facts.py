"""The numbers behind the whole chain: which .g holds which product of derivatives, and the Jacobians' sizes.

The notation: u = x @ w + b, v = relu(u), z = mse(v), and dz/dx = dz/dv · dv/du · du/dx, one factor for each step.
With several layers the letters are numbered: u1, v1, u2, z.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pybackprop.teach.explain.left_out import left_out
from pybackprop.teach.explain.paths import backward_order
from pybackprop.teach.explain.rules import rule_for
from pybackprop.teach.explain.symbols import Symbols
from pybackprop.teach.trace.gradients import Walk, call_by_hand, gets_gradient, largest
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import element
from pybackprop.teach.trace.off_tape import program_of
from pybackprop.teach.trace.operation import Operation
from pybackprop.teach.trace.replay import in_double
from pybackprop.teach.trace.slope import measure


def backward_steps(symbols: Symbols) -> list[dict[str, Any]]:
    """What each backward call writes: name, shape, how it is computed, which product of derivatives it holds."""
    return [step for op in reversed(symbols.network.operations) for step in _steps(op, symbols)]


def shown_inputs(op: Operation) -> list[int]:
    """The inputs whose gradients are shown, in the backward's order: all but targets without requires_g."""
    return [slot for slot in backward_order(op) if op.inputs[slot].requires_g or not op.is_target(slot)]


def _steps(op: Operation, symbols: Symbols) -> Iterator[dict[str, Any]]:
    network = symbols.network
    for slot in shown_inputs(op):
        given = op.inputs[slot]
        yield {
            "after": call_by_hand(op, network) or f"the backward of '{op.name}'",
            "by hand": bool(call_by_hand(op, network)),
            "g": f"{network.name(given)}.g",
            "shape": given.shape,
            "computed as": rule_for(op, slot).computed(op, slot, network),
            "holds": symbols.holds(op, given),
            "shares": len(network.uses(given)),
            "wanted": gets_gradient(given),
        }


def largest_checked(walk: Walk) -> tuple[list[tuple[str, float, float, float]], list[str]]:
    """(element, gradient, slope, relative error) for the largest gradient of each parameter; notes on what it omits."""
    network = walk.network
    checks: list[tuple[str, float, float, float]] = []
    notes: list[str] = []
    values = in_double(network) if network.is_finite() else {}
    for leaf in network.leaves():
        if leaf.requires_g and leaf.size and walk.reaches(leaf):
            program = program_of(network, leaf)
            name, at = network.name(leaf), largest(walk.of(leaf))
            notes += [left_out(constant, network, name).note for constant in program.constants]
            if values:
                ran = program.ran or network
                gradient = float(walk.of(leaf)[at])
                check = measure(ran, leaf, at, gradient, values if ran is network else in_double(ran))
                checks.append((element(name, at), gradient, check.slope, check.error))
    return checks, notes


def jacobians(network: Network) -> list[dict[str, Any]]:
    """For each product: the size of ∂u/∂x, (n·h) × (n·m), and what is built instead, x.g (n,m)."""
    products = [op for op in network if op.is_product]
    return [_jacobian_of(op, network) for op in products]


def _jacobian_of(op: Operation, network: Network) -> dict[str, Any]:
    (n, m), h = op.inputs[0].shape, op.inputs[1].shape[1]
    return jacobian(network.name(op.output), network.name(op.inputs[0]), n, m, h, op.output.dtype.itemsize)


def jacobian(out: str, inp: str, n: int, m: int, h: int, itemsize: int) -> dict[str, Any]:
    """rows: n·h, columns: n·m; not_zero counts the pairs in the same row i, since an input moves only its own row."""
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
