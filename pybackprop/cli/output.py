"""Tables of two columns, and the summary of a training run. Loads rich."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from pybackprop.core.printable import printable
from pybackprop.core.terminal import stdout_console
from pybackprop.core.units import bytes_text, seconds_text
from pybackprop.data import Description
from pybackprop.data.description import shortened
from pybackprop.train.trainer import Settings, Trainer

WIDTH = 110  # of text that does not go to a terminal


def summary(trainer: Trainer, report: Mapping[str, Any], valid_loss: float | None) -> None:
    """Prints the result of a training run as a table."""
    parts, s = trainer.parts, trainer.settings
    sizes = [trainer.model.parameters()[0].shape[0], *s.hidden, parts.outputs]
    peak, rate = report["peak_bytes"], report["samples_per_second"]
    speed = f", {rate:,.0f} samples/s" if rate else ""
    lines = {
        "network": " → ".join(map(str, sizes)) + f", {s.dtype}, batch {s.batch}, lr {s.lr:g}, {_rule(s)}",
        "samples": f"{parts.rows} to train, {parts.valid_rows} to validate",
        **({} if trainer.description is None else described(trainer.description)),
        "loss": f"{report['loss']:.6f}" + ("" if valid_loss is None else f", {valid_loss:.6f} on the validation part"),
        "accuracy": "" if report["accuracy"] is None else f"{report['accuracy']:.2%} on the validation part",
        "R²": "" if report["r2"] is None else f"{report['r2']:.4f} on the validation part",
        "epochs": f"{report['epochs']} in {seconds_text(report['seconds'])}{speed}",
        "peak memory": "" if peak is None else f"{bytes_text(peak)} of the whole process",
        "kernel": f"{report['kernel']}, {report['threads']} threads at most",
        "digest": report["digest"],
    }
    table("trained", {name: text for name, text in lines.items() if text})


def _rule(s: Settings) -> str:
    """How the parameters were updated; of what is usual only SGD's momentum."""
    texts = [f"momentum {s.momentum:g}" if s.optimizer == Settings.optimizer else s.optimizer]
    texts += ["nesterov"] * s.nesterov + [f"weight decay {s.weight_decay:g}"] * (s.weight_decay != 0)
    texts += [f"schedule {s.schedule}"] * (s.schedule != Settings.schedule)
    texts += [] if s.clip_norm is None else [f"clip norm {s.clip_norm:g}"]
    return ", ".join(texts)


SCALED = {
    "standard": "standardised with the training part's mean and deviation",
    "bytes": "divided by 255",
    "unit": "kept",
    "none": "kept",
}


def described(description: Description) -> dict[str, str]:
    """What was decided about the data, and why."""
    d, why = description, description.reasons
    if d.classifies:
        task = f"{len(d.labels)} classes: {shortened(d.labels, 10)}"
    else:
        task = "a regression" + (", standardised: so is the loss" if d.target_scaling.kind == "standard" else "")
    left_out = f"; left out: {', '.join(name or 'a column without a name' for name in d.left_out)}"
    texts = [(k, known) for k, known in enumerate(d.categories) if known]
    named = [f"{d.columns[k] if d.columns else f'column {k + 1}'} ({shortened(known, 5)})" for k, known in texts]
    return {
        "target": f"{d.target} ({why.get('target', '')})",
        "task": f"{task} ({why.get('task', '')})",
        "features": f"{d.features}, {SCALED[d.scaling.kind]} ({why.get('scale', '')})" + left_out * bool(d.left_out),
        "texts": "one column of 0 and 1 for each: " + ", ".join(named) if named else "",
        "missing": f"{why['missing']} (--missing {d.missing})" if "missing" in why else "",
    }


def table(title: str, lines: Mapping[str, str]) -> None:
    """Prints two columns on stdout: a table in a terminal, plain unwrapped lines elsewhere."""
    console = stdout_console(WIDTH)
    shown = Table(title=title, show_header=False, title_justify="left")
    shown.add_column(style="bold")
    shown.add_column(overflow="fold")
    safe = {printable(name): printable(text) for name, text in lines.items()}
    for name, text in safe.items():
        shown.add_row(Text(name), Text(text))
    if console.is_terminal:
        console.print(shown)
    else:
        for name, text in safe.items():
            print(f"{name:<12} {text}")
