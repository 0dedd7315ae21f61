"""Runs the commands whose outputs README.md, docs/why.md and docs/memory.md quote, and renews those outputs.

    python tools/make_docs.py

A block of sh or python that is followed by a block of text is run, and the text is replaced by what it printed.
tests/docs/test_docs.py fails where a document holds anything else.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "docs" / "why.md", ROOT / "docs" / "memory.md"]
QUOTED = re.compile(r"```(sh|python)\n([^`]*)```\n\n```text\n(.*?)```", re.DOTALL)


def refreshed(text: str) -> str:
    """A document with the outputs that its commands have now."""
    return QUOTED.sub(lambda found: f"```{found[1]}\n{found[2]}```\n\n```text\n{printed(found[1], found[2])}```", text)


def printed(language: str, code: str) -> str:
    """What a block prints."""
    if language == "python":
        return _run([sys.executable, "-c", code])
    return "".join(_run(_words(line)) for line in code.splitlines())


def _words(line: str) -> list[str]:
    program, *arguments = shlex.split(line)
    if program != "pybackprop":
        raise ValueError(f"make_docs: found {line!r}, expected a pybackprop command")
    return [sys.executable, "-m", "pybackprop", *arguments]


def _run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(refreshed(document.read_text("utf-8")), "utf-8")
