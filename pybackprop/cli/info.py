"""`pybackprop info`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pybackprop.core import settings


def add_parser(commands: Any) -> None:
    """Adds `info` to the command line."""
    info = commands.add_parser("info")
    info.add_argument("--json", action="store_true", help="print one JSON object")
    info.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    info = settings.info()
    if options.json:
        print(json.dumps(info))
    else:
        from pybackprop.cli import output

        output.table("pybackprop", {name: _text(value) for name, value in info.items()})
    return 0


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)
