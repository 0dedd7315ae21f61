"""Data sets: the built-in digits, MNIST's files, and your own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array, float_type
from pybackprop.core.files import read_npz
from pybackprop.data.errors import DataError
from pybackprop.data.files import load, read_csv
from pybackprop.data.idx import read_idx
from pybackprop.data.parts import Split, check_finite, check_lengths, split

LABEL_NAMES = ("label", "labels", "target", "class", "y")
TRAIN, VALID = "train", "t10k"
KEYS = [("x_train", "y_train", "x_valid", "y_valid"), ("x_train", "y_train", "x_test", "y_test")]


def digits(dtype: Any = np.float32) -> Split:
    """1,797 handwritten digits, 8x8 pixels: x (n,64) in 0 .. 1 in steps of 1/16, y (n,) of labels 0 .. 9.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
    doi 10.24432/C50P49, CC BY 4.0.
    """
    arrays = read_npz(Path(__file__).with_name("digits.npz"))
    return split(arrays["images"].astype(float_type(dtype)) / 16, arrays["labels"].astype(np.int64))


def mnist(folder: str | Path, dtype: Any = np.float32) -> Split:
    """MNIST or a set in its format: x (n,pixels) in 0 .. 1, y (n,) of labels.

    folder holds train-images-idx3-ubyte and train-labels-idx1-ubyte, and the same with t10k for validation; each
    may end in .gz, and have a dot before idx. With one of the two pairs, every fifth of its rows is for validation.
    """
    folder = Path(folder)
    pairs = [_mnist_pair(folder, part, float_type(dtype)) for part in (TRAIN, VALID)]
    if pairs[0] is not None and pairs[1] is not None:
        return Split(*pairs[0], *pairs[1])
    only = pairs[0] or pairs[1]
    if only is None:
        names = sorted(entry.name for entry in folder.iterdir())[:10] if folder.is_dir() else ["no such folder"]
        raise DataError(f"{folder}: found {', '.join(names) or 'nothing'}, expected train-images-idx3-ubyte and so on")
    return split(*only)


def _mnist_pair(folder: Path, part: str, dtype: np.dtype[Any]) -> tuple[Array, Array] | None:
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
    return _samples(images, dtype), labels.astype(np.int64)


def _mnist_file(folder: Path, part: str, kind: str, rank: int) -> Path | None:
    names = [f"{part}-{kind}{mark}idx{rank}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def dataset(path: str | Path, dtype: Any = np.float32) -> Split:
    """Samples with labels or targets from a folder in MNIST's format, a .npz or a .csv.

    .npz  x_train, y_train with x_valid, y_valid or x_test, y_test; or x, y
    .csv  a row for each sample; the label or target is the column named label, target, class or y, else the last
    x of whole numbers in a byte is divided by 255, x of more dimensions is flattened. Whole numbers from 0 in y
    are class labels, other numbers are targets. Raises DataError, also for NaN and infinity, saying where.
    """
    path, real = Path(path), float_type(dtype)
    if path.is_dir():
        return mnist(path, real)
    arrays = _by_name(path)
    for keys in KEYS:
        if all(key in arrays for key in keys):
            return Split(*_pair(path, arrays, keys[0], keys[1], real), *_pair(path, arrays, keys[2], keys[3], real))
    for x_key, y_key in (("x", "y"), ("x_train", "y_train")):
        if x_key in arrays and y_key in arrays:
            return split(*_pair(path, arrays, x_key, y_key, real))
    raise DataError(
        f"{path}: found {', '.join(arrays) or 'nothing'}, expected x and y, or x_train, y_train, x_valid, y_valid"
    )


def _by_name(path: Path) -> dict[str, Array]:
    if path.suffix.lower() == ".csv":
        return _labelled_rows(path, *read_csv(path))
    content = load(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds one array; expected samples and labels: a folder, a .npz or a .csv")
    return content


def _labelled_rows(path: Path, matrix: Array, names: list[str]) -> dict[str, Array]:
    if matrix.shape[1] < 2:
        raise DataError(f"{path}: found one column, expected features and a label")
    at = _label_column(names, matrix.shape[1])
    y = matrix[:, at]
    return {"x": np.delete(matrix, at, 1), "y": y.astype(np.int64) if is_labels(y) else y}


def _label_column(names: list[str], columns: int) -> int:
    plain = [name.strip().lower() for name in names]
    return next((plain.index(name) for name in LABEL_NAMES if name in plain), columns - 1)


def is_labels(y: Array) -> bool:
    """Whether all are whole numbers from 0, so that they can name classes."""
    return bool(np.isfinite(y).all() and (y >= 0).all() and (y == np.floor(y)).all() and (y < 2**53).all())


def _pair(path: Path, arrays: dict[str, Array], x_key: str, y_key: str, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    x, y = arrays[x_key], arrays[y_key]
    for key, array in ((x_key, x), (y_key, y)):
        if array.dtype.kind not in "fiub" or array.ndim == 0:
            raise DataError(f"{path}: {key}: found {array.dtype} of shape {array.shape}, expected rows of real numbers")
        check_finite(f"{path}: {key}", array)
    check_lengths(f"{path}: {x_key}", x, f"{path}: {y_key}", y)
    if y.dtype.kind in "iub" and y.size == len(y):
        return _samples(x, dtype), y.reshape(len(y)).astype(np.int64)
    return _samples(x, dtype), y.reshape(len(y), -1).astype(dtype)


def _samples(x: Array, dtype: np.dtype[Any]) -> Array:
    """One row for each sample; bytes become 0 .. 1."""
    width = int(np.prod(x.shape[1:], dtype=np.int64))
    rows = x.reshape(len(x), width).astype(dtype)
    return rows / dtype.type(255) if x.dtype == np.uint8 else rows


def features(path: str | Path, n_features: int, dtype: Any = np.float32) -> tuple[Array, Array | None]:
    """(x (n,n_features), labels or targets or None) to predict from: as `dataset`, its validation part; or an IDX,
    .npy or .csv file of features alone. Raises DataError where the number of features differs."""
    path, real = Path(path), float_type(dtype)
    x, y = _features(path, n_features, real)
    if x.shape[1] != n_features:
        raise DataError(f"{path}: found {x.shape[1]} features in a row, expected {n_features}")
    check_finite(str(path), x)
    return x, y


def _features(path: Path, n_features: int, dtype: np.dtype[Any]) -> tuple[Array, Array | None]:
    if path.is_dir():
        return mnist(path, dtype)[2:]
    if path.suffix.lower() == ".csv":
        matrix, names = read_csv(path)
        if matrix.shape[1] == n_features + 1:
            return _pair(path, _labelled_rows(path, matrix, names), "x", "y", dtype)
        return _samples(matrix, dtype), None
    content = load(path)
    if isinstance(content, dict):
        if "x" in content and "y" not in content:
            return _samples(content["x"], dtype), None
        return dataset(path, dtype)[2:] if "x_train" in content else _pair(path, content, "x", "y", dtype)
    dtype_of, shape = content.dtype, content.shape
    if dtype_of.kind not in "fiub" or len(shape) < 2:
        raise DataError(f"{path}: found {dtype_of} of shape {shape}, expected rows of {n_features} numbers")
    return _samples(content, dtype), None
