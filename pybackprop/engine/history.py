"""What fit returns: the Epochs, with a short repr, a figure and a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

from pybackprop.core.plotting import notebook_figure
from pybackprop.core.units import seconds_text
from pybackprop.engine.records import Epoch


class History(list[Epoch]):
    """The Epochs of a training run, in order: a list, as long as the epochs that were done.

    `history = plan.fit(x, targ, epochs=20, validation=(x_valid, targ_valid))`

    history[-1].loss      the last epoch's mean loss
    history.best          the Epoch with the least validation loss, or without one, the least loss
    history.plot()        a matplotlib Figure, which notebooks show
    history.to_frame()    a pandas DataFrame, one row for each epoch
    """

    @property
    def best(self) -> Epoch:
        """The Epoch with the least validation loss, or where there is none, with the least loss; the first of equals.

        Raises ValueError if there are no epochs.
        """
        if not self:
            raise ValueError("history.best: no epoch was done")
        return min(self, key=self._judged_by())

    def _judged_by(self) -> Callable[[Epoch], float]:
        if any(epoch.validation is None for epoch in self):
            return lambda epoch: epoch.loss
        return lambda epoch: float(epoch.validation)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        if not self:
            return "History of no epochs"
        first, last, best = self[0], self[-1], self.best
        seconds = seconds_text(sum(epoch.seconds for epoch in self))
        lines = [
            f"History of {len(self)} epoch{'s' * (len(self) > 1)}, {seconds} of steps",
            f"    loss        {first.loss:.6g} → {last.loss:.6g}",
        ]
        if best.validation is not None and first.validation is not None and last.validation is not None:
            lines.append(
                f"    validation  {first.validation:.6g} → {last.validation:.6g}, least {best.validation:.6g} in epoch "
                f"{best.epoch}"
            )
        return "\n".join(lines)

    def plot(self) -> Any:
        """The losses over the epochs, as a matplotlib Figure. Raises ImportError without matplotlib."""
        figure = notebook_figure("history.plot", figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot()
        axes.set(xlabel="epoch", ylabel="loss", yscale="log")
        axes.plot([e.epoch for e in self], [e.loss for e in self], marker=".", label="training loss")
        validated = [e for e in self if e.validation is not None]
        if validated:
            axes.plot(
                [e.epoch for e in validated], [e.validation for e in validated], marker=".", label="validation loss"
            )
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
        return figure

    def to_frame(self) -> Any:
        """A pandas DataFrame with the columns epoch, loss, validation, lr and seconds.

        Raises ImportError without pandas.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("history.to_frame: needs pandas; pip install 'pybackprop[tables]'") from error
        return pd.DataFrame([asdict(epoch) for epoch in self], columns=[field.name for field in fields(Epoch)])
