"""The figure of a training run: `pybackprop train --plot`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pybackprop.core.plotting import matplotlib_figure


def draw(path: Path, losses: Sequence[float], accuracies: Sequence[float | None]) -> None:
    """Loss (left, logarithmic) and validation accuracy (right) over the epochs."""
    figure = matplotlib_figure().Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    epochs = range(1, len(losses) + 1)
    (loss,) = axes.semilogy(epochs, losses, color="tab:blue", marker=".", label="training loss (mse)")
    axes.set(xlabel="epoch", ylabel="mean squared error")
    lines = [loss]
    if all(accuracy is not None for accuracy in accuracies):
        right = axes.twinx()
        lines += right.plot(epochs, accuracies, color="tab:orange", marker=".", label="validation accuracy")
        right.set(ylabel="validation accuracy", ylim=(None, 1))
    axes.legend(handles=lines, loc="center right")
    figure.savefig(path, dpi=150)
