"""`lab diff`: which differences between two sweeps are real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from pybackprop.lab import statistics
from pybackprop.lab.fitness import QUIET
from pybackprop.lab.sweep.grid import AXES, Point, point

CHANCE = 0.01  # that any of the differences called real is none
QUIET_CHANGE, CHANGE = 0.02, 0.10  # of a machine's speed from one run to the next, quiet or not
SLOWER, FASTER, NONE, UNCLEAR = "slower", "faster", "not shown", "unclear"
REAL = (SLOWER, FASTER)


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """The points that both results have: medians, their ratio b / a in time, and whether the difference is real.

    Real: the 95 % intervals of both medians do not overlap, and a rank test gives a probability that, times the number
    of points not yet decided (Holm), is below CHANCE, and the ratio is beyond what the machine itself may have changed
    from one run to the other: see `own_change`. A difference within that is unclear.

    Raises ValueError if they have no point in common.
    """
    first, second = _by_point(a), _by_point(b)
    common = [key for key in first if key in second]
    if not common:
        raise ValueError("lab diff: the two results have no point in common: another operation, sizes or settings")
    rows = [_row(key, first[key], second[key]) for key in common]
    own = own_change(a, b)
    _decide(rows, own)
    return {
        "points": rows,
        "real": sum(row["verdict"] in REAL for row in rows),
        "own_change": own,
        "only_in_a": [key.label for key in first if key not in second],
        "only_in_b": [key.label for key in second if key not in first],
        "notes": list(_notes(a, b, rows, own)),
    }


def _by_point(result: Mapping[str, Any]) -> dict[Point, list[float]]:
    return {point({name: row[name] for name in ("op", *AXES)}): row["seconds"] for row in result["points"]}


def _row(key: Point, a: Sequence[float], b: Sequence[float]) -> dict[str, Any]:
    return {
        **key.to_dict(),
        "label": key.label,
        "a": {"median": median(a), "samples": len(a), **_ends(a)},
        "b": {"median": median(b), "samples": len(b), **_ends(b)},
        "ratio": median(b) / median(a),
        "chance": statistics.rank_test(a, b),
        "verdict": NONE,
    }


def _ends(values: Sequence[float]) -> dict[str, float]:
    low, high = statistics.interval(values)
    return {"low": low, "high": high}


def own_change(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    """By which part times may differ though nothing but the machine did: at least 2 %, or 10 % if it was not quiet,
    and as much as the rates of its own loops did, see `fitness`."""
    states = [result.get("fitness", {}).get("state") for result in (a, b)]
    changes = [QUIET_CHANGE if states == [QUIET, QUIET] else CHANGE]
    for name in ("usual_burst_gflops", "usual_loads_gflops"):
        one, other = (result.get("fitness", {}).get(name) for result in (a, b))
        if one and other:
            changes.append(max(one, other) / min(one, other) - 1)
    return max(changes)


def _decide(rows: list[dict[str, Any]], own: float) -> None:
    """Sets the verdicts, from the least probable on, until one could be chance."""
    for number, row in enumerate(sorted(rows, key=lambda row: float(row["chance"]))):
        if row["chance"] * (len(rows) - number) >= CHANCE:
            return
        apart = row["a"]["high"] < row["b"]["low"] or row["b"]["high"] < row["a"]["low"]
        if apart and max(row["ratio"], 1 / row["ratio"]) <= 1 + own:
            row["verdict"] = UNCLEAR
        elif apart:
            row["verdict"] = SLOWER if row["ratio"] > 1 else FASTER


def _notes(a: Mapping[str, Any], b: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], own: float) -> Iterator[str]:
    if a.get("machine") != b.get("machine"):
        yield "the two were measured on different machines, or by different versions of this library"
    if any(row["verdict"] == UNCLEAR for row in rows):
        yield (
            f"unclear: the samples differ, but by no more than the machine itself may from one run to the next, "
            f"{own:.0%} here; to compare two kernels or settings, give both to one sweep, where they take turns"
        )
    for text, result in (("first", a), ("second", b)):
        state = result.get("fitness", {}).get("state", "quiet")
        if state != "quiet":
            yield f"while the {text} was measured, the machine was {state}"
    fewest = min(min(row["a"]["samples"], row["b"]["samples"]) for row in rows)
    if all(row["chance"] * len(rows) >= CHANCE for row in rows) and _best_chance(rows) >= CHANCE:
        yield f"with {fewest} samples no difference could be shown, however large: use more --rounds"


def _best_chance(rows: Sequence[Mapping[str, Any]]) -> float:
    """What the rank test would say, times the number of points, if all samples of one were below the other's."""
    counts = [(row["a"]["samples"], row["b"]["samples"]) for row in rows]
    return min(statistics.rank_test(range(n), range(n, n + m)) for n, m in counts) * len(rows)
