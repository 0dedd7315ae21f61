"""Mistakes in any question: the right answer times a wrong factor."""

from __future__ import annotations

from pybackprop.teach.judge.mistake import LINEAR, MSE, RELU, Mistake, changed

FACTORS = (
    Mistake(
        "sign-flipped",
        changed("-({})"),
        "Every number is right except for its sign: it points in the direction in which the loss falls. The gradient "
        "points where it rises; the minus belongs to the update, w -= lr * w.g. (The derivative of (out - targ)**2 "
        "with respect to out is 2 * (out - targ): the order of the two matters.)",
    ),
    Mistake(
        "mean-over-rows",
        {
            **changed("({}) / n", "w", "x", RELU),
            "b": ("dz.mean(0)", "dz.sum(0) / n"),
        },
        "Every number is the right one divided by {n}, the number of rows. The gradient is the sum over all paths, so "
        "the rows' shares are added; the 1/size of the mean is already in the gradient of mse.",
    ),
    Mistake(
        "size-twice",
        {**changed("({}) / size"), MSE: ("2 * (out - targ) / size / size",)},
        "Every number is the right one divided by {size}, the number of outputs. The mean in mse gives one factor "
        "1/size, which is already in the gradient that arrives; here it comes a second time.",
    ),
    Mistake(
        "times-rows",
        changed("({}) * n", *LINEAR, RELU),
        "Every number is the right one times {n}, the number of rows. The loss is a mean, so the factor 1/size in the "
        "gradient that arrives must stay; nothing cancels it in the backward pass.",
    ),
    Mistake(
        "doubled",
        changed("2 * ({})"),
        "Every number is twice the right one. The 2 of the square comes in once, in the gradient of mse, and is "
        "already in what arrives. (A gradient added to that of an earlier backward pass looks like this, too.)",
    ),
    Mistake(
        "halved",
        changed("({}) / 2", *LINEAR, RELU),
        "Every number is half of the right one. Some define the loss with 1/2 in front, which cancels the 2 of the "
        "square; mse here is the plain mean of the squares.",
    ),
)
