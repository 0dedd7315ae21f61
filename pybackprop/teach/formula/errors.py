"""The errors of a formula. Each shows where in the text it is."""

from __future__ import annotations

import ast
from typing import NoReturn

from pybackprop.core.errors import ShapeError


class FormulaError(ValueError):
    """Text that is not a formula over the names in play. The message shows where, and what may stand there."""


class MisfitError(FormulaError, ShapeError):
    """A formula whose operands do not fit each other: it can be read, but does not run on these shapes."""


def refuse(text: str, at: tuple[int, int] | None, words: str, kind: type[FormulaError] = FormulaError) -> NoReturn:
    """Raises an error that shows the formula and marks characters at[0] to at[1] of it."""
    if at is None:
        raise kind(f"formula: {words}")
    start, end = at
    shift = max(0, start - 40)
    shown = "".join(c if c.isprintable() else " " for c in text[shift : shift + 90])
    marks = "^" * max(1, min(end - shift, len(shown)) - (start - shift))
    raise kind(f"formula: {words}\n    {shown}\n    {' ' * (start - shift)}{marks}")


def place(text: str, node: ast.expr) -> tuple[int, int]:
    """Where in the text a node stands. Python counts bytes in a line, people count characters."""
    lines = text.splitlines(keepends=True) or [""]

    def at(line: int, column: int) -> int:
        before = sum(map(len, lines[: line - 1]))
        here = lines[line - 1].encode()[:column].decode(errors="ignore") if line <= len(lines) else ""
        return before + len(here)

    return at(node.lineno, node.col_offset), at(node.end_lineno or 1, node.end_col_offset or 0)
