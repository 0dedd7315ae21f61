"""Data sets: the built-in digits, MNIST's files, .npz, .npy, .csv and other tables. All arrays are numpy's.

`open` gives rows on disk, more than memory holds, for `plan.fit`.
"""

from pybackprop.core.row_blocks import RowBlocks
from pybackprop.data.description import TASKS, Description
from pybackprop.data.errors import DataError
from pybackprop.data.files import load
from pybackprop.data.idx import write_idx
from pybackprop.data.parts import Split, check_finite, split
from pybackprop.data.reading import MISSING, Choices, Samples, read, read_features, read_rows
from pybackprop.data.scaling import CHOICES as SCALES
from pybackprop.data.sets import dataset, digits, digits_description, features, mnist
from pybackprop.data.stored import open
from pybackprop.data.stored_samples import StoredSplit, is_stored, read_stored, stored_to_predict

__all__ = [
    "MISSING",
    "SCALES",
    "TASKS",
    "Choices",
    "DataError",
    "Description",
    "RowBlocks",
    "Samples",
    "Split",
    "StoredSplit",
    "check_finite",
    "dataset",
    "digits",
    "digits_description",
    "features",
    "is_stored",
    "load",
    "mnist",
    "open",
    "read",
    "read_features",
    "read_rows",
    "read_stored",
    "split",
    "stored_to_predict",
    "write_idx",
]
