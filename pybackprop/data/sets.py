"""Data sets: the built-in digits, MNIST's files, and your own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array, float_type
from pybackprop.core.files import read_npz
from pybackprop.data.description import CLASSIFICATION, Description
from pybackprop.data.errors import DataError
from pybackprop.data.parts import Split, check_finite, split
from pybackprop.data.reading import PIXELS, Choices, read, to_predict
from pybackprop.data.rules import is_whole
from pybackprop.data.scaling import Scaling, divided
from pybackprop.data.sources import flat, mnist_source


def digits(dtype: Any = np.float32) -> Split:
    """1,797 handwritten digits, 8x8 pixels: x (n,64) in 0 .. 1 in steps of 1/16, y (n,) of labels 0 .. 9.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
    doi 10.24432/C50P49, CC BY 4.0.
    """
    arrays = read_npz(Path(__file__).with_name("digits.npz"))
    return split(arrays["images"].astype(float_type(dtype)) / 16, arrays["labels"].astype(np.int64))


def digits_description() -> Description:
    """What the built-in digits are."""
    reasons = {"target": "the built-in digits", "task": "ten digits", "scale": "from 0 to 1 already"}
    return Description(
        64, CLASSIFICATION, target="digit", labels=tuple(range(10)), scaling=Scaling("unit"), reasons=reasons
    )


def mnist(folder: str | Path, dtype: Any = np.float32) -> Split:
    """MNIST or a set in its format: x (n,pixels) in 0 .. 1, y (n,) of labels.

    folder holds train-images-idx3-ubyte and train-labels-idx1-ubyte, and the same with t10k for validation; each
    may end in .gz, and have a dot before idx. With only one of the pairs, every fifth of its rows is for validation.
    """
    source, real = mnist_source(Path(folder)), float_type(dtype)
    assert source.y is not None
    x = _samples(source.x, real)
    if source.others is None:
        return split(x, source.y)
    return Split(x, source.y, _samples(source.others[0], real), source.others[1])


def dataset(
    path: str | Path,
    dtype: Any = np.float32,
    *,
    target: str | None = None,
    task: str | None = None,
    scale: str | None = None,
    missing: str | None = None,
) -> Split:
    """Samples with labels or targets from a folder in MNIST's format, a .npz or a table such as a .csv.

    .npz  x_train, y_train with x_valid, y_valid or x_test, y_test; or x, y; or other usual names, in any case
    .csv  a row for each sample; the label or target is the column named label, class, target or y, else the last
    x of whole numbers in a byte is divided by 255 and other x is kept, unless `scale` says "standard", "bytes" or
    "none"; x of more dimensions is flattened. Classes are numbered from 0 in the order of their labels. target,
    task and missing: as the options of `pybackprop train`, where the rules without them are documented.
    Raises DataError, also for NaN and infinity, saying where.
    """
    return read(path, dtype, Choices(target, task, scale or PIXELS, missing)).split


def _samples(x: Array, dtype: np.dtype[Any]) -> Array:
    """One row for each sample; bytes become 0 .. 1."""
    return divided(flat(x), dtype) if x.dtype == np.uint8 else flat(x).astype(dtype)


def features(path: str | Path, n_features: int, dtype: Any = np.float32) -> tuple[Array, Array | None]:
    """(x (n,n_features), labels or targets or None) to predict from, with a model that has no description of its data.

    As `dataset`, its validation part; or an IDX, .npy or .csv file of features alone. Only numbers of type uint8
    are divided by 255. Raises DataError where the number of features differs.
    """
    path, real = Path(path), float_type(dtype)
    source = to_predict(path, Description(n_features, CLASSIFICATION))
    x, y = _samples(source.x, real), source.y
    if x.shape[1] != n_features:
        raise DataError(f"{path}: found {x.shape[1]} features in a row, expected {n_features}")
    check_finite(str(path), x)
    if y is None or y.dtype.kind == "U":
        return x, None
    if y.size == len(y) and (y.dtype.kind in "iub" or (source.is_table and is_whole(y) and y.min(initial=0) >= 0)):
        return x, y.reshape(len(y)).astype(np.int64)
    return x, flat(y).astype(real)
