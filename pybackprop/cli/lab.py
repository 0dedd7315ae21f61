"""`pybackprop lab`: a command of its own for each experiment."""

from __future__ import annotations

from typing import Any

from pybackprop.cli import lab_counters, lab_ladder, lab_machine, lab_roofline, lab_sweep, lab_try

PARTS: tuple[Any, ...] = (
    lab_try,
    lab_ladder,
    lab_machine,
    lab_roofline,
    lab_sweep,
    lab_counters,
)  # modules, each with add_parser(commands)


def add_parser(commands: Any) -> None:
    """Adds `lab` to the command line, with a subcommand for each of PARTS."""
    lab = commands.add_parser(
        "lab",
        description="Experiments with kernels and the machine: 'pybackprop lab COMMAND --help' says more of each.",
    )
    parts = lab.add_subparsers(title="experiments", required=True, metavar="COMMAND")
    for part in PARTS:
        part.add_parser(parts)
