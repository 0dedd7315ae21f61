"""Networks and questions for the tests of judge."""

import functools

import numpy as np

import pybackprop as bp
from pybackprop.teach.judge.question import question_of
from pybackprop.teach.trace.use import use_of

SHAPES = [(4, 3, 2), (3, 3, 3), (2, 5, 3), (6, 4, 4)]
OUTPUTS = 2


def numbers(rng, *shape):
    return (rng.uniform(0.2, 1.2, shape) * rng.choice([-1, 1], shape)).astype(np.float32)


def hidden_layer(shape, seed=0, keep=True):
    """By kind of question: x, w, b before a relu, the relu, mse behind another layer; and a leaky_relu beside it."""
    n, m, h = shape
    rng = np.random.default_rng(seed)
    x, w, b = bp.param(numbers(rng, n, m)), bp.param(numbers(rng, m, h), name="w1"), bp.param(numbers(rng, h))
    w2, b2 = bp.param(numbers(rng, h, OUTPUTS)), bp.param(numbers(rng, OUTPUTS))
    targ = bp.param(numbers(rng, n, OUTPUTS))
    l1 = bp.lin(x, w, b)
    l2 = bp.relu(l1)
    out = bp.lin(l2, w2, b2)
    loss = bp.mse(out, targ)
    loss.backward(keep=keep)
    leaky = bp.param(numbers(rng, n, h))
    leaky_loss = bp.mse(bp.leaky_relu(leaky, 0.2), numbers(rng, n, h))
    leaky_loss.backward(keep=keep)
    kinds = {"x": x, "w": w, "b": b, "relu": l1, "leaky_relu": leaky, "mse": out, "targ": targ}
    kinds |= classifications(rng, n, h, keep)
    return {**kinds, "l2": l2, "w2": w2, "b2": b2, "loss": loss, "leaky_loss": leaky_loss}


def classifications(rng, n, h, keep):
    """Scores of cross_entropy by the kinds of targets, and the losses, which keep their operations alive."""
    scores, labelled, answers = (bp.param(numbers(rng, n, h)) for _ in range(3))
    chances = rng.uniform(0.1, 1, (n, h))
    losses = [
        bp.cross_entropy(scores, (chances / chances.sum(1, keepdims=True)).astype(np.float32)),
        bp.cross_entropy(labelled, rng.integers(h, size=n)),
        bp.binary_cross_entropy_with_logits(answers, rng.uniform(0.1, 0.9, (n, h)).astype(np.float32)),
    ]
    for loss in losses:
        loss.backward(keep=keep)
    kinds = {"cross_entropy": scores, "cross_entropy_labels": labelled, "binary_cross_entropy": answers}
    return {**kinds, "losses": losses}


def last_layer(shape, seed=0):
    """The same kinds where mse stands right behind a linear layer, and x came out of a relu."""
    n, m, h = shape
    rng = np.random.default_rng(seed)
    before, w, b = bp.param(numbers(rng, n, m)), bp.param(numbers(rng, m, h)), bp.param(numbers(rng, h))
    x, targ = bp.relu(before), bp.param(numbers(rng, n, h))
    out = bp.lin(x, w, b)
    loss = bp.mse(out, targ)
    loss.backward(keep=True)
    kinds = {"x": x, "w": w, "b": b, "relu": before, "mse": out, "targ": targ}
    return {**kinds, **classifications(rng, n, h, True), "loss": loss}


def judged(kind, proposal, shape=(4, 3, 2), **options):
    layer = hidden_layer(shape)  # alive while it is judged
    return bp.judge(layer[kind], proposal, **options)


@functools.cache
def question(make, shape, seed, kind):
    layer = make(shape, seed)
    return question_of(use_of(layer[kind]), {})
