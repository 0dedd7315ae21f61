"""Runs the commands whose output README.md, docs/why.md and docs/memory.md quote, and renews the output.

    python tools/make_docs.py

Each block of sh or python that is followed by a block of text is run, and the text is replaced by its output.
tests/docs/test_docs.py fails if a document differs from the output.
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
    """The document with the current output of its commands."""
    return QUOTED.sub(lambda match: f"```{match[1]}\n{match[2]}```\n\n```text\n{printed(match[1], match[2])}```", text)


def printed(language: str, code: str) -> str:
    """The output of a block."""
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
