"""Which operation a C file computes, by the name of its function."""

from __future__ import annotations

import re

from pybackprop.lab.operations import TRIED

COMMENTS = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
FUNCTIONS = re.compile(r"^[ \t]*(?!static\b)[A-Za-z_][\w\s*]*?\b([A-Za-z_]\w*)\s*\([^;{}()]*\)\s*\{", re.MULTILINE)
KEYWORDS = {"if", "for", "while", "switch", "return", "else", "do"}


def operation_in(name: str, text: str) -> str:
    """The operation whose function a file defines. name: the file's, for messages.

    Raises ValueError, which says what to write, where no function has the name of one, or several have.
    """
    functions: list[str] = [found for found in FUNCTIONS.findall(COMMENTS.sub(" ", text)) if found not in KEYWORDS]
    known = [found for found in dict.fromkeys(functions) if found in TRIED]
    if len(known) == 1:
        return known[0]
    if known:
        raise ValueError(f"lab try: {name}: found {' and '.join(known)}; say which one is meant: --op {known[0]}")
    there = ", ".join(dict.fromkeys(functions)) or "no function that is not static"
    raise ValueError(
        f"lab try: {name}: found {there}; name the kernel's function after what it computes, {', '.join(TRIED)}, or "
        "say it with --op"
    )
