"""Case: what a kind works with; and the kinds, each registered by its module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pybackprop.selftest.compare import Comparisons
from pybackprop.selftest.draw import Draw

BITS, INPUTS = "bits", "inputs"
FAMILIES = (BITS, INPUTS)


class Case:
    """One case: its decisions, its comparisons, and a folder for files."""

    number: int
    folder: Path
    draw: Draw
    check: Comparisons

    def __init__(self, number: int, folder: Path) -> None:
        self.number, self.folder = number, folder
        self.draw, self.check = Draw(number), Comparisons()


@dataclass(frozen=True)
class Kind:
    """A kind of cases. weight: how often it is drawn, among all of its family."""

    name: str
    family: str
    weight: int
    run: Callable[[Case], None]


KINDS: dict[str, Kind] = {}


def kind(name: str, weight: int, family: str = BITS) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Registers a function as a kind of cases."""

    def register(function: Callable[[Case], None]) -> Callable[[Case], None]:
        KINDS[name] = Kind(name, family, weight, function)
        return function

    return register
