"""A recorded network computed by numpy in double, without the library's code: the oracle of the explanations' tests."""

import numpy as np


def add(a, b=None, number=0.0):
    return a + (number if b is None else b)


def subtract(a, b=None, number=0.0):
    return a - (number if b is None else b)


def multiply(a, b=None, number=1.0):
    return a * (number if b is None else b)


def divide(a, b=None, number=1.0):
    return a / (number if b is None else b)


FORWARD = {
    "lin": lambda x, w, b=0.0: x @ w + b,
    "@": lambda x, w: x @ w,
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "number -": lambda x, number: number - x,
    "number /": lambda x, number: number / x,
    "unary -": lambda x: -x,
    "**": lambda x, exponent: x**exponent,
    ".sqrt": np.sqrt,
    ".clamp_min": lambda x, low: np.where(x > low, x, low),
    ".sum": lambda x, axes, keepdims: x.sum(axis=axes, keepdims=keepdims),
    ".mean": lambda x, axes, keepdims: x.mean(axis=axes, keepdims=keepdims),
    ".T": lambda x: x.T,
    ".reshape": lambda x, shape: x.reshape(shape),
    "[...]": lambda x, index: x[index],
    ".clone": lambda x: x,
    "relu": lambda x: np.where(x > 0, x, 0.0),
    "relu_": lambda x: np.where(x > 0, x, 0.0),
    "leaky_relu": lambda x, negative_slope: np.where(x > 0, x, negative_slope * x),
    "mse": lambda out, targ: np.mean((out - targ.reshape(out.shape)) ** 2),
    "bp.tensor": lambda x: x,
    "the same memory": lambda x: x,
    "bent": lambda x: np.where(x > 0.5, x, 3.0 * x - 1.0),
    "stirred": lambda x, s: x * s + x[::-1],
}


def values(network, tensor=None, at=(), by=0.0):
    """All values by id, with one element of one tensor moved."""
    known = {id(t): t._array.astype(np.float64) for t in network.leaves()}

    def move():
        known[id(tensor)] = known[id(tensor)].copy()
        known[id(tensor)][at] += by

    if tensor is not None and id(tensor) in known:
        move()
    for op in network:
        known[id(op.output)] = np.asarray(FORWARD[op.name](*(known[id(t)] for t in op.inputs), **op.params))
        if op.output is tensor:
            move()
    return known


def moved(network, tensor, at, result, by=1e-6):
    """The slope of every element of result along one element of tensor."""
    up, down = (values(network, tensor, at, sign * by)[id(result)] for sign in (1, -1))
    return (up - down) / (2 * by)


def gradient(network, tensor):
    """d root / d tensor, an element at a time."""
    slopes = [float(moved(network, tensor, at, network.root)) for at in np.ndindex(tensor.shape)]
    return np.reshape(slopes, tensor.shape)
