"""`pybackprop memory`: its options, and what it does with them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pybackprop.core import available_memory
from pybackprop.core.units import bytes_text, parse_bytes

LAYERS, BATCH = (784, 50, 1), 50_000  # the lesson's


def add_parser(commands: Any, whole: Callable[[str], int], sizes: Callable[[str], tuple[int, ...]]) -> None:
    """whole: reads a whole number from 1; sizes: reads several."""
    memory = commands.add_parser(
        "memory",
        help="what a step takes, in every way to compute it, and what fits",
        description="Bytes that one step, forward and backward, needs at its worst moment, beyond data, parameters and "
        "their gradients: predicted from the sizes, and with --measure also measured.",
    )
    given = memory.add_argument
    given("--layers", type=sizes, default=LAYERS, metavar="N,N,N", help="inputs, hidden, outputs (784,50,1)")
    given("--batch", type=whole, default=BATCH, metavar="N", help=f"rows in a step ({BATCH})")
    given("--dtype", choices=["float32", "float64"], default="float32", help="of data and parameters (float32)")
    given("--memory", default=None, metavar="SIZE", help="'2GB': the largest batch that fits in it (what is available)")
    given("--measure", action="store_true", help="also run each way that fits in memory, in a process of its own")
    given("--way", metavar="NAME", help="every buffer of one way: see --list")
    given("--list", action="store_true", help="the names of the ways")
    given("--tour", action="store_true", help="a small network step by step: what must be kept, what may be forgotten")
    given("--plot", type=Path, metavar="FILE.png", help="draw the buffers' lives of --way (Model), and all peaks")
    given("--json", action="store_true", help="one JSON object instead of tables")
    memory.set_defaults(command=run_memory)


def run_memory(options: argparse.Namespace) -> int:
    from pybackprop.memory import schemes

    if options.tour:
        from pybackprop.teach.learn import memory_tour

        print(json.dumps(memory_tour.to_dict()) if options.json else memory_tour.text())
        return 0
    if options.list:
        for way in schemes.WAYS:
            print(f"{way.name:<14} {way.title}{': ' * bool(way.note)}{way.note}")
        return 0
    if options.plot is not None:
        from pybackprop.core import plotting

        plotting.check(options.plot)
    if options.way is not None:
        return _one(options)
    return _all(options)


def _one(options: argparse.Namespace) -> int:
    """Every buffer of one way."""
    from pybackprop.memory import schemes
    from pybackprop.nn import network

    ledger = schemes.named(options.way).ledger(network.of_sizes(options.layers, options.dtype), options.batch)
    if options.json:
        print(ledger.to_json())
    else:
        ledger.show()
    if options.plot is not None:
        ledger.plot(options.plot)
    return 0


def _all(options: argparse.Namespace) -> int:
    """The ways side by side."""
    from pybackprop.memory import schemes, table
    from pybackprop.nn import network

    found = network.of_sizes(options.layers, options.dtype)
    room = available_memory.available() if options.memory is None else parse_bytes(options.memory)
    ledgers = schemes.all_of(found, options.batch)
    report = _report(options, found, ledgers, room)
    if options.json:
        print(json.dumps(report))
    else:
        head = "fits" if room is None else f"rows in {bytes_text(room)}"
        title = f"one step, {options.batch:,} rows of {found}: bytes at its worst moment, beyond what is held"
        table.ways(title, report["ways"], head, _notes(report))
    if options.plot is not None:
        from pybackprop.memory import plot as picture

        picture.compare(options.plot, ledgers, report["ways"])
    return 0


def _report(options: argparse.Namespace, network: Any, ledgers: Any, room: int | None) -> dict[str, Any]:
    from pybackprop.bench.memory import measure
    from pybackprop.memory import fits, schemes

    largest = {} if room is None else fits.of_network(network, room)
    rows = []
    for name, ledger in ledgers.items():
        way, top = schemes.named(name), ledger.at_peak[0]
        real = measure.measure(way, network, options.batch) if options.measure else measure.Measured(None)
        rows.append(
            {
                "name": name,
                "title": way.title,
                "predicted": ledger.peak,
                "measured": real.peak,
                "why_not": real.why,
                "largest_buffer": f"{top.name}, {bytes_text(top.nbytes)}",
                "largest_buffer_bytes": top.nbytes,
                "note": way.note,
                "fits": largest.get(name, 0),
            }
        )
    first = next(iter(ledgers.values()))
    held = {kind: first.totals[kind] for kind in ("data", "parameters")}
    held["gradients"] = network.parameter_bytes
    return {
        "layers": network.widths,
        "batch": options.batch,
        "dtype": network.dtype.name,
        "held": held,
        "memory": room,
        "ways": rows,
    }


def _notes(report: dict[str, Any]) -> list[str]:
    held = ", ".join(f"{name} {bytes_text(count)}" for name, count in report["held"].items())
    notes = [f"held before and after: {held}; ways that compute x.g hold {bytes_text(_data(report))} more"]
    titles = {row["title"]: row["why_not"] for row in report["ways"] if row["why_not"]}
    return [*notes, *(f"{title}: not measured, {why}" for title, why in titles.items())]


def _data(report: dict[str, Any]) -> int:
    size = 8 if report["dtype"] == "float64" else 4
    return int(report["layers"][0]) * int(report["batch"]) * size
