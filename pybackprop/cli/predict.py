"""`pybackprop predict`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pybackprop import data
from pybackprop.cli import mpi
from pybackprop.cli.data_options import MISSING_HELP, add_window, refuse_window
from pybackprop.cli.train import DATA_HELP
from pybackprop.core.printable import printable
from pybackprop.data.sources import is_table
from pybackprop.engine.compile import compile
from pybackprop.train import scores
from pybackprop.train.model_file import Contents, read

BATCH = 4096  # rows that the ranks share at a time

UNDESCRIBED = (
    "{model} says nothing of its data, so the columns of {data} are taken in their order, as they are; "
    "bp.save(model, path, description=...) keeps how they were scaled"
)


def add_parser(commands: Any) -> None:
    """Adds `predict` to the command line."""
    predict = commands.add_parser("predict")
    predict.add_argument("--model", required=True, type=Path, metavar="FILE", help="a checkpoint of 'train --save'")
    predict.add_argument("--data", type=Path, metavar="PATH", help=DATA_HELP + " (their validation part)")
    predict.add_argument("--json", action="store_true", help="print one JSON object: predictions, accuracy, r2")
    predict.add_argument("--mpi", action="store_true", help="share the rows with the other ranks of mpiexec")
    add_window(predict.add_argument)
    predict.add_argument("--missing", choices=data.MISSING, help=MISSING_HELP)
    predict.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    comm = mpi.communicator(options.mpi)
    return _run(options, None) if comm is None else mpi.together(comm, lambda: _run(options, comm))


def _run(options: argparse.Namespace, comm: Any) -> int:
    """All ranks compute; rank 0 alone shows."""
    contents = read(options.model)
    outputs_of = contents.model.predict if comm is None else compile(contents.model, batch=BATCH, comm=comm).predict
    is_first = comm is None or comm.Get_rank() == 0
    if options.data is not None and data.is_stored(options.data, options.window):
        outputs, y = _stored(options, contents, outputs_of)
    else:
        refuse_window(options)
        x, y = samples(contents, options.data, options.missing, is_json=options.json, tells=is_first)
        outputs = outputs_of(x).data
    if is_first:
        _show(options, contents, outputs, y)
    return 0


def _show(options: argparse.Namespace, contents: Contents, outputs: Any, y: Any) -> None:
    description = contents.description
    if description is not None:
        outputs = description.target_scaling.undo(outputs)
    accuracy, r2 = _scores(contents.classifies, outputs, y)
    predictions = outputs.tolist()
    if contents.classifies:
        classes = outputs.argmax(1).tolist()
        known = description is not None and description.labels
        predictions = [description.labels[k] for k in classes] if description is not None and known else classes
    if options.json:
        print(json.dumps({"predictions": predictions, "accuracy": accuracy, "r2": r2}))
        return
    for prediction in predictions:
        print(printable(str(prediction)) if contents.classifies else ",".join(f"{value:.9g}" for value in prediction))
    for name, score, form in (("accuracy", accuracy, ".2%"), ("R²", r2, ".4f")):
        if score is not None:
            print(f"pybackprop: {name} {score:{form}} on {len(outputs)} samples", file=sys.stderr)


def _scores(classifies: bool, outputs: Any, y: Any) -> tuple[float | None, float | None]:
    """(accuracy, R²): what can be told of outputs from y, which may be None."""
    if y is None or not len(y):
        return None, None
    if classifies:
        return (scores.accuracy(outputs, y) if y.dtype.kind in "iu" else None), None
    return None, scores.r2(outputs, y) if y.dtype.kind == "f" and y.shape == outputs.shape else None


def _stored(options: argparse.Namespace, contents: Contents, outputs_of: Callable[[Any], Any]) -> tuple[Any, Any]:
    """(outputs, y) of rows on disk, a block at a time."""
    if options.missing is not None:
        raise ValueError(f"--missing: {options.data} is read in blocks, and a missing number is an error; leave it out")
    weights = contents.parameters["w1"]
    features, dtype = weights.shape[0], weights.dtype
    rows, labels = data.stored_to_predict(options.data, contents.description, features, dtype, options.window)
    outputs, found = [], []
    for block in rows.blocks:
        part = rows.read(block)
        data.check_finite(f"{block.path}: scaled, as {dtype}", part.x)
        outputs.append(outputs_of(part.x).data)
        found.append(labels(part.targ))
    y = np.concatenate(found)
    known = not contents.classifies or (y.dtype.kind == "i" and (y >= 0).any())
    return np.concatenate(outputs), y if known else None


def samples(
    contents: Contents, path: Path | None, missing: str | None = None, *, is_json: bool = False, tells: bool = True
) -> tuple[Any, Any]:
    """(x, y) of path, or of the digits' validation part, scaled as the model's description says; y may be None.

    missing: as of data.read_rows. tells: whether what is remarkable about the data is said on stderr; is_json leaves
    out that the model says nothing of its data. Raises DataError, and ValueError for digits that the model does not
    take.
    """
    weights, description = contents.parameters["w1"], contents.description
    n_features, dtype = weights.shape[0], weights.dtype
    if path is not None:
        if description is None:
            if tells and not is_json and is_table(path):
                print(f"pybackprop: {UNDESCRIBED.format(model=contents.path, data=path)}", file=sys.stderr)
            return data.features(path, n_features, dtype)
        rows = data.read_rows(path, description, dtype, missing)
        if rows.told and tells:
            print(f"pybackprop: {path}: {rows.told}: a cell is missing (--missing drop)", file=sys.stderr)
        return rows.x, rows.y
    digits = data.digits(dtype)
    if digits.x_valid.shape[1] != n_features:
        raise ValueError(f"--data: the model takes {n_features} features; give data that has as many")
    if description is None:
        return digits.x_valid, digits.y_valid
    return description.scaling.apply(digits.x_valid, dtype), description.indices(digits.y_valid)
