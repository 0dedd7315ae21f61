"""`pybackprop memory`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pybackprop.cli.arguments import sizes, whole_number
from pybackprop.core import available_memory, plotting
from pybackprop.core.units import bytes_text, parse_bytes
from pybackprop.nn.layers import ACTIVATIONS, LOSSES
from pybackprop.nn.optim import SGD, Optimizer, optimizer_of
from pybackprop.train.contents import OPTIMIZER_NAMES

if TYPE_CHECKING:
    from pybackprop.memory.views import Ledger
    from pybackprop.nn.network import Network

LAYERS, BATCH = (784, 50, 1), 50_000  # the lesson's
MOMENTUM = 0.9


def add_parser(commands: Any) -> None:
    """Adds `memory` to the command line."""
    memory = commands.add_parser(
        "memory",
        description="The peak memory of one step, forward and backward, beyond data, parameters and their gradients: "
        "predicted from the sizes, and with --measure also measured.",
    )
    add = memory.add_argument
    add("--layers", type=sizes, default=LAYERS, metavar="N,N,N", help="inputs, hidden, outputs (784,50,1)")
    add("--batch", type=whole_number, default=BATCH, metavar="N", help=f"rows in a step ({BATCH})")
    add("--activation", choices=[*ACTIVATIONS], default="relu", help="between the layers (relu)")
    add("--loss", choices=[*LOSSES], default="mse", help="at the end (mse); the targets are labels if it takes those")
    add("--optimizer", choices=[*OPTIMIZER_NAMES], help="count what it keeps of the parameters, too")
    add("--momentum", type=float, metavar="MU", help="momentum of --optimizer sgd (0.9)")
    add("--dtype", choices=["float32", "float64"], default="float32", help="of data and parameters (float32)")
    add("--memory", metavar="SIZE", help="find the largest batch for so much memory, e.g. 2GB (what is available)")
    add("--measure", action="store_true", help="also run each scheme that fits in memory, in its own process")
    add("--scheme", "--way", dest="scheme", metavar="NAME", help="show every buffer of one scheme: see --list")
    add("--list", action="store_true", help="list the schemes: the ways to compute a step")
    add("--tour", action="store_true", help="a small network step by step: what must be kept, what can be freed")
    add("--plot", type=Path, metavar="FILE.png", help="draw the peaks of all schemes, or the buffers of --scheme")
    add("--json", action="store_true", help="print one JSON object instead of tables")
    memory.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    if options.tour:
        from pybackprop.teach.learn import memory_tour

        print(json.dumps(memory_tour.to_dict()) if options.json else memory_tour.text())
        return 0
    if options.list:
        return _list()
    if options.plot is not None:
        plotting.check(options.plot)
    return _all(options) if options.scheme is None else _one(options)


def _list() -> int:
    from pybackprop.memory import schemes

    for scheme in schemes.SCHEMES:
        print(f"{scheme.name:<14} {scheme.title}{': ' * bool(scheme.note)}{scheme.note}")
    return 0


def _one(options: argparse.Namespace) -> int:
    """Every buffer of one scheme."""
    from pybackprop.memory import schemes

    ledger = schemes.named(options.scheme).ledger(_network(options), options.batch, _optimizer(options))
    if options.json:
        print(ledger.to_json())
    else:
        ledger.show()
    if options.plot is not None:
        ledger.plot(options.plot)
    return 0


def _all(options: argparse.Namespace) -> int:
    """The schemes side by side."""
    from pybackprop.memory import schemes

    layers = _network(options)
    limit = available_memory.available() if options.memory is None else parse_bytes(options.memory)
    ledgers = schemes.all_of(layers, options.batch, _optimizer(options))
    report = _report(options, layers, ledgers, limit)
    if options.json:
        print(json.dumps(report))
    else:
        from pybackprop.memory import table

        fits = "fits" if limit is None else f"rows in {bytes_text(limit)}"
        title = f"one step, {options.batch:,} rows of {layers}: peak memory beyond what is held"
        table.show_schemes(title, report["ways"], fits, _notes(report))
    if options.plot is not None:
        from pybackprop.memory import plot

        plot.compare(options.plot, ledgers, report["ways"])
    return 0


def _network(options: argparse.Namespace) -> Network:
    from pybackprop.nn import network

    activation, loss = ACTIVATIONS[options.activation](), LOSSES[options.loss].op
    return network.of_sizes(options.layers, options.dtype, activation, loss)


def _optimizer(options: argparse.Namespace) -> Optimizer | None:
    if options.optimizer is None or OPTIMIZER_NAMES[options.optimizer] != SGD.__name__:
        if options.momentum is not None:
            raise ValueError("--momentum: goes with --optimizer sgd; leave it out")
        return None if options.optimizer is None else optimizer_of(OPTIMIZER_NAMES[options.optimizer], None, {})
    return SGD(lr=0, momentum=MOMENTUM if options.momentum is None else options.momentum)


def _report(
    options: argparse.Namespace, network: Network, ledgers: dict[str, Ledger], limit: int | None
) -> dict[str, Any]:
    from pybackprop.memory import fits

    largest = {} if limit is None else fits.of_network(network, limit, _optimizer(options))
    rows = [{**_row(options, network, name, ledger), "fits": largest.get(name, 0)} for name, ledger in ledgers.items()]
    first = next(iter(ledgers.values()))
    held = {kind: first.totals[kind] for kind in ("data", "parameters")}
    held["gradients"] = network.parameter_bytes
    if options.optimizer is not None:
        held["momentum"] = first.totals["momentum"]
    return {
        "layers": network.widths,
        "batch": options.batch,
        "dtype": network.dtype.name,
        "activation": options.activation,
        "loss": options.loss,
        "optimizer": options.optimizer,
        "held": held,
        "memory": limit,
        "ways": rows,
    }


def _row(options: argparse.Namespace, network: Network, name: str, ledger: Ledger) -> dict[str, Any]:
    """One scheme's numbers; with --measure, its program is run."""
    from pybackprop.bench.memory import measure
    from pybackprop.memory import schemes

    scheme, largest = schemes.named(name), ledger.at_peak[0]
    measured = measure.measure(scheme, network, options.batch) if options.measure else measure.Measured(None)
    return {
        "name": name,
        "title": scheme.title,
        "predicted": ledger.peak,
        "measured": measured.peak,
        "why_not": measured.why,
        "largest_buffer": f"{largest.name}, {bytes_text(largest.nbytes)}",
        "largest_buffer_bytes": largest.nbytes,
        "note": scheme.note,
    }


def _notes(report: dict[str, Any]) -> list[str]:
    held = ", ".join(f"{name} {bytes_text(count)}" for name, count in report["held"].items())
    notes = [f"held before and after: {held}; schemes that compute x.g hold {bytes_text(_x_bytes(report))} more"]
    reasons = {row["title"]: row["why_not"] for row in report["ways"] if row["why_not"]}
    return [*notes, *(f"{title}: not measured, {reason}" for title, reason in reasons.items())]


def _x_bytes(report: dict[str, Any]) -> int:
    size = 8 if report["dtype"] == "float64" else 4
    return int(report["layers"][0]) * int(report["batch"]) * size
