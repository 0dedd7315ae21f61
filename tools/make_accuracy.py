"""Writes the tables of docs/accuracy.md, between its two marks: python tools/make_accuracy.py

Takes some minutes and about 2 GB. The rest of the page is written by hand.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import pybackprop as bp
from pybackprop.bench import accuracy, accuracy_functions

PAGE = Path(__file__).resolve().parent.parent / "docs" / "accuracy.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
ENGINES = ("pybackprop", "numpy", "torch")


def tables(rows: Sequence[accuracy.Row]) -> Iterator[str]:
    """A table for each dtype, in Markdown."""
    yield (
        f"{bp.info()['cpu']}; Python {platform.python_version()}; pybackprop {bp.__version__}, kernel "
        f"{bp.info()['kernel']}; numpy {version('numpy')}; torch {version('torch')}.\n"
    )
    for dtype in ("float32", "float64"):
        yield f"### {dtype}\n"
        yield "| operation | size | data | pybackprop | numpy | torch | of the bound |"
        yield "|---|---|---|---:|---:|---:|---:|"
        keys = dict.fromkeys((r.operation, r.size, r.kind) for r in rows if r.dtype == dtype)
        for key in keys:
            found = {r.engine: r for r in rows if r.dtype == dtype and (r.operation, r.size, r.kind) == key}
            cells = [f"{found[e].mean:.2g} / {found[e].worst:.2g}" for e in ENGINES]
            share = found["pybackprop"].share
            of_bound = "" if share is None else f"{100 * share:.2g} %"
            yield f"| {' | '.join(key)} | {' | '.join(cells)} | {of_bound} |"
        yield ""


def main(most: int) -> None:
    rows = []
    for dtype in ("float32", "float64"):
        for kind in accuracy.KINDS:
            rows += accuracy.rows(dtype, kind, most, ENGINES)
            print(dtype, kind, file=sys.stderr)
        rows += accuracy_functions.rows(dtype, ENGINES)
    text = PAGE.read_text("utf-8")
    head, rest = text.split(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n" + "\n".join(tables(rows)) + END + rest.split(END)[1], "utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 10**7)
