"""The report of `lab machine` for people."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from pybackprop.core.terminal import stdout_console
from pybackprop.core.units import bytes_text, three_digits
from pybackprop.lab import fitness

WIDTH = 118
GIVEN_TO = "threads"


def show(report: Mapping[str, Any], notes: Sequence[str]) -> None:
    """Tables of all that was measured, then what to know about it."""
    console = stdout_console(WIDTH)
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(report["taken"]))
    console.print(f"{report['machine']['cpu']}, measured {when} in {report['seconds']:.0f} s", markup=False)
    for table in (_peaks(report), _frequency(report), _bandwidth(report), _latency(report), _overheads(report)):
        console.print(table)
    for line in (*_caches(report), *notes):
        console.print(line, markup=False, soft_wrap=True)


def new_table(title: str, *heads: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", no_wrap=True)
    return table


def between(numbers: Mapping[str, Any]) -> str:
    """A median's interval."""
    return f"{three_digits(numbers['low'])} to {three_digits(numbers['high'])}"


def _peaks(report: Mapping[str, Any]) -> Table:
    title = "Peak of fused multiply-adds in registers, GF/s"
    table = new_table(title, "kernel", "dtype", GIVEN_TO, "best", "median", "95 % of medians", "by thread, at best")
    for row in report["peaks"]:
        threads = " + ".join(map(three_digits, row["by_thread"][:4])) + " ..." * (len(row["by_thread"]) > 4)
        numbers = (three_digits(row["most"]), three_digits(row["median"]), between(row), threads)
        table.add_row(row["kernel"], row["dtype"], str(row["threads"]), *numbers)
    return table


def _frequency(report: Mapping[str, Any]) -> Table:
    title = "Frequency, GHz, by additions that wait for each other"
    table = new_table(title, "beside vectors of", "best", "median", "95 % of medians", "multiply-adds in a cycle")
    for row in report["frequency"]:
        units = row.get("fma_per_cycle")
        unknown = "" if row["beside"] == "nothing" else "not known"
        cells = (three_digits(row["most"]), three_digits(row["median"]), between(row))
        table.add_row(row["beside"], *cells, unknown if units is None else f"{units:.2f}")
    return table


def _bandwidth(report: Mapping[str, Any]) -> Table:
    title = "Bandwidth, GB/s: median, and its 95 % interval; a copy's bytes count twice"
    table = new_table(title, "level", "bytes", GIVEN_TO, "read", "", "write", "", "copy", "")
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for row in report["bandwidth"]:
        rows.setdefault((row["level"], row["threads"]), {})[row["kind"]] = row
    for (level, threads), kinds in rows.items():
        cells = [text for kind in ("read", "write", "copy") for text in _median_and(kinds[kind])]
        table.add_row(level, bytes_text(kinds["read"]["bytes"]), str(threads), *cells)
    return table


def _median_and(numbers: Mapping[str, Any]) -> tuple[str, str]:
    return three_digits(numbers["median"]), between(numbers)


def _latency(report: Mapping[str, Any]) -> Table:
    title = "A load that waits for the last, ns: from lines of so many bytes; from one line of each of so many pages"
    table = new_table(
        title, "bytes", "ns", "95 % of medians", "4K pages", "ns", "95 % of medians", "lines beside each other"
    )
    curve, pages = report["latency"]["curve"], report["pages"]["curve"]
    for k in range(max(len(curve), len(pages))):
        left = (bytes_text(curve[k]["bytes"]), *_median_and(curve[k])) if k < len(curve) else ("", "", "")
        right = (
            (str(pages[k]["pages"]), *_median_and(pages[k]), three_digits(pages[k]["dense"])) if k < len(pages) else ()
        )
        table.add_row(*left, *right)
    return table


def _overheads(report: Mapping[str, Any]) -> Table:
    table = new_table("What calls and threads cost, ns", "", GIVEN_TO, "best", "median", "95 % of medians")
    for row in report["overheads"]:
        table.add_row(row["what"], str(row["threads"]), three_digits(row["least"]), *_median_and(row))
    return table


def _caches(report: Mapping[str, Any]) -> Iterator[str]:
    told = [f"L{cache['level']} {cache['bytes'] // 1024} KiB" for cache in report["caches"]]
    yield f"caches, as the system says: {', '.join(told) or 'it does not'}"
    flat = [
        f"{bytes_text(p['from'])} to {bytes_text(p['to'])} {three_digits(p['nanoseconds'])} ns"
        for p in report["latency"]["plateaus"]
    ]
    yield f"as the curve shows: flat from {'; '.join(flat) or 'nowhere'}"
    tlbs = [f"L{t['level']} {t['kind']} {t['entries']} of {t['pages']}" for t in report["pages"]["tlbs"]]
    reach = ", ".join(map(str, report["pages"]["reach"]))
    yield f"translation buffers, as the processor says: {', '.join(tlbs) or 'it does not'}"
    yield f"as the curve shows: finding a page costs more after {reach or 'no number of'} pages"


def state_notes(report: Mapping[str, Any]) -> list[str]:
    """In which state the machine was while it was measured, for people."""
    lines = [f"while it was measured, {fitness.sentences(report['fitness'])[0]}"]
    repeated = [row for row in report["states"] if row["repeated"]]
    left = [row["what"] for row in repeated if row["state"] != fitness.QUIET]
    if repeated:
        lines.append(f"{len(repeated)} of {len(report['states'])} groups were measured again, as it was not quiet")
    if left:
        some = ", ".join(left[:6]) + f" and {len(left) - 6} more" * (len(left) > 6)
        lines.append(f"not quiet each time, so take these with care: {some}")
    return lines
