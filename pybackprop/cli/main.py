"""The command line: train and predict, explain, judge and learn, bench and info."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from pybackprop import data
from pybackprop.cli.bench import add_parser as bench_parser
from pybackprop.cli.explain import add_parser as explain_parser
from pybackprop.cli.judge import add_parsers as judge_parsers
from pybackprop.cli.memory import add_parser as memory_parser
from pybackprop.core import settings
from pybackprop.core.errors import DivergedError
from pybackprop.train import checkpoint
from pybackprop.train.trainer import Settings, Trainer, accuracy_of, load_model, settings_of

DEFAULTS = Settings()
INTERRUPTED = 128 + signal.SIGINT
DATA_HELP = "a folder of MNIST's IDX files, a .npz or a .csv; without it the UCI digits that are built in"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code. 0 done, 1 an error said on stderr, 2 wrong usage, 130 interrupted."""
    options = parser().parse_args(arguments)
    try:
        code = options.command(options)
        sys.stdout.flush()
        return int(code)
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, e.g. `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, RuntimeError, DivergedError, OSError, MemoryError, ImportError) as error:
        _say(f"error: {error or type(error).__name__}")
        return 1


def _say(words: str) -> None:
    print(f"pybackprop: {words}", file=sys.stderr)


# ---- what can be asked for ----


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="pybackprop", description="mse(relu(x @ w + b)), forward and backward: train it, explain it, measure it"
    )
    top.add_argument("--version", action="version", version=f"pybackprop {metadata.version('pybackprop')}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _train_parser(commands)
    predict = commands.add_parser("predict", help="what a trained model says about data")
    predict.add_argument("--model", required=True, type=Path, metavar="FILE", help="a checkpoint of 'train --save'")
    predict.add_argument("--data", type=Path, metavar="PATH", help=DATA_HELP + " (their validation part)")
    predict.add_argument("--json", action="store_true", help="one JSON object: predictions, accuracy")
    predict.set_defaults(command=run_predict)
    info = commands.add_parser("info", help="version, CPU, kernels, threads, OpenMP, compiler")
    info.add_argument("--json", action="store_true", help="one JSON object")
    info.set_defaults(command=run_info)
    bench_parser(commands, _whole)
    explain_parser(commands)
    judge_parsers(commands)
    memory_parser(commands, _whole, _sizes)
    return top


def _train_parser(commands: Any) -> None:
    train = commands.add_parser(
        "train",
        help="train an mlp and say how well it did",
        description="Trains an mlp with mse and SGD; labels become rows of the identity matrix. "
        "The digest (sha256 of the final parameters) is the same on every machine.",
    )
    given = train.add_argument
    given("--data", type=Path, metavar="PATH", help=DATA_HELP)
    given(
        "--hidden", type=_sizes, metavar="N,N", help=f"sizes of the hidden layers ({DEFAULTS.hidden[0]}); '' for none"
    )
    given("--epochs", type=_whole, metavar="N", help=f"passes over the training samples, in all ({DEFAULTS.epochs})")
    given("--batch", type=_whole, metavar="N", help=f"samples in a step ({DEFAULTS.batch})")
    given("--lr", type=float, metavar="RATE", help=f"learning rate ({DEFAULTS.lr})")
    given("--momentum", type=float, metavar="MU", help=f"momentum of the SGD ({DEFAULTS.momentum})")
    given("--seed", type=int, metavar="N", help=f"of the first parameters and the order of samples ({DEFAULTS.seed})")
    given("--dtype", choices=["float32", "float64"], help=f"of data and parameters ({DEFAULTS.dtype})")
    given("--threads", type=_whole, metavar="N", help="for large steps; changes no bit of the result")
    given("--save", type=Path, metavar="FILE", help="write a checkpoint after every epoch: .safetensors or .npz")
    given("--resume", type=Path, metavar="FILE", help="go on from a checkpoint, with its settings where none are given")
    given("--plot", type=Path, metavar="FILE.png", help="draw loss and accuracy over the epochs")
    given("--json", action="store_true", help="one JSON object instead of the summary")
    given("--quiet", action="store_true", help="no progress, no summary")
    train.set_defaults(command=run_train)


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from 1")
    return int(text)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(_whole(part.strip()) for part in text.split(",")) if text.strip() else ()


# ---- train ----


def run_train(options: argparse.Namespace) -> int:
    if options.plot is not None:
        from pybackprop.core import plotting

        plotting.check(options.plot)
    if options.threads is not None:
        settings.set_threads(options.threads)
    trainer = _trainer(options)
    if options.save is not None:
        checkpoint.check_place(options.save)  # better known before the training than after it
    code = _train(trainer, options)
    if options.plot is not None and trainer.losses:
        plotting.draw(options.plot, trainer.losses, trainer.accuracies)
    if code == 0:
        _report(trainer, options)
    return code


def _trainer(options: argparse.Namespace) -> Trainer:
    wanted = DEFAULTS if options.resume is None else settings_of(options.resume)
    given = {name: getattr(options, name) for name in asdict(DEFAULTS) if getattr(options, name) is not None}
    if options.resume is not None:
        for name in ("hidden", "seed", "dtype"):
            if given.get(name, getattr(wanted, name)) != getattr(wanted, name):
                raise ValueError(f"--{name}: {options.resume} was trained with {getattr(wanted, name)!r}; leave it out")
    wanted = replace(wanted, **given)
    split = data.digits(wanted.dtype) if options.data is None else data.dataset(options.data, wanted.dtype)
    trainer = Trainer(wanted, split)
    if options.resume is not None:
        trainer.restore(options.resume)
        if trainer.epoch >= wanted.epochs:
            raise ValueError(f"--epochs: {options.resume} has {trainer.epoch} already; give a larger number to go on")
    return trainer


def _train(trainer: Trainer, options: argparse.Namespace) -> int:
    """All epochs, with progress and checkpoints; the exit code."""
    from pybackprop.engine.progress import Progress

    kept = ""
    epochs = trainer.settings.epochs
    with Progress(epochs, trainer.steps, trainer.epoch, shown=not options.quiet) as progress:
        try:
            while trainer.epoch < epochs:
                trainer.run_epoch(progress.update)
                progress.say(trainer.losses[-1], accuracy=trainer.accuracies[-1])
                if options.save is not None:
                    trainer.save(options.save)
                    kept = f"; {options.save} holds the state after epoch {trainer.epoch}"
        except KeyboardInterrupt:
            progress.stop()
            _say(f"interrupted in epoch {min(trainer.epoch + 1, epochs)}{kept}")
            return INTERRUPTED
    return 0


def _report(trainer: Trainer, options: argparse.Namespace) -> None:
    found = {
        "loss": trainer.losses[-1],
        "accuracy": trainer.accuracies[-1],
        "epochs": trainer.epoch,
        "seconds": round(trainer.seconds, 6),
        "samples_per_second": round(trainer.samples / trainer.seconds, 1) if trainer.seconds else None,
        "peak_bytes": peak_bytes(),
        "digest": trainer.digest(),
        "kernel": settings.kernel(),
        "threads": settings.threads(),
    }
    if options.json:
        print(json.dumps(found))
    elif not options.quiet:
        from pybackprop.cli import output

        output.summary(trainer, found)


def peak_bytes() -> int | None:
    """The largest amount of memory that this process has had, in bytes; None where it cannot be asked for."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# ---- predict, info ----


def run_predict(options: argparse.Namespace) -> int:
    model, classifies = load_model(options.model)
    weights = model.parameters()[0]
    features, dtype = weights.shape[0], weights.dtype
    x, labels = _samples(options.data, features, dtype)
    outputs = model.predict(x).data
    comparable = classifies and labels is not None and labels.dtype.kind in "iu" and len(labels)
    accuracy = accuracy_of(outputs, labels) if comparable else None
    predictions = (outputs.argmax(1) if classifies else outputs).tolist()
    if options.json:
        print(json.dumps({"predictions": predictions, "accuracy": accuracy}))
        return 0
    for prediction in predictions:
        print(prediction if classifies else ",".join(f"{value:.9g}" for value in prediction))
    if accuracy is not None:
        _say(f"accuracy {accuracy:.2%} on {len(x)} samples")
    return 0


def _samples(path: Path | None, n_features: int, dtype: Any) -> tuple[Any, Any]:
    if path is not None:
        return data.features(path, n_features, dtype)
    digits = data.digits(dtype)
    if digits.x_valid.shape[1] != n_features:
        raise ValueError(f"--data: the model takes {n_features} features; give data that has as many")
    return digits.x_valid, digits.y_valid


def run_info(options: argparse.Namespace) -> int:
    found = settings.info()
    if options.json:
        print(json.dumps(found))
    else:
        from pybackprop.cli import output

        output.table("pybackprop", {name: _words(value) for name, value in found.items()})
    return 0


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)
