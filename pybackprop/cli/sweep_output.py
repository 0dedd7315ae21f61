"""A sweep's progress and its table. Loads rich."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich import progress as bars
from rich.table import Table
from rich.text import Text

from pybackprop.cli import grid
from pybackprop.core.printable import printable
from pybackprop.core.terminal import stderr_console, stdout_console
from pybackprop.core.units import seconds_text
from pybackprop.train.sweep import Outcome

WIDTH = 150
SHOWN = 12  # characters of a digest
NAMES = {"accuracy": "accuracy", "r2": "R²", "-loss": "loss"}


class Progress:
    """A live bar on stderr over all candidates, with the best score so far; nothing where stderr is no terminal."""

    bar: bars.Progress
    task: bars.TaskID

    def __init__(self, total: int, shown: bool) -> None:
        console = stderr_console()
        self.bar = bars.Progress(
            bars.TextColumn("candidate {task.completed}/{task.total}"),
            bars.BarColumn(),
            bars.TimeRemainingColumn(),
            bars.TextColumn("{task.fields[text]}"),
            console=console,
            disable=not (shown and console.is_terminal),
        )
        self.task = self.bar.add_task("sweep", total=total, text="")

    def start(self, done: int) -> None:
        self.bar.start()
        self.bar.update(self.task, completed=done)

    def stop(self) -> None:
        self.bar.stop()

    def say(self, done: int, best: Outcome | None) -> None:
        """So many candidates are done, and this is the best of them."""
        text = "" if best is None else f"best {NAMES[best.measure]} {score_text(best.measure, best.score)}"
        self.bar.update(self.task, completed=done, text=text)


def score_text(measure: str | None, score: float | None) -> str:
    """A score in its own unit: 97.22%, 0.8431, and the loss."""
    if measure is None or score is None:
        return ""
    if measure == "accuracy":
        return f"{score:.2%}"
    return f"{score:.4f}" if measure == "r2" else f"{-score:.6f}"


def show(rows: Sequence[Mapping[str, Any]], varied: Sequence[str], saved: Path | None) -> None:
    """Prints the candidates, which are ranked, with the settings that vary, and how to train the best one."""
    console = stdout_console(WIDTH)
    measure = rows[0]["measure"]
    shown = Table(title=f"{len(rows)} candidates, the best first", title_justify="left", box=box.SIMPLE_HEAD)
    shown.add_column("", justify="right")
    for name in varied:
        shown.add_column(grid.option(name), justify="right")
    for name in (NAMES[measure] if measure else "", "loss", "validation loss", "time"):
        shown.add_column(name, justify="right")
    shown.add_column("digest, or what went wrong", overflow="fold")
    for rank, row in enumerate(rows, 1):
        shown.add_row(*_cells(rank, row, varied))
    console.print(shown)
    if measure:
        print(printable(f"the best: {rows[0]['train']}"))
        if saved is not None:
            print(printable(f"its checkpoint: {saved}"))


def _cells(rank: int, row: Mapping[str, Any], varied: Sequence[str]) -> list[Text]:
    given = row["given"]
    texts = [str(rank), *(grid.value_text(given[name]) if name in given else "" for name in varied)]
    texts.append(score_text(row["measure"], row["score"]))
    texts += ["" if row[name] is None else f"{row[name]:.6f}" for name in ("loss", "valid_loss")]
    texts += [seconds_text(row["seconds"]) if row["digest"] else "", row["error"] or row["digest"][:SHOWN]]
    return [Text(printable(text)) for text in texts]
