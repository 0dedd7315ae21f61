"""Optimizers to test each, and their updates written once more, with Python's exact fractions."""

from fractions import Fraction
from math import sqrt

import numpy as np

import pybackprop as bp

# Every option, by what a test's name says.
KINDS = {
    "sgd": lambda parameters: bp.SGD(parameters, lr=0.05),
    "momentum": lambda parameters: bp.SGD(parameters, lr=0.02, momentum=0.9),
    "decay": lambda parameters: bp.SGD(parameters, lr=0.05, weight_decay=0.1),
    "nesterov": lambda parameters: bp.SGD(parameters, lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda parameters: bp.Adam(parameters, lr=0.01),
    "adam with decay": lambda parameters: bp.Adam(parameters, lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1),
    "adamw": lambda parameters: bp.AdamW(parameters, lr=0.01),
    "weights decay": lambda parameters: bp.SGD(parameters, lr=0.05, momentum=0.5, weight_decay=0.1, decay_biases=False),
    "adamw of weights": lambda parameters: bp.AdamW(parameters, lr=0.01, weight_decay=0.1, decay_biases=False),
}


def rounded(exact, dtype):
    """A fraction as the nearest number of dtype, of two equally near the even one."""
    near = dtype.type(float(exact))
    choices = [np.nextafter(near, dtype.type(-np.inf)), near, np.nextafter(near, dtype.type(np.inf))]
    integer = {4: np.uint32, 8: np.uint64}[dtype.itemsize]
    return min(choices, key=lambda one: (abs(Fraction(float(one)) - exact), int(one.view(integer)) % 2))


def fma(a, b, c):
    """a b + c, rounded once, element by element; finite numbers whose sum is not zero by cancellation."""
    dtype = np.asarray(c).dtype
    exact = np.broadcast_arrays(a, b, c)
    out = [
        rounded(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)), dtype)
        for x, y, z in zip(*exact, strict=True)
    ]
    return np.array(out, dtype)


def power(base, exponent):
    """base to a whole number, in double: squared, and multiplied by base, digit by digit."""
    result = 1.0
    for digit in bin(exponent)[2:]:
        result = result * result * (base if digit == "1" else 1.0)
    return result


def sgd(p, v, dp, lr, momentum, weight_decay=0.0, nesterov=False):
    """(new p, new v) of arrays (size,)."""
    real = p.dtype.type
    if weight_decay:
        dp = fma(real(weight_decay), p, dp)
    if momentum:
        v = fma(real(momentum), v, dp)
        dp = fma(real(momentum), v, dp) if nesterov else v
    return fma(real(-lr), dp, p), v


def adam(p, m, v, dp, t, lr, betas, eps, weight_decay=0.0, decoupled=False):
    """(new p, new m, new v) of arrays (size,)."""
    real = p.dtype.type
    step = real(lr / (1 - power(betas[0], t)))
    root = real(sqrt(1 - power(betas[1], t)))
    if weight_decay and decoupled:
        p = p * real(1 - lr * weight_decay)
    elif weight_decay:
        dp = fma(real(weight_decay), p, dp)
    m = fma(real(1 - betas[0]), dp - m, m)
    v = fma(real(1 - betas[1]) * dp, dp, real(betas[1]) * v)
    return fma(-step, m / (np.sqrt(v) / root + real(eps)), p), m, v


def sum_squares(dp):
    """In double: lanes of 16, segments of 512 times 16."""
    total = 0.0
    for start in range(0, dp.size, 512 * 16):
        lanes = [0.0] * 16
        for e, number in enumerate(dp.ravel()[start : start + 512 * 16].astype(np.float64)):
            square = Fraction(float(number)) ** 2 + Fraction(lanes[e % 16])
            lanes[e % 16] = float(square)
        for width in (8, 4, 2, 1):
            for lane in range(width):
                lanes[lane] += lanes[lane + width]
        total += lanes[0]
    return total
