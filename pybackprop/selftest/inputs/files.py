"""Data files: MNIST's IDX, .npy and .npz, tables as text, compressed or not."""

from __future__ import annotations

import gzip
import io
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pybackprop import data
from pybackprop.core.errors import OutOfMemoryError
from pybackprop.data import DataError, Samples
from pybackprop.data.idx import write_idx
from pybackprop.selftest.case import INPUTS, Case, kind
from pybackprop.selftest.draw import Draw
from pybackprop.selftest.inputs.expect import ended
from pybackprop.selftest.inputs.mutate import damaged, misspelt

ERRORS = (DataError, OutOfMemoryError)
CELLS = (
    "", "0", "1", "-0", "1.5", "1e-3", "1e400", "-1e308", "nan", "NaN", "inf", "NA", "?", "None", "cat", "dog", '"1"',
    '"a,b"', "0x10", "1_000", "\u0661", "1,5", "1.000,5", " 7 ", "true", "99999999999999999999", "é", "\x1b[2J",
)  # fmt: skip
HEADS = ("label", "class", "target", "y", "id", "", "a", "b", "x1", "a", "1", "Unnamed: 0", '"q"')
WORDS = (*CELLS, *HEADS, ",", ";", "\t", " ", "\n", "\r", "\r\n", "#", '"', "'", "\ufeff", ",,", "\n\n")
NAMES = ("x", "y", "X", "data", "target", "x_train", "y_train", "x_test", "y_test", "labels", "images", "odd")
TYPES = ("f4", "f8", ">f4", "i1", "u1", "<i8", ">i2", "?", "f2", "c8", "U3", "S2", "M8[s]", "g", "V4")


def _reading(case: Case, path: Path) -> None:
    """Reads a file as a training would, and as a prediction would."""
    choices = data.Choices(
        case.draw.one_of((None, None, None, "first", "last", "label", "0", "-1", "é")),
        case.draw.one_of((None, None, *data.TASKS)),
        case.draw.one_of((None, None, *data.SCALES)),
        case.draw.one_of((None, None, *data.MISSING)),
    )
    case.draw.note("choices", choices)
    samples = ended(case, partial(data.read, path, np.float32, choices), *ERRORS)
    if samples is not None:
        _check_samples(case, samples)
        if case.draw.maybe(0.5):
            found = ended(case, partial(data.read_features, path, samples.description), *ERRORS)
            if found is not None:
                case.check.true("features are not finite", np.isfinite(found[0]).all())
    if case.draw.maybe(0.3):
        ended(case, partial(data.features, path, case.draw.between(1, 4)), *ERRORS)
        ended(case, partial(data.load, path), *ERRORS)


def _check_samples(case: Case, samples: Samples) -> None:
    x, y, x_valid, y_valid = samples.split
    check = case.check
    check.true(f"x is {x.dtype} {x.shape}", x.dtype == np.float32 and x.ndim == 2)
    check.true(f"{len(x)} rows of x, {len(y)} of y", len(x) == len(y) and len(x_valid) == len(y_valid))
    for name, array in samples.split._asdict().items():
        check.true(f"{name} has numbers that are not finite", array.dtype.kind != "f" or np.isfinite(array).all())


