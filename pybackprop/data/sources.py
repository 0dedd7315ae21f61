"""Sources: samples as a file has them, before anything is scaled: a folder of MNIST's files, a .npz or a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.data import rules
from pybackprop.data.categories import Categories, categories_of, encoded
from pybackprop.data.description import CLASSIFICATION, shortened
from pybackprop.data.errors import DataError
from pybackprop.data.files import load
from pybackprop.data.idx import GZIP, read_idx
from pybackprop.data.parts import check_lengths
from pybackprop.data.tables import STDIN, THROUGH_PANDAS, Table, read_table

TRAIN, VALID = "train", "t10k"
PARTS = [
    ("x_train", "y_train"),
    ("train_x", "train_y"),
    ("train_images", "train_labels"),
    ("train_data", "train_labels"),
]
OTHER_PARTS = {
    "x_train": [("x_valid", "y_valid"), ("x_val", "y_val"), ("x_test", "y_test")],
    "train_x": [("valid_x", "valid_y"), ("test_x", "test_y")],
    "train_images": [("valid_images", "valid_labels"), ("val_images", "val_labels"), ("test_images", "test_labels")],
    "train_data": [("valid_data", "valid_labels"), ("test_data", "test_labels")],
}
WHOLE = [("x", "y"), ("data", "target"), ("data", "labels"), ("images", "labels"), ("features", "labels")]
LONE = ("x", "data", "images", "features")


class Source(NamedTuple):
    """Samples as they were found: x (n,...) and y, of numbers or texts; y None where there are features alone.

    others    x and y of the validation part, where the source has one
    columns   names of the features, () where they have none
    target    name of the target;  target_at: its column;  why: it is the target
    left_out  names of columns that only number the rows
    labels    of the classes 0, 1, ..., where the source tells them
    task      where the kind of source decides it
    trains    whether x and y are, by their names, for training, and not to be predicted from
    categories  of each column of texts among the features, see data.categories; () where all are of numbers
    is_table  whether a missing cell may be meant by NaN
    """

    where: str
    x: Array
    y: Array | None
    others: tuple[Array, Array] | None = None
    columns: tuple[str, ...] = ()
    target: str = ""
    target_at: int | None = None
    why: str = ""
    left_out: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    task: str | None = None
    trains: bool = False
    categories: Categories = ()
    is_table: bool = False


def is_table(path: Path) -> bool:
    """Whether a path leads to a table, by its name and then by how its content begins."""
    if path == STDIN or path.suffix.lower() in THROUGH_PANDAS:
        return True
    if path.name.lower().endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".data")):
        return True
    if not path.is_file():
        return False
    with open(path, "rb") as stream:
        start = stream.read(6)
    return start != b"\x93NUMPY" and start[:2] not in (b"PK", GZIP, b"\0\0")


def read_source(path: Path, target: str | None = None, task: str | None = None) -> Source:
    """Samples with labels or targets. target: which column of a table they are, see rules.target_column; task: or None.

    Raises DataError where there is nothing to learn, and for anything that is not as it should be.
    """
    if path.is_dir():
        return mnist_source(path)
    if is_table(path):
        return _from_table(path, read_table(path), target, task)
    content = load(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds one array; expected samples and labels: a folder, a .npz or a .csv")
    found = from_arrays(path, content)
    if found is None:
        raise DataError(
            f"{path}: found {shortened(list(content)) or 'nothing'}, expected x and y, or x_train, y_train, x_valid, "
            "y_valid"
        )
    return found


def from_arrays(path: Path, arrays: dict[str, Array]) -> Source | None:
    """Samples by the names of a .npz, in capital or small letters; None where there are none."""
    known = {name.lower(): name for name in arrays}
    for pair in PARTS:
        if all(key in known for key in pair):
            x, y = _checked(path, arrays, known[pair[0]], known[pair[1]])
            there = (other for other in OTHER_PARTS[pair[0]] if all(key in known for key in other))
            other = next(there, None)
            others = None if other is None else _checked(path, arrays, known[other[0]], known[other[1]])
            return Source(str(path), x, y, others, target=known[pair[1]], why="by its name", trains=True)
    for pair in WHOLE:
        if all(key in known for key in pair):
            x, y = _checked(path, arrays, known[pair[0]], known[pair[1]])
            return Source(str(path), x, y, target=known[pair[1]], why="by its name")
    return None


def _checked(path: Path, arrays: dict[str, Array], x_key: str, y_key: str) -> tuple[Array, Array]:
    x, y = arrays[x_key], arrays[y_key]
    for key, array, kinds in ((x_key, x, "fiub"), (y_key, y, "fiubU")):
        if array.dtype.kind not in kinds or array.ndim == 0:
            raise DataError(f"{path}: {key}: found {array.dtype} of shape {array.shape}, expected rows of real numbers")
    check_lengths(f"{path}: {x_key}", x, f"{path}: {y_key}", y)
    return x, y


# ---- tables ----


def _from_table(path: Path, table: Table, choice: str | None, task: str | None) -> Source:
    count = len(table.columns)
    if count < 2:
        raise DataError(f"{path}: found one column, expected features and a label")
    try:
        if table.labels and choice is None:
            target, why = count - 1, "the last column, whose classes the first line names"
        else:
            target, why = rules.target_column(choice, table.names, table.columns)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    ids = [k for k in rules.id_columns(table.names, table.columns) if k != target]
    chosen = [k for k in range(count) if k != target and k not in ids]
    if not chosen:
        raise DataError(
            f"{path}: found no feature beside {table.title(target)}, the target, and {table.title(ids[0])}, which only "
            "numbers the rows"
        )
    names = [name.strip() for name in table.names]
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        places = " and ".join(str(k + 1) for k, name in enumerate(names) if name == twice)
        raise DataError(f"{path}: found columns {places} with the same name, {twice}; give each column its own")
    if task != CLASSIFICATION and table.has_slips(target):
        raise DataError(
            f"{table.slip(target)}, expected a number, as in most of the column, which is the target; with --task "
            "classification its cells are classes"
        )
    return table_source(path, table, chosen, target, categories_of(table, chosen), ids, why)


def table_source(
    path: Path,
    table: Table,
    features: Sequence[int],
    target: int | None,
    categories: Categories,
    ids: Sequence[int] = (),
    why: str = "",
) -> Source:
    """The samples of a table, whose columns are these. categories: of those of texts."""
    names = [name.strip() for name in table.names]
    x = encoded(table, features, categories)
    if target is None:
        return Source(str(path), x, None, categories=categories, is_table=True)
    y = table.columns[target]
    return Source(
        str(path),
        x,
        y,
        columns=tuple(names[k] for k in features) if names else (),
        target=names[target] if names else f"column {target + 1}",
        target_at=target,
        why=why,
        left_out=tuple(names[k] for k in ids),
        labels=table.labels,
        categories=categories,
        is_table=True,
    )


# ---- MNIST's folder ----


def mnist_source(folder: Path) -> Source:
    """The images and labels of a folder in MNIST's format; with one of the two pairs, there are no others."""
    pairs = [_mnist_pair(folder, part) for part in (TRAIN, VALID)]
    found = [pair for pair in pairs if pair is not None]
    if not found:
        names = sorted(entry.name for entry in folder.iterdir())[:10] if folder.is_dir() else ["no such folder"]
        raise DataError(f"{folder}: found {', '.join(names) or 'nothing'}, expected train-images-idx3-ubyte and so on")
    others = found[1] if len(found) > 1 else None
    return Source(
        str(folder), *found[0], others, target="labels", why="MNIST's labels", task=CLASSIFICATION, trains=True
    )


