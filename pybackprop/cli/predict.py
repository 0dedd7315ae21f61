"""`pybackprop predict`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pybackprop import data
from pybackprop.cli.train import DATA_HELP
from pybackprop.train.model_file import read
from pybackprop.train.trainer import accuracy_of


def add_parser(commands: Any) -> None:
    """Adds `predict` to the command line."""
    predict = commands.add_parser("predict", help="the predictions of a trained model")
    predict.add_argument("--model", required=True, type=Path, metavar="FILE", help="a checkpoint of 'train --save'")
    predict.add_argument("--data", type=Path, metavar="PATH", help=DATA_HELP + " (their validation part)")
    predict.add_argument("--json", action="store_true", help="print one JSON object: predictions, accuracy")
    predict.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    contents = read(options.model)
    model, classifies, weights = contents.model, contents.classifies, contents.parameters["w1"]
    x, labels = _samples(options.data, weights.shape[0], weights.dtype)
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
        print(f"pybackprop: accuracy {accuracy:.2%} on {len(x)} samples", file=sys.stderr)
    return 0


def _samples(path: Path | None, n_features: int, dtype: Any) -> tuple[Any, Any]:
    if path is not None:
        return data.features(path, n_features, dtype)
    digits = data.digits(dtype)
    if digits.x_valid.shape[1] != n_features:
        raise ValueError(f"--data: the model takes {n_features} features; pass data with that many")
    return digits.x_valid, digits.y_valid
