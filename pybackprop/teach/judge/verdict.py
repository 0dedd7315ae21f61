"""Verdict: what is said about a proposal, in text and HTML."""

from __future__ import annotations

import html
import json
import textwrap
from dataclasses import asdict, dataclass, field
from typing import Any

WIDTH = 100


@dataclass(frozen=True)
class Verdict:
    """What is to be said about a proposal for a gradient. True if it is right.

    ok        it runs, and gives the gradient on these numbers and on others
    runs      it can be computed on these shapes
    shape_ok  its shape is that of the tensor
    wrong     how many of its elements are wrong here; None if it has no numbers, or another shape
    size      how many elements the gradient has
    mistake   the stable short name of what it is instead (see `pybackprop judge --list`); None if ok, or unknown
    hints     from general to particular, without the solution
    solution  the right formula and why; None unless it was asked for with reveal=True
    asked     the gradient, e.g. 'w1.g';  proposal: as it was given;  summary: the outcome in one sentence
    by_accident  right on these numbers, and wrong on others
    """

    ok: bool
    runs: bool
    shape_ok: bool
    wrong: int | None
    size: int
    mistake: str | None
    hints: tuple[str, ...]
    asked: str
    proposal: str
    summary: str
    solution: str | None = None
    by_accident: bool = False
    error: str | None = field(default=None, repr=False)

    def __bool__(self) -> bool:
        return self.ok

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "hints": list(self.hints)}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def __str__(self) -> str:
        name = f"  [{self.mistake}]" if self.mistake else ""
        parts = [_wrapped(f"{self.asked} = {self.proposal}"), _wrapped(self.summary + name)]
        if self.error:
            said, *shown = self.error.splitlines()
            parts += [_wrapped(said, "  "), *(f"  {line}" for line in shown)]
        parts += [_wrapped(hint, f"  {k}. ") for k, hint in enumerate(self.hints, 1)]
        if self.solution:
            parts.append(_wrapped(self.solution, "  "))
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        said = html.escape
        colour = "#2e7d32" if self.ok else "#c62828"
        name = f" <code>{said(self.mistake)}</code>" if self.mistake else ""
        hints = "".join(f"<li>{said(hint)}</li>" for hint in self.hints)
        error = f"<pre>{said(self.error)}</pre>" if self.error else ""
        solution = f"<p>{said(self.solution)}</p>" if self.solution else ""
        return (
            f'<div style="border-left: 4px solid {colour}; padding-left: 1em">'
            f"<p><code>{said(self.asked)} = {said(self.proposal)}</code></p><p>{said(self.summary)}{name}</p>{error}"
            f"{f'<ol>{hints}</ol>' if hints else ''}{solution}</div>"
        )


def _wrapped(text: str, first: str = "") -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=True,
        break_on_hyphens=False,
    )
