"""Document: headings, paragraphs, formulas and tables, for terminals with and without colours, and for notebooks.

Explanations and comparisons are made of the blocks below and can be shown in every form. A role decides a colour:
the element, what moves, the local derivatives, what arrives (upstream), the total.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeAlias

from pybackprop.teach.render.width import WIDTH, text_width

COLOURS = {"element": "yellow", "moved": "cyan", "local": "green", "upstream": "magenta", "total": "bold"}
PADDED = "padding:0 .8em 0 0"
CSS = {
    "element": "#b58900",
    "moved": "#2aa198",
    "local": "#859900",
    "upstream": "#d33682",
    "total": "inherit;font-weight:bold",
}


@dataclass(frozen=True)
class Heading:
    """A heading; text: one line."""

    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph of text, wrapped."""

    text: str


@dataclass(frozen=True)
class Formula:
    """A line of text that keeps its spaces."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows of numbers or, if words is set, of words; roles: one per column. An empty head is left out."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    roles: Sequence[str]
    words: bool = False

    def lines(self) -> list[Sequence[str]]:
        """The head, if there is one, and the rows, with all cells of a column padded to the same width."""
        lines = [self.head, *self.rows] if any(self.head) else list(self.rows)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        adjust = str.ljust if self.words else str.rjust
        return [[adjust(cell, width) for cell, width in zip(line, widths, strict=True)] for line in lines]


Block: TypeAlias = "Heading | Text | Formula | Table"


@dataclass(frozen=True)
class Document:
    """A sequence of blocks. marks: (words, role) pairs; the words are coloured wherever they occur in the text."""

    blocks: Sequence[Block]
    marks: Sequence[tuple[str, str]] = ()

    def plain(self, width: int | None = None) -> str:
        """Lines of at most width columns; by default those of the terminal."""
        width = text_width() if width is None else width
        return "\n".join(line for block in self.blocks for line in _plain(block, width))

    def rich(self) -> Any:
        """A renderable for rich's Console."""
        from rich.console import Group

        return Group(*(part for block in self.blocks for part in self._rich(block)))

    def html(self) -> str:
        """HTML for a notebook; readable on light and dark backgrounds."""
        return "<div>" + "".join(self._html(block) for block in self.blocks) + "</div>"

    def _rich(self, block: Block) -> Iterator[Any]:
        from rich.padding import Padding
        from rich.text import Text as RichText

        if isinstance(block, Table):
            yield Padding(_rich_table(block), (0, 0, 0, 5))
        elif isinstance(block, Heading):
            yield RichText("\n" + block.text, style="bold")
        else:
            text = RichText(block.text)
            for words, role in self.marks:
                text.highlight_regex(_whole(words), COLOURS[role])
            yield Padding(text, (0, 0, 0, 5 if isinstance(block, Formula) else 3))

    def _html(self, block: Block) -> str:
        if isinstance(block, Heading):
            return f"<h4>{escape(block.text)}</h4>"
        if isinstance(block, Table):
            return _html_table(block)
        if isinstance(block, Formula):
            return f'<pre style="margin:.3em 2em;overflow-x:auto">{self._marked(block.text)}</pre>'
        return f'<p style="max-width:50em">{self._marked(block.text)}</p>'

    def _marked(self, text: str) -> str:
        roles = dict(self.marks)
        pattern = "|".join(_whole(words) for words in sorted(roles, key=len, reverse=True))
        if not pattern:
            return escape(text)
        pieces = re.split(f"({pattern})", text)
        return "".join(
            f'<span style="color:{CSS[roles[piece]]}">{escape(piece)}</span>' if piece in roles else escape(piece)
            for piece in pieces
        )


def _whole(words: str) -> str:
    return rf"(?<![\w.]){re.escape(words)}(?![\w\[])"


def _plain(block: Block, width: int) -> Iterator[str]:
    if isinstance(block, Heading):
        yield from ("", *textwrap.wrap(block.text, width))
    elif isinstance(block, Text):
        yield from textwrap.wrap(block.text, width, initial_indent="   ", subsequent_indent="   ")
    elif isinstance(block, Formula):
        yield from _formula(block.text, width)
    else:
        yield from _table(block, width)


def _formula(text: str, width: int) -> list[str]:
    line = "     " + text
    if len(line) <= width:
        return [line]
    return textwrap.wrap(text, width, initial_indent=" " * 5, subsequent_indent=" " * 9, break_on_hyphens=False)


def _table(table: Table, width: int) -> Iterator[str]:
    lines = table.lines()
    gap = "   " if max(map(len, map("   ".join, lines)), default=0) + 5 <= width else " "
    for line in lines:
        yield ("     " + gap.join(line)).rstrip()[: max(width, WIDTH)]  # a narrow terminal shall not lose numbers


def _rich_table(block: Table) -> Any:
    """The cells are rich Text objects, because rich would read brackets in plain strings as markup."""
    from rich.table import Table as RichTable
    from rich.text import Text as RichText

    table = RichTable(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_header=any(block.head))
    for title, role in zip(block.head, block.roles, strict=True):
        justify: Any = "left" if block.words else "right"
        table.add_column(RichText(title), justify=justify, style=COLOURS.get(role, ""), overflow="fold")
    for row in block.rows:
        table.add_row(*map(RichText, row))
    return table


def _html_table(table: Table) -> str:
    styles = [f"color:{CSS[role]}" if role in CSS else "" for role in table.roles]
    align = "left" if table.words else "right"
    head = "".join(f'<th style="text-align:{align};{PADDED}">{escape(title)}</th>' for title in table.head)
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align:{align};{PADDED};{style}">{escape(cell)}</td>'
            for cell, style in zip(row, styles, strict=True)
        )
        + "</tr>"
        for row in table.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
