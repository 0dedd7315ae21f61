"""The errors in a formula. Each message shows the place in the text."""

from __future__ import annotations

import ast
import re
from typing import NoReturn

from pybackprop.core.errors import ShapeError


class FormulaError(ValueError):
    """Text that is not a formula over the available names. The message shows the place and what is allowed there."""


class UnknownNameError(FormulaError):
    """A formula with a name, or a function with an argument, that is not available."""


class MisfitError(FormulaError, ShapeError):
    """A formula whose operands' shapes do not fit: it can be parsed, but does not run on these shapes."""


def refuse(text: str, at: tuple[int, int] | None, words: str, kind: type[FormulaError] = FormulaError) -> NoReturn:
    """Raises an error that shows the formula and marks characters at[0] to at[1] of it."""
    if at is None:
        raise kind(f"formula: {words}")
    start, end = at
    shift = max(0, start - 40)
    shown = "".join(c if c.isprintable() else " " for c in text[shift : shift + 90])
    marks = "^" * max(1, min(end - shift, len(shown)) - (start - shift))
    raise kind(f"formula: {words}\n    {shown}\n    {' ' * (start - shift)}{marks}")


def no_formula(text: str) -> str:
    """What is said before the error of words that are no formula, such as zero or none; empty for anything else."""
    is_words = re.fullmatch(r"[^\W\d]+(\s+[^\W\d]+)*", text.strip()) is not None
    return f"'{text.strip()}' is not a formula; write one such as '2 * (x - 1)', or a number.\n" if is_words else ""


def place(text: str, node: ast.expr) -> tuple[int, int]:
    """Where in the text a node is, in characters. Python's own columns count UTF-8 bytes."""
    lines = text.splitlines(keepends=True) or [""]

    def at(line: int, column: int) -> int:
        before = sum(map(len, lines[: line - 1]))
        here = lines[line - 1].encode()[:column].decode(errors="ignore") if line <= len(lines) else ""
        return before + len(here)

    return at(node.lineno, node.col_offset), at(node.end_lineno or 1, node.end_col_offset or 0)
