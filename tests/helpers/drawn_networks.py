"""Ten networks drawn at random, of every layer that other libraries have a counterpart of."""

from itertools import pairwise

import numpy as np

import pybackprop as bp
from pybackprop.ops import LOG_SOFTMAX, SOFTMAX

DRAWN = range(10)
BETWEEN = [
    bp.Relu,
    bp.Sigmoid,
    bp.Tanh,
    bp.LeakyRelu,
    lambda: bp.LeakyRelu(0.25),
    lambda: bp.relu,
    lambda: bp.Activation(SOFTMAX),
    lambda: bp.Model([bp.Tanh(), bp.Relu()]),
]
LAST = [None, None, bp.Sigmoid, lambda: bp.Activation(SOFTMAX), lambda: bp.log_softmax, lambda: LOG_SOFTMAX]


def drawn(seed):
    """(a model, data for it): float32 or float64, one to four linear layers, some without a bias."""
    rng = np.random.default_rng(seed)
    dtype = (np.float32, np.float64)[seed % 2]
    widths = rng.integers(1, 40, int(rng.integers(2, 6))).tolist()
    layers = []
    for k, (m, h) in enumerate(pairwise(widths)):
        w = (rng.standard_normal((m, h)) / np.sqrt(m)).astype(dtype)
        layers.append(bp.Lin(w, rng.standard_normal(h).astype(dtype) if rng.random() < 0.8 else None))
        if k < len(widths) - 2:
            layers.append(BETWEEN[(seed + 3 * k) % len(BETWEEN)]())
    last = LAST[seed % len(LAST)]
    layers += [] if last is None else [last()]
    loss = [bp.Mse(), bp.CrossEntropy(), bp.BinaryCrossEntropy()][seed % 3]
    return bp.Model(layers, loss=loss), rng.standard_normal((7, widths[0])).astype(dtype)
