"""Runs the commands whose output README.md, docs/why.md and docs/memory.md quote, and renews the output.

    python tools/make_docs.py [DOCUMENT ...]

Each block of sh or python that is followed by a block of text is run, in an empty folder, and the text is replaced by
its output. tests/docs/test_docs.py fails if one of those documents differs. Those of the laboratory hold times of a
machine, which should be quiet when they are renewed:

    python tools/make_docs.py docs/lab.md docs/lab-machine.md
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "docs" / "why.md", ROOT / "docs" / "memory.md"]
QUOTED = re.compile(r"```(sh|python)\n([^`]*)```\n\n```text\n(.*?)```", re.DOTALL)


def refreshed(text: str) -> str:
    """The document with the current output of its commands."""
    with tempfile.TemporaryDirectory() as folder:

        def renewed(match: re.Match[str]) -> str:
            return f"```{match[1]}\n{match[2]}```\n\n```text\n{printed(match[1], match[2], folder)}```"

        return QUOTED.sub(renewed, text)


def printed(language: str, code: str, folder: str) -> str:
    """The output of a block that is run in this folder, without spaces at the ends of lines."""
    commands = [[sys.executable, "-c", code]] if language == "python" else [_words(line) for line in code.splitlines()]
    said = "".join(_run(command, folder) for command in commands)
    return "".join(f"{line.rstrip()}\n" for line in said.splitlines())


def _words(line: str) -> list[str]:
    program, *arguments = shlex.split(line)
    if program != "pybackprop":
        raise ValueError(f"make_docs: found {line!r}, expected a pybackprop command")
    return [sys.executable, "-m", "pybackprop", *arguments]


def _run(command: list[str], folder: str) -> str:
    """What it prints; what it keeps of the machine from one run to the next is in the folder, too."""
    environment = {**os.environ, "XDG_CACHE_HOME": folder}
    options = {"capture_output": True, "text": True, "check": True, "encoding": "utf-8"}
    return str(subprocess.run(command, cwd=folder, env=environment, **options).stdout)


if __name__ == "__main__":
    for document in map(Path, sys.argv[1:]) if sys.argv[1:] else DOCUMENTS:
        document.write_text(refreshed(document.read_text("utf-8")), "utf-8")
