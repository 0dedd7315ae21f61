"""A trained network for `pybackprop explain --model`, run on rows that are scaled as those it was trained on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pybackprop import data
from pybackprop.core.arrays import Array
from pybackprop.core.errors import GradientError

if TYPE_CHECKING:
    from pybackprop.teach.example import Example
    from pybackprop.teach.explain.explain import Explanation
    from pybackprop.teach.page.scene import Scene
    from pybackprop.train.model_file import Contents


def trained(options: argparse.Namespace, path: Path | None) -> Example:
    """The network of the checkpoint --model, after forward and backward on the first rows of path (of the digits).

    Raises CheckpointError and DataError, and ValueError for rows without targets or with classes it does not know.
    """
    from pybackprop.cli.predict import samples
    from pybackprop.teach.example import ROWS, on_model
    from pybackprop.train.model_file import read

    for name in ("target", "task", "scale"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name}: with --model the data are read as in its training; leave it out")
    if path is not None and data.is_stored(path, None):
        raise ValueError(f"--data: {path} holds shards, which explain does not read; give a single file")
    contents = read(options.model)
    x, y = samples(contents, path, options.missing, is_json=options.json)
    where = "the digits" if path is None else str(path)
    if y is None or not len(y):
        raise ValueError(f"--data: {where}: found no targets; --model needs them for the loss")
    return on_model(contents.model, x[:ROWS], _targets(contents, y[:ROWS], where))


def _targets(contents: Contents, y: Array, where: str) -> Array:
    """y as the loss takes it: classes by number, or as rows of 0 and 1, or targets (n,h) scaled as in training."""
    from pybackprop.nn.network import takes_labels

    *_, last = (p for p in contents.parameters.values() if p.ndim > 1)
    outputs, dtype = last.shape[1], last.dtype
    if not contents.classifies:
        scaling = None if contents.description is None else contents.description.target_scaling
        return np.asarray(y, dtype) if scaling is None else scaling.apply(y, dtype)
    if y.dtype.kind != "i":
        return np.asarray(y, dtype)
    unknown = (y < 0) | (y >= outputs)
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ValueError(f"--data: {where}: row {row}, counted from 0: found a class that the model does not know")
    return y if takes_labels(contents.model.loss.op) else np.asarray(np.eye(outputs, dtype=dtype)[y])


def page_of(explanation: Explanation, options: argparse.Namespace) -> Scene:
    """What the page shows. Raises GradientError, which says what to do instead, for a network that it cannot show."""
    try:
        return explanation.scene()
    except (GradientError, TypeError, ValueError) as error:
        raise GradientError(
            f"--{'serve' if options.serve else 'html'}: the page shows layers of lin and relu that end in mse, and not "
            f"this network: {error}. Without it the explanation is printed"
        ) from error
