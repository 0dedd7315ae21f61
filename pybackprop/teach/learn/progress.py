"""Progress: which exercises are done, in a small JSON file that is replaced as a whole or not at all."""

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
    """done: names of exercises; at: the one to go on with; said: what went wrong with the file, for the learner."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: list[str] = []
        self.at: str | None = None
        self.said: str | None = None
        self._read()

    def _read(self) -> None:
        try:
            found: Any = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except OSError as error:
            self.said = f"{self.path} cannot be read ({error.strerror}): starting from the first exercise"
            return
        except (ValueError, RecursionError):
            found = None
        done = found.get("done") if isinstance(found, dict) else None
        if not isinstance(done, list) or not all(isinstance(name, str) for name in done):
            self._put_aside()
            return
        self.done = list(dict.fromkeys(done))
        at = found.get("at")
        self.at = at if isinstance(at, str) else None

    def _put_aside(self) -> None:
        """Keeps a damaged file beside the new one: it is the learner's, and may have been another program's."""
        aside = self.path.with_name(self.path.name + ".damaged")
        self.said = f"{self.path} is damaged: starting from the first exercise"
        with contextlib.suppress(OSError):
            os.replace(self.path, aside)
            self.said += f"; what was in it is in {aside}"

    def write(self) -> None:
        """Says in .said, and does not raise, where the file cannot be written: the exercises go on."""
        text = json.dumps({"version": VERSION, "done": self.done, "at": self.at}) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._replace(text)
        except OSError as error:
            self.said = f"progress cannot be kept in {self.path} ({error.strerror or error})"

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
