"""Runs cases: what kind a number is, and what came of it."""

from __future__ import annotations

import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pybackprop.selftest import cases, inputs, machine
from pybackprop.selftest.case import FAMILIES, KINDS, Case, Kind
from pybackprop.selftest.compare import WrongError
from pybackprop.selftest.draw import mixed

SEEDS = 10**6  # a seed's cases are numbered from seed * PER_SEED
PER_SEED = 10**9
SHARE = {"bits": 15, "inputs": 1}  # of the families, where both are asked for
OURS = Path(__file__).parent
__all__ = ["KINDS", "PER_SEED", "SEEDS", "Failure", "Outcome", "kind_of", "numbers", "run_case"]

assert cases, inputs  # importing them has registered the kinds
_BY_FAMILY = {
    family: [KINDS[name] for name in sorted(KINDS) if KINDS[name].family == family for _ in range(KINDS[name].weight)]
    for family in FAMILIES
}
_FAMILY = [family for family, share in SHARE.items() for _ in range(share)]


@dataclass(frozen=True)
class Failure:
    """What was wrong in a case, as `pybackprop selftest` prints it."""

    case: int
    kind: str
    error: str
    operands: dict[str, str]

    def __str__(self) -> str:
        lines = [f"{self.kind}: {self.error}"]
        lines += [f"    {name}: {text}" for name, text in self.operands.items()]
        return "\n".join([*lines, f"    again: pybackprop selftest --case {self.case}"])


@dataclass(frozen=True)
class Outcome:
    """A case that has ended. failure: None if all was right."""

    kind: Kind
    comparisons: int
    failure: Failure | None


def kind_of(number: int) -> Kind:
    """The kind that a case is; it depends on the number alone."""
    choice = mixed(number ^ 0x5E1F7E57)
    kinds = _BY_FAMILY[_FAMILY[choice % len(_FAMILY)]]
    return kinds[(choice >> 16) % len(kinds)]


def numbers(seed: int, start: int, step: int, only: Sequence[str] = ()) -> Iterator[int]:
    """The numbers start, start + step, ... of a seed's cases, those whose kind or family is in `only`."""
    index = start
    while True:
        number = seed * PER_SEED + index
        if not only or not {kind_of(number).name, kind_of(number).family}.isdisjoint(only):
            yield number
        index += step


def run_case(number: int, folder: Path | None = None) -> Outcome:
    """Runs one case in this process. Settings are left as they were. folder: for its files."""
    if folder is None:
        with tempfile.TemporaryDirectory() as made:
            return run_case(number, Path(made))
    kind, case = kind_of(number), Case(number, folder)
    failure = None
    with machine.kept(), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        machine.choose(case.draw)
        try:
            kind.run(case)
        except Exception as error:
            failure = Failure(number, kind.name, _told(error), {k: str(v) for k, v in case.draw.notes.items()})
    return Outcome(kind, case.check.count, failure)


def _told(error: Exception) -> str:
    """A difference as it stands; any other exception with the place that raised it."""
    if isinstance(error, WrongError):
        return str(error)
    places = traceback.extract_tb(error.__traceback__)
    ours = next((place for place in reversed(places) if OURS in Path(place.filename).parents), places[-1])
    last = places[-1]
    where = f"{ours.name}, line {ours.lineno}"
    where += "" if last is ours else f", from {Path(last.filename).name}:{last.lineno}"
    return f"raised {type(error).__name__}: {error} (in {where})"
