"""Data sets: the built-in digits, MNIST's files, .npz, .npy and .csv. All arrays are numpy's."""

from pybackprop.data.errors import DataError
from pybackprop.data.files import load
from pybackprop.data.idx import write_idx
from pybackprop.data.parts import Split, check_finite, split
from pybackprop.data.sets import dataset, digits, features, mnist

__all__ = [
    "DataError",
    "Split",
    "check_finite",
    "dataset",
    "digits",
    "features",
    "load",
    "mnist",
    "split",
    "write_idx",
]
