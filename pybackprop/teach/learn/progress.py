"""Which exercises are done, in a small JSON file that is replaced atomically."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

VERSION = 1


def default_place() -> Path:
    """exercises.json in $XDG_STATE_HOME/pybackprop, or ~/.local/state/pybackprop."""
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return base / "pybackprop" / "exercises.json"


class Progress:
    """The progress kept in a file. Does not raise if the file cannot be read or written, so that exercises go on.

    done     the names of the exercises that were answered
    at       the name of the exercise to continue with; None: the first
    trouble  a sentence for the learner about what went wrong with the file; None if nothing did
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: list[str] = []
        self.at: str | None = None
        self.trouble: str | None = None
        self._read()

    def _read(self) -> None:
        try:
            content: Any = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except OSError as error:
            self.trouble = f"{self.path} cannot be read ({error.strerror}): starting from the first exercise"
            return
        except (ValueError, RecursionError):
            content = None
        done = content.get("done") if isinstance(content, dict) else None
        if not isinstance(done, list) or not all(isinstance(name, str) for name in done):
            self._put_aside()
            return
        self.done = list(dict.fromkeys(done))
        at = content.get("at")
        self.at = at if isinstance(at, str) else None

    def _put_aside(self) -> None:
        """Renames a damaged file instead of overwriting it: it may be some other file of the learner's."""
        aside = self.path.with_name(self.path.name + ".damaged")
        self.trouble = f"{self.path} is damaged: starting from the first exercise"
        with contextlib.suppress(OSError):
            os.replace(self.path, aside)
            self.trouble += f"; the old file is now {aside}"

    def write(self) -> None:
        """Replaces the file; if it cannot be written, sets .trouble."""
        text = json.dumps({"version": VERSION, "done": self.done, "at": self.at}) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._replace(text)
        except OSError as error:
            self.trouble = f"progress cannot be kept in {self.path} ({error.strerror or error})"

    def _replace(self, text: str) -> None:
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name + ".")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
