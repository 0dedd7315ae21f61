"""A small network for tests of the page: numbers that are whole tenths."""

from itertools import pairwise

import numpy as np

import pybackprop as bp
from pybackprop.teach.scene import scene_of


def example(shape=(4, 3, 2), seed=0, dtype=np.float32):
    """mse(relu(x @ w1 + b1) @ w2 + b2, targ); shape: rows, inputs, hidden[, hidden ..., outputs]."""
    n, *widths = shape
    widths += [1] if len(shape) == 3 else []
    rng = np.random.default_rng(seed)
    x, targ = (rng.integers(-9, 10, size) / 10 for size in [(n, widths[0]), (n, widths[-1])])
    layers = []
    for m, h in pairwise(widths):
        w, b = rng.integers(-9, 10, (m, h)) / 10, rng.integers(-4, 5, h) / 10
        layers += [bp.Lin(bp.tensor(w, dtype), bp.tensor(b, dtype)), bp.Relu()]
    return scene_of(bp.Model(layers[:-1], loss=bp.Mse()), x.astype(dtype), targ.astype(dtype))
