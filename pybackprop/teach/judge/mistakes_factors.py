"""Mistakes in any question: the right answer times a wrong factor.

The texts say what the factor is, and what this step of the backward pass has instead. Where a factor came from, the
numbers do not tell.
"""

from __future__ import annotations

from pybackprop.teach.judge.mistake import LEAKY_RELU, LINEAR, MSE, RELU, TARG, Mistake, changed

INSIDE = (*LINEAR, RELU, LEAKY_RELU)
AT_THE_END = (MSE, TARG)

FACTORS = (
    Mistake(
        "sign-flipped",
        changed("-({})", *INSIDE),
        "Every number is right except for its sign: it points in the direction in which the loss falls. The gradient "
        "points where it rises; the minus belongs to the update, w -= lr * w.g.",
    ),
    Mistake(
        "sign-flipped",
        changed("-({})", *AT_THE_END),
        "Every number is right except for its sign: it points in the direction in which the loss falls. Where {out} is "
        "above {targ}, a larger {out} raises the loss, and a larger {targ} lowers it.",
    ),
    Mistake(
        "mean-over-rows",
        {"w": ("(x.T @ dz) / n",), "b": ("dz.mean(0)", "dz.sum(0) / n")},
        "Every number is the right one divided by {n}, the number of rows. The gradient is the sum over all paths, so "
        "the rows' shares are added, not averaged.",
    ),
    Mistake(
        "mean-over-rows",
        changed("({}) / n", "x", RELU, LEAKY_RELU),
        "Every number is the right one divided by {n}, the number of rows. Here each row has its own numbers, and "
        "nothing is added or averaged over the rows.",
    ),
    Mistake(
        "size-twice",
        changed("({}) / size", *INSIDE),
        "Every number is the right one divided by {size}. This step has no such factor: if the loss is a mean over "
        "{size} numbers, its 1/{size} is already in the gradient that arrives.",
    ),
    Mistake(
        "size-twice",
        changed("({}) / size", *AT_THE_END),
        "Every number is the right one divided by {size}, the number of squares. The mean gives the factor 1/{size} "
        "once.",
    ),
    Mistake(
        "times-rows",
        changed("({}) * n", *INSIDE),
        "Every number is the right one times {n}, the number of rows. This step has no such factor: if the loss is a "
        "mean, its factor in the gradient that arrives must stay.",
    ),
    Mistake(
        "doubled",
        changed("2 * ({})", *INSIDE),
        "Every number is twice the right one. This step has no factor 2: if the loss is made of squares, theirs is "
        "already in the gradient that arrives. (A gradient added to that of an earlier backward pass looks like this, "
        "too.)",
    ),
    Mistake(
        "doubled",
        changed("2 * ({})", *AT_THE_END),
        "Every number is twice the right one. The derivative of a square gives the factor 2 once. (A gradient added to "
        "that of an earlier backward pass looks like this, too.)",
    ),
    Mistake(
        "halved",
        changed("({}) / 2", *INSIDE),
        "Every number is half of the right one. This step has no factor 1/2: all factors of the loss are in the "
        "gradient that arrives.",
    ),
)
