"""What people see of a training at its end: a summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from pybackprop.train.trainer import Trainer


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
        "peak memory": ""
        if found["peak_bytes"] is None
        else f"{found['peak_bytes'] / 1e6:.1f} MB of the whole process",
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
