"""The formulas that explain writes, computed by numpy in double.

r has network, arrays (the tensors by name), values (by id, of in_numpy.values) and known (a cache of gradients).
"""

import re

import numpy as np

from helpers import in_numpy

NAME = r"(?:[A-Za-z_]\w*|\(\w+ @ \w+\))"  # (x @ w1) is the product in l1 = x @ w1 + b1


def arriving(r, out):
    """d root / d out."""
    if id(out) not in r.known:
        r.known[id(out)] = in_numpy.gradient(r.network, out) if out is not r.network.root else np.ones(out.shape)
    return r.known[id(out)]


def evaluate(r, formula):
    """A formula for a whole gradient, on numpy's numbers."""
    if match := re.fullmatch(rf"({NAME})\.g(?: / (\d+))?, for each element that was summed", formula):
        op = made_by(r, match[1])
        g = arriving(r, op.output) / float(match[2] or 1)
        g = g if op.params["keepdims"] else np.expand_dims(g, op.params["axes"])
        return np.broadcast_to(g, op.inputs[0].shape)
    if match := re.fullmatch(rf"zeros, with ({NAME})\.g added at the index", formula):
        op = made_by(r, match[1])
        zeros = np.zeros(op.inputs[0].shape)
        np.add.at(zeros, op.params["index"], arriving(r, op.output))
        return zeros
    if match := re.fullmatch(r"\(?(.*?)\)? summed to \(([\d,]*)\)", formula):
        return summed_to(evaluate(r, match[1]), tuple(int(k) for k in match[2].split(",") if k))
    names = {"np": np}
    for k, (key, t) in enumerate(sorted(r.arrays.items(), key=lambda item: -len(item[0]))):
        if key in formula:
            formula = re.sub(rf"(?<![\w.]){re.escape(key)}\.g\b", f"_g{k}", formula)
            formula = re.sub(rf"(?<![\w.]){re.escape(key)}(?!\w)", f"_v{k}", formula)
            names |= {f"_v{k}": r.values[id(t)]} | ({f"_g{k}": arriving(r, t)} if f"_g{k}" in formula else {})
    return np.asarray(eval(formula, {}, names), float)


def made_by(r, out):
    return next(op for op in r.network if op.output is r.arrays[out])


def summed_to(g, shape):
    g = g.sum(tuple(range(g.ndim - len(shape)))) if g.ndim > len(shape) else g
    return g.sum(tuple(k for k, size in enumerate(shape) if size == 1 != g.shape[k]), keepdims=True)