def has_mnist(folder: Path) -> bool:
    """Whether a folder has one of MNIST's files."""
    kinds = ("images", 3), ("labels", 1)
    return any(_mnist_file(folder, part, *kind) is not None for part in (TRAIN, VALID) for kind in kinds)


def _mnist_pair(folder: Path, part: str) -> tuple[Array, Array] | None:
    images_path, labels_path = (_mnist_file(folder, part, *kind) for kind in (("images", 3), ("labels", 1)))
    if images_path is None and labels_path is None:
        return None
    if images_path is None or labels_path is None:
        missing = "images" if images_path is None else "labels"
        raise DataError(f"{folder}: {part}-{missing} is missing, and {images_path or labels_path} is there")
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise DataError(
            f"{labels_path}: labels: found {labels.dtype} from {labels.min(initial=0)}, expected whole numbers from 0"
        )
    check_lengths(str(images_path), images, str(labels_path), labels)
    return images, labels.astype(np.int64)


def _mnist_file(folder: Path, part: str, kind: str, rank: int) -> Path | None:
    names = [f"{part}-{kind}{mark}idx{rank}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def flat(x: Array) -> Array:
    """One row for each sample."""
    width = int(np.prod(x.shape[1:], dtype=np.int64))
    return x.reshape(len(x), width)
