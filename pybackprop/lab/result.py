"""What a trial found out about a kernel."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from pybackprop.lab import findings
from pybackprop.lab.findings import Finding


@dataclass(repr=False)
class Trial:
    """What was found out about a kernel; print it, or let a notebook show it.

    operation  its name
    dtype      float32 or float64
    source     the file
    command    how it was compiled; "" if it was not
    cases      how many cases were checked
    findings   what is wrong with it, the first of each kind
    ulps       the largest distance from the definition, in units of the last place
    relative   the largest difference from it, by the sum of the magnitudes of an element's terms
    timing     times of the kernel, of the library's and of the peers'; None if it was not timed
    """

    operation: str
    dtype: str
    source: str
    command: str = ""
    cases: int = 0
    findings: list[Finding] = field(default_factory=list)
    ulps: int = 0
    relative: float = 0.0
    timing: dict[str, Any] | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it: then every result had the definition's bits."""
        return not self.findings

    @property
    def is_within_rounding(self) -> bool:
        """Whether it is right but for the last bits of sums."""
        return all(finding.kind in findings.WITHIN_ROUNDING for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        names = ("operation", "dtype", "source", "command", "cases", "ok", "is_within_rounding")
        told = {name: getattr(self, name) for name in names}
        told |= {"findings": [finding.to_dict() for finding in self.findings]}
        return {**told, "ulps": self.ulps, "relative": self.relative, "timing": self.timing}

    def to_json(self) -> str:
        """to_dict() as a text."""
        return json.dumps(self.to_dict())

    def __str__(self) -> str:
        from pybackprop.lab import show

        return show.trial_text(self.to_dict())

    __repr__ = __str__