@kind("idx", 4, INPUTS)
def idx_case(case: Case) -> None:
    """A folder of IDX files, one of them damaged, at times compressed."""
    draw, folder = case.draw, case.folder / "idx"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    n, shape = draw.between(1, 6), (draw.between(1, 3), draw.between(1, 3))
    names = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]
    arrays = [draw.numbers.integers(0, 256, (n, *shape)).astype(np.uint8), np.arange(n, dtype=np.uint8) % 3]
    if draw.maybe(0.4):
        names, arrays = [*names, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"], arrays * 2
    chosen = draw.between(0, len(names) - 1)
    for k, (name, array) in enumerate(zip(names, arrays, strict=True)):
        write_idx(folder / name, array)
        content = (folder / name).read_bytes()
        if k == chosen:
            content = damaged(draw, content)
        if draw.maybe(0.25):
            (folder / name).unlink()
            name, content = f"{name}.gz", gzip.compress(content, 1)
            content = damaged(draw, content) if k == chosen and draw.maybe(0.5) else content
        (folder / name).write_bytes(content)
    draw.note("files", sorted(path.name for path in folder.iterdir()))
    _reading(case, draw.one_of((folder, folder, folder / names[chosen])))


def _text(draw: Draw) -> str:
    """A table, mostly whole."""
    columns, rows = draw.between(1, 5), draw.between(0, 12)
    separator, end = draw.one_of((",", ",", ";", "\t", " ")), draw.one_of(("\n", "\n", "\r\n"))
    lines = [separator.join(draw.one_of(HEADS) for _ in range(columns))] if draw.maybe(0.6) else []
    odd = draw.one_of((0.0, 0.0, 0.02, 0.3))
    for _ in range(rows):
        cells = [draw.one_of(CELLS) if draw.maybe(odd) else str(draw.between(0, 3)) for _ in range(columns)]
        lines.append(separator.join(cells))
    return end.join(lines) + draw.one_of(("", end))


@kind("csv", 5, INPUTS)
def csv_case(case: Case) -> None:
    """A table as text, damaged as text and as bytes, at times compressed."""
    draw = case.draw
    text = misspelt(draw, _text(draw), WORDS) if draw.maybe(0.7) else _text(draw)
    encoding = draw.one_of(("utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16"))
    content = text.encode(encoding, "replace" if encoding == "latin-1" else "surrogatepass")
    content = damaged(draw, content) if draw.maybe(0.3) else content
    name = draw.one_of(("t.csv", "t.csv", "t.tsv", "t.txt", "t.data", "t.csv.gz", "t"))
    if name.endswith(".gz"):
        content = gzip.compress(content, 1)
        content = damaged(draw, content) if draw.maybe(0.5) else content
    draw.note("file", f"{name}: {content[:300]!r}")
    path = case.folder / name
    path.write_bytes(content)
    _reading(case, path)


def _array(draw: Draw) -> Any:
    shape = tuple(draw.between(0, 5) for _ in range(draw.one_of((0, 1, 2, 2, 2, 3))))
    values = draw.numbers.integers(0, 300, shape)
    with np.errstate(all="ignore"):
        array = values.astype(draw.one_of(TYPES)) if draw.maybe(0.4) else values.astype(draw.one_of(("f4", "u1", "i8")))
    return np.asfortranarray(array) if draw.maybe(0.1) else array


def _npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=False)
    return stream.getvalue()


@kind("npz", 5, INPUTS)
def npz_case(case: Case) -> None:
    """A .npz or .npy: odd names, types and shapes, damaged members, a damaged archive."""
    draw, path = case.draw, case.folder / "t.npz"
    if draw.maybe(0.2):
        path = case.folder / "t.npy"
        path.write_bytes(damaged(draw, _npy(_array(draw))))
    else:
        path.write_bytes(_archive(draw))
    _reading(case, path)


def _archive(draw: Draw) -> bytes:
    n, stream = draw.between(1, 6), io.BytesIO()
    arrays = [("x", draw.numbers.random((n, 2)).astype("f4")), ("y", np.arange(n) % 2)] if draw.maybe(0.7) else []
    arrays += [(draw.one_of(NAMES), _array(draw)) for _ in range(draw.one_of((0, 0, 1, 2, 3)))]
    chosen = draw.between(0, 3)
    told = []
    with zipfile.ZipFile(stream, "w", draw.one_of((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for k, (name, array) in enumerate(arrays):
            content = _npy(array)
            told.append(f"{name!r} {array.dtype} {array.shape}" + (" damaged" if k == chosen else ""))
            content = damaged(draw, content) if k == chosen else content
            archive.writestr(name + draw.one_of((".npy", ".npy", ".npy", "")), content)
    draw.note("members", told)
    return damaged(draw, stream.getvalue()) if draw.maybe(0.5) else stream.getvalue()
