"""What a trial may find wrong with a kernel."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

COMPILE_ERROR = "compile error"
WRONG_SIGNATURE = "wrong signature"
MISSING_FUNCTION = "missing function"
NOT_LOADED = "not loaded"
CRASH = "crash"
OUT_OF_BOUNDS_READ = "reads out of bounds"
OUT_OF_BOUNDS_WRITE = "writes out of bounds"
OUT_OF_BOUNDS = "out of bounds"
WRITES_INPUT = "writes to an input"
ENDLESS = "endless"
EXITS = "exits"
FORKS = "forks"
PRINTS = "prints"
RACE = "race"
READS_OUTPUT = "reads its output"
NOT_WRITTEN = "not written"
WRONG = "wrong result"
IGNORES_NAN = "ignores NaN"
ROUNDING = "rounding"
SIGN_OF_ZERO = "sign of zero"
ARITHMETIC = "changes the arithmetic"
SANITIZER = "sanitizer"
WITHIN_ROUNDING = (ROUNDING, SIGN_OF_ZERO)  # right but for the last bits of sums


@dataclass(frozen=True)
class Finding:
    """Something wrong with a kernel.

    kind    its name, one of those above
    text    what happened, and what helps
    case    the sizes and values with which it happened; "" where it did before any
    """

    kind: str
    text: str
    case: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}" + (f" [{self.case}]" if self.case else "")

    def to_dict(self) -> dict[str, Any]:
        """The finding for JSON."""
        return asdict(self)
