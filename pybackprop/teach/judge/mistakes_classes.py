"""Typical wrong answers about the scores of cross_entropy and of binary_cross_entropy_with_logits."""

from __future__ import annotations

from pybackprop.teach.judge import kinds
from pybackprop.teach.judge.mistake import Mistake


def _both(*formulas: str) -> dict[str, tuple[str, ...]]:
    """Formulas for probabilities as targets, and the same for labels."""
    of_labels = tuple(text.replace("targ", kinds.ONE_HOT) for text in formulas)
    return {kinds.SCORES.name: formulas, kinds.LABELLED.name: of_labels}


OF_CROSS_ENTROPY = (
    Mistake(
        "rows-missing",
        _both("softmax(out) - targ"),
        "This is the gradient of the sum of the rows' losses. cross_entropy is their mean, here over {n} rows, so each "
        "of them has only a share of 1/{n} in it.",
        missing=True,
    ),
    Mistake(
        "size-for-rows",
        _both("(softmax(out) - targ) / size"),
        "This is divided by the number of scores, {size}. The mean here is over the rows, {n}: a row has one loss, "
        "however many columns it has.",
    ),
    Mistake(
        "targets-missing",
        _both("softmax(out) / n", "softmax(out)"),
        "It is a multiple of the softmax and does not depend on {targ}. That is the slope of the logarithm alone; the "
        "row's own class also enters by itself, and takes its target off.",
    ),
    Mistake(
        "softmax-missing",
        _both("(out - targ) / n", "out - targ"),
        "It takes the scores themselves for probabilities. The loss reads {out} through the softmax, so the gradient "
        "has the softmax of {out} where this has {out}.",
        missing=True,
    ),
    Mistake(
        "exp-for-softmax",
        _both("(exp(out) - targ) / n", "exp(out) - targ"),
        "It has the exp of the scores, which no sum divides. Only divided by their row's sum are they probabilities.",
    ),
    Mistake(
        "softmax-over-columns",
        _both("(softmax(out, 0) - targ) / n", "softmax(out, 0) - targ"),
        "Its softmax runs down the columns, over the samples. The classes are the columns, so a row's probabilities "
        "add up to 1, and the softmax runs along axis 1.",
    ),
    Mistake(
        "log-softmax-for-softmax",
        _both("(log_softmax(out) - targ) / n", "log_softmax(out) - targ"),
        "It has the logarithm of the softmax, which the loss itself is made of. The derivative of the row's logarithm "
        "is the softmax.",
    ),
    Mistake(
        "softmax-of-the-target-alone",
        _both("-targ / n", "-targ / softmax(out) / n", "-targ"),
        "It is 0 wherever the target is 0. But every score of a row is in the sum under its logarithm: raising one "
        "lowers the probability of all others.",
    ),
    Mistake(
        "softmax-through-its-own-gradient",
        _both("softmax(out) * (1 - softmax(out)) * (softmax(out) - targ) / n"),
        "It is multiplied by p (1 - p), the slope of the softmax, once too often: that has already cancelled against "
        "the slope 1/p of the logarithm.",
    ),
)

BINARY = kinds.ANSWERS.name
OF_BINARY = (
    Mistake(
        "elements-missing",
        {BINARY: ("sigmoid(out) - targ",)},
        "This is the gradient of the sum of the terms. The loss is their mean, here over {size} elements, so each of "
        "them has only a share of 1/{size} in it.",
        missing=True,
    ),
    Mistake(
        "sigmoid-missing",
        {BINARY: ("(out - targ) / size", "out - targ")},
        "It takes the scores themselves for probabilities. The loss reads {out} through the sigmoid, so the gradient "
        "has the sigmoid of {out} where this has {out}.",
        missing=True,
    ),
    Mistake(
        "answers-missing",
        {BINARY: ("sigmoid(out) / size", "sigmoid(out)")},
        "It is a multiple of the sigmoid and does not depend on {targ}: it is right only where the target is 0.",
    ),
    Mistake(
        "sigmoid-through-its-own-gradient",
        {BINARY: ("(sigmoid(out) - targ) * sigmoid(out) * (1 - sigmoid(out)) / size",)},
        "It is multiplied by s (1 - s), the slope of the sigmoid, once too often: that has already cancelled against "
        "the slopes of the logarithms.",
    ),
    Mistake(
        "softmax-for-sigmoid",
        {BINARY: ("(softmax(out) - targ) / size",)},
        "It has the softmax, in which the scores of a row compete. Here each score answers a question of its own, "
        "through the sigmoid.",
    ),
)
