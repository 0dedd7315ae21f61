"""The verdict on a proposal, as text, HTML and JSON."""

from __future__ import annotations

import html
import json
import textwrap
from dataclasses import asdict, dataclass
from typing import Any

from pybackprop.teach.render.width import text_width


@dataclass(frozen=True, repr=False)
class Verdict:
    """The verdict on a proposal for a gradient. It is true (`if verdict:`) if the proposal is right.

    ok           whether it runs and gives the gradient, on these numbers and on all others it was tried on
    runs         whether it can be computed on these shapes
    shape_ok     whether its shape is that of the tensor
    wrong        how many of its elements are wrong here; None if it does not run, or has another shape
    size         how many elements the gradient has
    mistake      the short name of the typical mistake (see `pybackprop judge --list`), which stays the same from
                 release to release; None if ok, or if it is not one of these
    hints        from general to particular, without the solution; none if ok
    asked        the gradient that was asked for, e.g. 'w1.g'
    proposal     the formula as it was given, or a description of a function or an array, e.g. 'an array (3, 2)'
    summary      the outcome in one sentence
    solution     the right formula and why; None unless it was asked for with reveal=True
    by_accident  whether it is right on these numbers but wrong on others
    error        the error if it does not run; None if it runs
    undecided    whether it could not be run, for another reason than shapes: it is then neither right nor wrong
    reading      how names were read that mean one tensor in the network and another inside the operation; None if
                 there were none
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
    error: str | None = None
    undecided: bool = False
    reading: str | None = None

    def __bool__(self) -> bool:
        return self.ok

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, as plain types that json can write."""
        return {**asdict(self), "hints": list(self.hints)}

    def to_json(self) -> str:
        """to_dict() as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def __str__(self) -> str:
        name = f"  [{self.mistake}]" if self.mistake else ""
        parts = [_wrapped(f"{self.asked} = {self.proposal}"), _wrapped(self.summary + name)]
        parts += [_wrapped(self.reading)] if self.reading else []
        if self.error and not self.undecided:  # the summary then has it
            message, *excerpt = self.error.splitlines()
            parts += [_wrapped(message, "  "), *(f"  {line}" for line in excerpt)]
        parts += [_wrapped(hint, f"  {k}. ") for k, hint in enumerate(self.hints, 1)]
        if self.solution:
            parts.append(_wrapped(self.solution, "  "))
        return "\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        escape = html.escape
        colour = "#2e7d32" if self.ok else "#757575" if self.undecided else "#c62828"
        name = f" <code>{escape(self.mistake)}</code>" if self.mistake else ""
        reading = f"<p>{escape(self.reading)}</p>" if self.reading else ""
        hints = "".join(f"<li>{escape(hint)}</li>" for hint in self.hints)
        error = f"<pre>{escape(self.error)}</pre>" if self.error and not self.undecided else ""
        solution = f"<p>{escape(self.solution)}</p>" if self.solution else ""
        return (
            f'<div style="border-left: 4px solid {colour}; padding-left: 1em">'
            f"<p><code>{escape(self.asked)} = {escape(self.proposal)}</code></p>"
            f"<p>{escape(self.summary)}{name}</p>{reading}{error}"
            f"{f'<ol>{hints}</ol>' if hints else ''}{solution}</div>"
        )


def _wrapped(text: str, first: str = "") -> str:
    return textwrap.fill(
        text,
        text_width(),
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=True,
        break_on_hyphens=False,
    )
