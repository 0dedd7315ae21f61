"""The project's docstrings as reStructuredText, for the site's reference.

A docstring is plain text: paragraphs, columns of names with what they mean, indented code, and lists. What it raises
and where it comes from stand in its text, and are paragraphs of their own on the site.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

COLUMNS = re.compile(r"(\S.{0,90}?)\s{2,}(\S.*)")
APART = re.compile(r"(?<=[.:;)])\s+(?=(?:All raise|Raises|Sources?:) )")  # sentences that begin a paragraph
BOLD = re.compile(r"(All raise|Raises|Sources?:|Needs) ")
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"arXiv:(\d{4}\.\d{4,5})|\bdoi (10\.[\w./]+\w)")


def rst(text: str) -> str:
    """The docstring as reStructuredText. Its first line is not indented, the others as inspect.cleandoc leaves them."""
    return "\n\n".join(_block(block) for block in _blocks(text)) + "\n"


def introduction(text: str) -> str:
    """The docstring's paragraphs before its first table, which in a module's is a map of files."""
    paragraphs = re.split(r"\n\s*\n", text.strip("\n"))
    last = next((k for k, p in enumerate(paragraphs) if _begins_columns(p.splitlines()[0])), len(paragraphs))
    return "\n\n".join(paragraphs[:last])


def _blocks(text: str) -> Iterator[list[str]]:
    """Paragraphs of lines; a table of columns, and code, also end where their indentation or form ends."""
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        lines = paragraph.splitlines()
        start = 0
        for k in range(1, len(lines)):
            if _begins_columns(lines[k]) and not any(_begins_columns(line) for line in lines[start:k]):
                yield lines[start:k]
                start = k
        yield lines[start:]


def _begins_columns(line: str) -> bool:
    return not line.startswith(" ") and COLUMNS.fullmatch(line) is not None


def _block(lines: list[str]) -> str:
    if all(line.startswith("    ") for line in lines):
        return "::\n\n" + textwrap.indent(textwrap.dedent("\n".join(lines)), "    ")
    if _begins_columns(lines[0]):
        return "\n".join(_definitions(lines))
    if lines[0].startswith("* "):
        items = re.split(r"\n(?=\* )", "\n".join(lines))
        return "\n".join(f"* {inline(_joined(item[2:]))}" for item in items)
    return "\n\n".join(inline(sentence) for sentence in APART.split(_joined("\n".join(lines))))


def _definitions(lines: list[str]) -> Iterator[str]:
    """A list of terms from lines of `name  what it is`; deeper lines continue the one before."""
    entries: list[list[str]] = []
    for line in lines:
        match = None if line.startswith(" ") else COLUMNS.fullmatch(line)
        if match is not None:
            entries.append([match[1], match[2]])
        elif line.startswith(" "):
            entries[-1].append(line.strip())
        else:
            entries.append(["", line])
    for term, *meaning in entries:
        if term:
            yield f"``{term.replace('`', '')}``\n    {inline(' '.join(meaning))}"
        else:
            yield f"\n{inline(' '.join(meaning))}"


def _joined(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text).strip()


def inline(text: str) -> str:
    """One paragraph, with code in backticks; nothing else in it has a meaning to reStructuredText."""
    parts = CODE.split(text)
    plain = [_linked(re.sub(r"([\\*_|`])", r"\\\1", part)) for part in parts[::2]]
    code = [f"``{part}``" for part in parts[1::2]]
    joined = plain[0] + "".join(_between(literal, after) for literal, after in zip(code, plain[1:], strict=True))
    bold = BOLD.match(joined)
    joined = f"**{bold[1]}** {joined[bold.end() :]}" if bold else joined
    return re.sub(r"^([-+.•])", r"\\\1", joined)


def _between(literal: str, after: str) -> str:
    """A literal, and what follows it; reStructuredText wants something between them that is no letter."""
    return rf"{literal}\ {after}" if after[:1].isalnum() else literal + after


def _linked(text: str) -> str:
    def link(match: re.Match[str]) -> str:
        if match[1]:
            return f"`arXiv:{match[1]} <https://arxiv.org/abs/{match[1]}>`__"
        return f"`doi {match[2]} <https://doi.org/{match[2]}>`__"

    return LINK.sub(link, text)
