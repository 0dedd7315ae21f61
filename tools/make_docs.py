"""Runs the code of the documents whose outputs are quoted, and renews the outputs.

    python tools/make_docs.py [DOCUMENT ...]

A block of text that follows a block of sh or python is the output of that block. All blocks of sh and python of a
document run in their order, in one folder, which is empty at the beginning; those of python share their names. The text
is replaced by what was printed. Lines that no two runs have alike, such as times, are kept as they stand.
tests/docs/test_docs.py fails if one of these documents differs. Those of the laboratory hold times of a machine, which
should be quiet when they are renewed:

    python tools/make_docs.py docs/lab.md docs/lab-machine.md
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("why", "memory"))]
TUTORIALS = [ROOT / "docs" / f"{name}.md" for name in ("tutorial", "table", "from-pytorch", "bits")]  # commands, too
QUOTED = re.compile(r"```(sh|python)\n([^`]*)```\n\n```text\n(.*?)```", re.DOTALL)
BLOCK = re.compile(r"```(sh|python)\n([^`]*)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
VARYING = re.compile(r"(epochs|peak memory|kernel) .*")
# Runs what it is sent, one block of Python a line, and answers with what the block printed.
INTERPRETER = """
import contextlib, io, json, sys
names = {"__name__": "__main__"}
for line in sys.stdin:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(json.loads(line), "<document>", "exec"), names)
    print(json.dumps(printed.getvalue()), flush=True)
"""


class Session:
    """A folder and a Python in which the blocks of one document run."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.environment = {**os.environ, "XDG_CACHE_HOME": folder, "MPLBACKEND": "agg"}  # the machine's profile, too
        self.python = subprocess.Popen(
            [sys.executable, "-c", INTERPRETER],
            cwd=folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.python.communicate()

    def run(self, language: str, code: str) -> str:
        """What a block prints, without spaces at the ends of lines. Raises CalledProcessError if it fails."""
        said = self._python(code) if language == "python" else "".join(map(self._command, code.splitlines()))
        return "".join(f"{line.rstrip()}\n" for line in said.splitlines())

    def _python(self, code: str) -> str:
        assert self.python.stdin is not None
        assert self.python.stdout is not None
        self.python.stdin.write(json.dumps(code) + "\n")
        self.python.stdin.flush()
        answer = self.python.stdout.readline()
        if not answer:
            raise subprocess.CalledProcessError(self.python.wait(), code)
        return str(json.loads(answer))

    def _command(self, line: str) -> str:
        program, *arguments = shlex.split(line)
        if program != "pybackprop":
            raise ValueError(f"make_docs: found {line!r}, expected a pybackprop command")
        command = [sys.executable, "-m", "pybackprop", *arguments]
        options = {"capture_output": True, "text": True, "encoding": "utf-8"}
        done = subprocess.run(command, cwd=self.folder, env=self.environment, check=False, **options)
        if done.returncode:
            sys.stderr.write(done.stderr)
            raise subprocess.CalledProcessError(done.returncode, line)
        return str(done.stdout)


def refreshed(text: str, whole: bool = False) -> str:
    """The document with the current output of its code; unless whole, commands that nothing quotes are left out."""
    with tempfile.TemporaryDirectory() as folder, Session(folder) as session:

        def renewed(match: re.Match[str]) -> str:
            language, code, old = match.groups()
            if old is None and not (whole or language == "python"):
                return match[0]
            said = session.run(language, code)
            return match[0] if old is None else f"```{language}\n{code}```\n\n```text\n{_kept(old, said)}```"

        return BLOCK.sub(renewed, text)


def _kept(old: str, new: str) -> str:
    """The new output with the old one's lines where no two runs have the same."""
    before = {match[1]: match[0] for line in old.splitlines() if (match := VARYING.fullmatch(line))}
    return VARYING.sub(lambda match: before.get(match[1], match[0]), new)


if __name__ == "__main__":
    for document in [Path(name).resolve() for name in sys.argv[1:]] or [*DOCUMENTS, *TUTORIALS]:
        document.write_text(refreshed(document.read_text("utf-8"), whole=document in TUTORIALS), "utf-8")
