"""What people see of a training: a progress bar and a summary. Only this and bench/screen.py import rich."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich import progress as bars
from rich.console import Console
from rich.table import Table

from pybackprop.core.units import bytes_text
from pybackprop.engine.fit import Moment
from pybackprop.train.trainer import Trainer


class Progress:
    """A live bar on stderr over all steps, with what is said about the last epoch."""

    def __init__(self, epochs: int, steps: int, done: int, shown: bool) -> None:
        console = Console(stderr=True)
        self.bar = bars.Progress(
            bars.TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            bars.BarColumn(),
            bars.TimeRemainingColumn(),
            bars.TextColumn("{task.fields[said]}"),
            console=console,
            disable=not (shown and (console.is_terminal or console.is_jupyter)),
        )
        total, completed = steps * epochs, steps * done
        self.task = self.bar.add_task("train", total=total, completed=completed, epoch=done, epochs=epochs, said="")

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        self.bar.stop()

    def update(self, moment: Moment) -> None:
        """A callback of Plan.fit."""
        completed = (moment.epoch - 1) * moment.steps + moment.step
        if moment.done is None:
            self.bar.update(self.task, completed=completed)
        else:
            self.bar.update(self.task, completed=completed, epoch=moment.epoch)
            self.say(moment.done.loss, validation=moment.done.validation)

    def say(self, loss: float, validation: float | None = None, accuracy: float | None = None) -> None:
        """What is known about the last epoch."""
        said = f"loss {loss:.5f}"
        said += "" if validation is None else f"  validation {validation:.5f}"
        said += "" if accuracy is None else f"  accuracy {accuracy:.2%}"
        self.bar.update(self.task, said=said)


def summary(trainer: Trainer, found: Mapping[str, Any]) -> None:
    """The end of a training, in a table on stdout."""
    valid_loss, split, s = trainer.valid_loss(), trainer.split, trainer.settings
    sizes = [trainer.model.parameters()[0].shape[0], *s.hidden, trainer.targets.shape[1]]
    lines = {
        "network": " → ".join(map(str, sizes)) + f", {s.dtype}, batch {s.batch}, lr {s.lr:g}, momentum {s.momentum:g}",
        "samples": f"{len(split.x_train)} to train, {len(split.x_valid)} to validate",
        "loss": f"{found['loss']:.6f}" + ("" if valid_loss is None else f", {valid_loss:.6f} on the validation part"),
        "accuracy": "" if found["accuracy"] is None else f"{found['accuracy']:.2%} on the validation part",
        "epochs": f"{found['epochs']} in {found['seconds']:.2f} s, {found['samples_per_second']:,.0f} samples/s",
        "peak memory": "" if found["peak_bytes"] is None else f"{bytes_text(found['peak_bytes'])} of the whole process",
        "kernel": f"{found['kernel']}, {found['threads']} threads at most",
        "digest": found["digest"],
    }
    table("trained", {name: words for name, words in lines.items() if words})


def table(title: str, lines: Mapping[str, str]) -> None:
    """Two columns on stdout, wrapped nowhere when piped."""
    console = Console()
    shown = Table(title=title, show_header=False, title_justify="left")
    shown.add_column(style="bold")
    shown.add_column(overflow="fold")
    for name, words in lines.items():
        shown.add_row(name, words)
    if console.is_terminal:
        console.print(shown)
    else:
        for name, words in lines.items():
            print(f"{name:<12} {words}")
