"""What a plan holds: its buffers, before it is compiled and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybackprop.core import native
from pybackprop.core.arrays import whole_lines
from pybackprop.engine import placement
from pybackprop.engine.layout import Layout
from pybackprop.engine.placement import workspace_bytes
from pybackprop.memory.buffers import Book, Buffer
from pybackprop.memory.ledger import Ledger
from pybackprop.nn.network import Network

if TYPE_CHECKING:
    from pybackprop.engine.plan import Plan


def predicted(network: Network, batch: int, strategy: str | None = None, momentum: bool = False) -> Book:
    """The buffers of `compile(model, batch=batch, strategy=strategy)` and of a step. None: the one it would choose."""
    layout = Layout(network, batch, strategy, None)
    parameters = network.parameters()
    arena = sum(whole_lines(p.size, network.dtype) for p in parameters) * network.dtype.itemsize
    book = Book(network.dtype)
    used = _hold(book, network, batch, (arena, arena, arena if momentum else 0))
    return _work(book, network, layout, used, gathered=0)


def of_plan(plan: Plan) -> Book:
    """The buffers that a plan has."""
    arena, network = plan.arena, plan.layout.network
    momentum = 0 if arena.momentum is None else arena.momentum.nbytes
    book = Book(network.dtype)
    used = _hold(book, network, plan.batch, (arena.values.nbytes, arena.gradients.nbytes, momentum))
    return _work(book, network, plan.layout, used, plan.layout.gathered.nbytes)


def ledger_of(plan: Plan) -> Ledger:
    """plan.memory()"""
    from pybackprop.memory.schemes import all_of

    arena, batch = plan.arena, plan.batch
    totals = {
        "parameters": arena.values.nbytes,
        "gradients": arena.gradients.nbytes,
        "momentum": 0 if arena.momentum is None else arena.momentum.nbytes,
        "workspace": plan.layout.nbytes(),
    }
    network = plan.layout.network
    title = f"a plan, strategy {plan.layout.strategy}: {batch:,} rows of {network}"
    book = of_plan(plan)
    return Ledger(title, book, {**totals, "total": sum(totals.values())}, lambda: all_of(network, batch))


def _hold(book: Book, network: Network, batch: int, arena: tuple[int, int, int]) -> list[Buffer]:
    """Data, and the plan's parameters, gradients and momentum, each in one piece."""
    widths, itemsize = network.widths, network.dtype.itemsize
    held = [
        book.hold("x", (batch, widths[0]), "data"),
        book.hold("targ", (batch, widths[-1]), "data"),
    ]
    for kind, nbytes in zip(("parameters", "gradients", "momentum"), arena, strict=True):
        if nbytes:
            held.append(book.hold(kind, (nbytes // itemsize,), kind, nbytes=nbytes))
    return held


def _work(book: Book, network: Network, layout: Layout, held: list[Buffer], gathered: int) -> Book:
    made = [*_arrays(book, layout), *_scratch(book, network, layout)]
    if gathered:
        made.append(book.make("a gathered batch", (gathered // book.dtype.itemsize,), "workspace"))
    book.step("compile", *made)
    for buffer in made:
        buffer.first_use = None
    book.step("step", *held, *made)
    return book


def _arrays(book: Book, layout: Layout) -> list[Buffer]:
    """Each layer's z and dz, all in one array. relu works in place. A fused pass has none."""
    if layout.strategy == "fused":
        return []
    places, size = placement.of_plan(layout.network, layout.batch, layout.strategy)
    owner = book.make("activations and their gradients", (size,), "activations")
    parts = []
    for k, (stage, (z, _, dz)) in enumerate(zip(layout.network.stages, places, strict=True), 1):
        shape = (layout.batch, stage.w.shape[1])
        name = f"l{k}" if stage.activation is None else f"l{k}, then relu(l{k})"
        parts.append(book.share(name, shape, "activations", owner))
        where = f"l{k}.g" if dz != z else f"l{k}.g (where l{k} was)"
        parts.append(book.share(where, shape, "activation gradients", owner))
    return [owner, *parts]


def _scratch(book: Book, network: Network, layout: Layout) -> list[Buffer]:
    """The workspace: in a fused pass what all threads share and what each has for itself, else packed operands."""
    nbytes = layout.workspace.nbytes or workspace_bytes(network, layout.batch, layout.strategy) or 0
    if layout.strategy != "fused":
        return [book.make("packed operands", (nbytes,), "workspace", "uint8")]
    one, two = (workspace_bytes(network, count * native.SEGMENT, "fused") or 0 for count in (1, 2))
    each = two - one
    if each <= 0 or nbytes < one:
        return [book.make("a tile of rows, sums, copies of the parameters", (nbytes,), "workspace", "uint8")]
    threads = (nbytes - one) // each + 1
    shared = book.make("copies of the parameters, for all threads", (one - each,), "workspace", "uint8")
    own = [
        book.make(f"thread {k + 1}: a tile of rows, a segment's sums", (each,), "workspace", "uint8")
        for k in range(threads)
    ]
    rest = nbytes - (one - each) - threads * each
    return [shared, *own, *([book.make("rest of the workspace", (rest,), "workspace", "uint8")] if rest else [])]
