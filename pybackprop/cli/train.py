"""`pybackprop train`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from pybackprop import data
from pybackprop.cli import mpi
from pybackprop.cli.arguments import sizes, whole_number
from pybackprop.cli.data_options import add_choices, add_window, choices_of, refuse_choices, refuse_window
from pybackprop.core import plotting, settings
from pybackprop.core.interrupt import AtSafePoints
from pybackprop.core.printable import printable
from pybackprop.data import Choices, Description, Samples, StoredSplit
from pybackprop.data.tables import STDIN
from pybackprop.engine.records import Moment
from pybackprop.train import checkpoint
from pybackprop.train.contents import OPTIMIZER_NAMES
from pybackprop.train.model_file import description_of
from pybackprop.train.settings import completed
from pybackprop.train.trainer import DECAY_OF_ADAMW, RATE_OF_ADAM, SCHEDULES, Settings, Trainer, settings_of

DEFAULTS = Settings()
INTERRUPTED = 128 + signal.SIGINT
Found = tuple[data.Split | StoredSplit, Description]
DATA_HELP = (
    "a folder of MNIST's IDX files, a .npz or a table (.csv; - for stdin), or a folder of shards larger than memory "
    "(.npz, .npy, .parquet); without it the built-in UCI digits"
)


def add_parser(commands: Any) -> None:
    """Adds `train` to the command line."""
    train = commands.add_parser(
        "train",
        description="Trains an mlp with mse by SGD, Adam or AdamW; labels become rows of the identity matrix. "
        "The digest (sha256 of the final parameters) is the same on every machine.",
    )
    add = train.add_argument
    add("--data", type=Path, metavar="PATH", help=DATA_HELP)
    add_choices(add)
    add_window(add)
    add_settings(add)
    add(
        "--threads",
        type=whole_number,
        metavar="N",
        help="threads for large steps; the result stays the same, bit for bit",
    )
    add("--mpi", action="store_true", help="share the work with the other ranks of mpiexec; the result stays the same")
    add("--save", type=Path, metavar="FILE", help="write a checkpoint after every epoch: .safetensors or .npz")
    add("--resume", type=Path, metavar="FILE", help="continue from a checkpoint; its settings are the defaults")
    add("--plot", type=Path, metavar="FILE.png", help="draw loss and accuracy over the epochs")
    add("--json", action="store_true", help="print one JSON object instead of the summary")
    add("--quiet", action="store_true", help="print no progress and no summary")
    train.set_defaults(command=run)


def add_settings(add: Callable[..., Any]) -> None:
    """Adds an option for each of Settings; what is not given is None."""
    add("--hidden", type=sizes, metavar="N,N", help=f"sizes of the hidden layers ({DEFAULTS.hidden[0]}); '' for none")
    add("--epochs", type=whole_number, metavar="N", help=f"passes over the data, in all ({DEFAULTS.epochs})")
    add("--batch", type=whole_number, metavar="N", help=f"samples in a step ({DEFAULTS.batch})")
    rates = f"learning rate ({DEFAULTS.lr}; less for standardised features; {RATE_OF_ADAM} for adam and adamw)"
    add("--lr", type=float, metavar="RATE", help=rates)
    add("--optimizer", choices=[*OPTIMIZER_NAMES], help=f"how parameters are updated ({DEFAULTS.optimizer})")
    add("--momentum", type=float, metavar="MU", help=f"momentum of SGD ({DEFAULTS.momentum})")
    add("--nesterov", action="store_true", default=None, help="Nesterov's momentum, of SGD")
    decay = f"weight decay ({DEFAULTS.weight_decay:g}; {DECAY_OF_ADAMW} for adamw)"
    add("--weight-decay", type=float, metavar="RATE", help=decay)
    add("--schedule", choices=[*SCHEDULES], help=f"how the learning rate changes over the steps ({DEFAULTS.schedule})")
    add("--clip-norm", type=float, metavar="NORM", help="scale the gradients of each step down to this norm")
    add(
        "--seed",
        type=int,
        metavar="N",
        help=f"seed of the initial parameters and the order of samples ({DEFAULTS.seed})",
    )
    add("--dtype", choices=["float32", "float64"], help=f"of data and parameters ({DEFAULTS.dtype})")


def run(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    comm = mpi.communicator(options.mpi)
    return _run(options, None) if comm is None else mpi.together(comm, lambda: _run(options, comm))


def _run(options: argparse.Namespace, comm: Any) -> int:
    """Rank 0 alone writes and shows."""
    shows = not (options.json or options.quiet)
    if comm is not None and comm.Get_rank() > 0:
        options.save, options.plot, options.quiet, options.json = None, None, True, False
    if comm is not None and options.data == STDIN:
        mpi.share_stdin(comm)
    if options.plot is not None:
        plotting.check(options.plot)
    if options.threads is not None:
        settings.set_threads(options.threads)
    trainer = _trainer(options, comm)
    if options.save is not None:
        checkpoint.check_place(options.save)  # fail before the training, not after it
    code = _train(trainer, options)
    if options.plot is not None and trainer.losses:
        from pybackprop.cli import plot_training

        plot_training.draw(options.plot, trainer.losses, trainer.accuracies)
    if code == 0:
        r2, valid_loss = trainer.r2(), trainer.valid_loss() if shows else None  # of all ranks together
        if trainer.plan.is_first:
            _report(trainer, options, r2, valid_loss)
    return code


def _trainer(options: argparse.Namespace, comm: Any) -> Trainer:
    chosen = DEFAULTS if options.resume is None else settings_of(options.resume)
    given = {name: getattr(options, name) for name in asdict(DEFAULTS) if getattr(options, name) is not None}
    if options.resume is not None:
        fixed = ("hidden", "seed", "dtype", "optimizer", "schedule")
        for name in (*fixed, "epochs") if chosen.schedule != DEFAULTS.schedule else fixed:
            if given.get(name, getattr(chosen, name)) != getattr(chosen, name):
                raise ValueError(f"--{name}: {options.resume} was trained with {getattr(chosen, name)!r}; leave it out")
    samples = _samples(options, given.get("dtype", chosen.dtype))
    chosen = completed(given, samples[1], None if options.resume is None else chosen)
    trainer = Trainer(chosen, *samples, comm=comm)
    if options.resume is not None:
        trainer.restore(options.resume)
        if trainer.epoch >= chosen.epochs:
            raise ValueError(f"--epochs: {options.resume} has {trainer.epoch} already; give a larger number to go on")
    return trainer


def samples_of(options: argparse.Namespace, dtype: str) -> Samples:
    """What to train on from the start, in memory."""
    asked = choices_of(options)
    if options.data is None:
        refuse_choices(asked, "the built-in digits leave nothing to choose")
        return Samples(data.digits(dtype), data.digits_description())
    return data.read(options.data, dtype, asked)


def _samples(options: argparse.Namespace, dtype: str) -> Found:
    """What to train on: as asked for, else as the checkpoint tells that is resumed, else by the rules."""
    if options.data is None or not data.is_stored(options.data, options.window):
        refuse_window(options)
    if options.data is None:
        return samples_of(options, dtype)
    asked = choices_of(options)
    if options.resume is None:
        return _read(options, dtype, asked)
    known = description_of(options.resume, checkpoint.load(options.resume)[1])
    split, description = _read(options, dtype, asked.otherwise(known))
    return split, description if known is None else replace(description, reasons=known.reasons)


def _read(options: argparse.Namespace, dtype: str, asked: Choices) -> Found:
    if data.is_stored(options.data, options.window):
        return data.read_stored(options.data, dtype, asked, options.window)
    return data.read(options.data, dtype, asked)


def _train(trainer: Trainer, options: argparse.Namespace) -> int:
    """All epochs, with progress and checkpoints; the exit code."""
    from pybackprop.engine.progress import Progress

    saved = ""
    epochs = trainer.settings.epochs
    progress = Progress(epochs, trainer.steps, trainer.epoch, shown=not options.quiet)
    with AtSafePoints() as ctrl_c, progress:

        def update(moment: Moment) -> None:
            progress.update(moment)
            ctrl_c.check()

        try:
            while trainer.epoch < epochs:
                trainer.run_epoch(update)
                progress.say(trainer.losses[-1], accuracy=trainer.accuracies[-1])
                if options.save is not None:
                    trainer.save(options.save)
                    saved = f"; {options.save} holds the state after epoch {trainer.epoch}"
                trainer.plan.agree(partial(_go_on, ctrl_c))
        except KeyboardInterrupt:
            progress.stop()
            epoch = min(trainer.epoch + 1, epochs)
            if trainer.plan.is_first:
                print(printable(f"pybackprop: interrupted in epoch {epoch}{saved}"), file=sys.stderr)
            return INTERRUPTED
    return 0


def _go_on(ctrl_c: AtSafePoints) -> bool:
    """Whether to stop, which only an interrupt asks for: raises KeyboardInterrupt."""
    ctrl_c.check()
    return False


def _report(trainer: Trainer, options: argparse.Namespace, r2: float | None, valid_loss: float | None) -> None:
    warnings = warnings_of(trainer)
    report = {
        "loss": trainer.losses[-1],
        "accuracy": trainer.accuracies[-1],
        "r2": r2,
        "epochs": trainer.epoch,
        "seconds": round(trainer.seconds, 6),
        "samples_per_second": round(trainer.samples / trainer.seconds, 1) if trainer.seconds else None,
        "peak_bytes": peak_bytes(),
        "digest": trainer.digest(),
        "kernel": settings.kernel(),
        "threads": settings.threads(),
        "data": None if trainer.description is None else facts(trainer.description),
        "warnings": warnings,
    }
    for warning in warnings:
        print(printable(f"pybackprop: warning: {warning}"), file=sys.stderr)
    if options.json:
        print(json.dumps(report))
    elif not options.quiet:
        from pybackprop.cli import output

        output.summary(trainer, report, valid_loss)


def facts(description: Description) -> dict[str, Any]:
    """What was decided about the data, and why, for --json."""
    return {
        "target": description.target,
        "task": description.task,
        "classes": len(description.labels) or None,
        "labels": list(description.labels),
        "features": description.features,
        "columns": list(description.columns),
        "categories": _named_categories(description),
        "left_out": list(description.left_out),
        "missing": description.missing,
        "scale": "none" if description.scaling.kind == "unit" else description.scaling.kind,
        "target_scale": description.target_scaling.kind,
        "reasons": dict(description.reasons),
    }


def _named_categories(description: Description) -> dict[str, list[str]]:
    names = description.columns or [f"column {k}" for k in range(1, description.cells + 1)]
    return {name: list(known) for name, known in zip(names, description.categories, strict=False) if known}


def warnings_of(trainer: Trainer) -> list[str]:
    """What makes the result of a training worth less than its numbers say."""
    silent = trainer.silent_layers()
    if not silent:
        return []
    return [
        f"no unit of hidden layer {silent[0]} is alive: the outputs are the same for all samples; try a smaller --lr "
        f"(it is {trainer.settings.lr:g}), --scale standard or another --seed"
    ]


def peak_bytes() -> int | None:
    """The peak memory of this process in bytes; None if it is not known."""
    from pybackprop.bench import resident_memory

    known = resident_memory.peak()
    if known is not None:
        return known
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
