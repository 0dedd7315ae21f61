"""Progress: a bar on stderr during training. Imported only when one is shown, as rich takes a while to load."""

from __future__ import annotations

from types import TracebackType

from rich import progress as bars

from pybackprop.core.terminal import stderr_console
from pybackprop.engine.records import Moment


class Progress:
    """A live bar on stderr over all steps, with the losses of the last epoch."""

    bar: bars.Progress
    epochs: int
    task: bars.TaskID

    def __init__(self, epochs: int, steps: int, done: int, shown: bool) -> None:
        console = stderr_console()
        self.bar = bars.Progress(
            bars.TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            bars.BarColumn(),
            bars.TimeRemainingColumn(),
            bars.TextColumn("{task.fields[text]}"),
            console=console,
            disable=not (shown and console.is_terminal),
        )
        total, completed = steps * epochs or None, steps * done  # no steps: a loader that does not tell
        self.epochs = epochs
        self.task = self.bar.add_task("train", total=total, completed=completed, epoch=done, epochs=epochs, text="")

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
            self.bar.update(self.task, completed=completed, total=self.epochs * moment.steps or None)
        else:
            self.bar.update(self.task, completed=completed, epoch=moment.epoch)
            self.say(moment.done.loss, validation=moment.done.validation)

    def say(self, loss: float, validation: float | None = None, accuracy: float | None = None) -> None:
        """Shows what is known about the last epoch."""
        text = f"loss {loss:.5f}"
        text += "" if validation is None else f"  validation {validation:.5f}"
        text += "" if accuracy is None else f"  accuracy {accuracy:.2%}"
        self.bar.update(self.task, text=text)
