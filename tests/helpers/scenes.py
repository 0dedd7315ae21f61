"""A small network for tests of the page: numbers that are whole tenths."""

from itertools import pairwise

import numpy as np

import pybackprop as bp
from pybackprop.teach.page.scene import scene_of

EVIL = "</script><img src=x onerror=alert(1)>"  # a name that would leave its place in a page


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


def renamed(name):
    model = bp.mlp([3, 2, 1])
    model.parameters()[0].name = name
    return scene_of(model, np.ones((4, 3), np.float32), np.ones((4, 1), np.float32))


def pair(rng, *widths, n=6, dtype=np.float32, bias=True):
    """A Model, x and targ."""
    layers = []
    for k, (m, h) in enumerate(pairwise(widths)):
        b = rng.standard_normal(h).astype(dtype) if bias else None
        layers += [bp.Relu()] * (k > 0) + [bp.Lin(rng.standard_normal((m, h)).astype(dtype), b)]
    x, targ = rng.standard_normal((n, widths[0])), rng.standard_normal((n, widths[-1]))
    return bp.Model(layers), x.astype(dtype), targ.astype(dtype)


def bits_of_all_kinds(dtype, count):
    """So many different numbers: zeros, infinities, NaN with bits of its own, subnormals, and then any bits."""
    unsigned = np.dtype(f"u{np.dtype(dtype).itemsize}")
    limits = np.finfo(dtype)
    special = np.array([-0.0, 0, np.inf, -np.inf, np.nan, limits.smallest_subnormal, limits.tiny, limits.max], dtype)
    payloads = np.array([np.inf, -np.inf], dtype).view(unsigned) + unsigned.type(1)  # signalling NaN
    drawn = np.random.default_rng(0).integers(0, np.iinfo(unsigned).max, 2 * count, unsigned)
    bits = np.concatenate([special.view(unsigned), payloads, drawn])
    _, first = np.unique(bits, return_index=True)
    return bits[np.sort(first)[:count]].view(dtype)
