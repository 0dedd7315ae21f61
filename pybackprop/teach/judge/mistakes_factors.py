"""Mistakes with any question: the right answer with another factor."""

from __future__ import annotations

from pybackprop.teach.judge.mistake import LINEAR, MSE, RELU, Mistake, changed

FACTORS = (
    Mistake(
        "sign-flipped",
        changed("-({})"),
        "Every number is right but for its sign: it points where the loss falls. The gradient points where it "
        "rises; the minus belongs to the update, w -= lr * w.g. (The derivative of (out - targ)**2 with respect to "
        "out is 2 * (out - targ), and the order of the two matters.)",
    ),
    Mistake(
        "mean-over-rows",
        {
            **changed("({}) / n", "w", "x", RELU),
            "b": ("dz.mean(0)", "dz.sum(0) / n"),
        },
        "Every number is the right one divided by {n}, the number of rows. The loss is the sum over all paths, so "
        "the rows' shares are added up; the 1/size of the mean was already put in once, by the gradient of mse.",
    ),
    Mistake(
        "size-twice",
        {**changed("({}) / size"), MSE: ("2 * (out - targ) / size / size",)},
        "Every number is the right one divided by {size}, the number of outputs. The mean in mse puts 1/size in once, "
        "and it is already there in the gradient that arrives; here it is a second time.",
    ),
    Mistake(
        "times-rows",
        changed("({}) * n", *LINEAR, RELU),
        "Every number is the right one times {n}, the number of rows. The 1/size that has arrived belongs there: the "
        "loss is a mean, and nothing undoes that on the way back.",
    ),
    Mistake(
        "doubled",
        changed("2 * ({})"),
        "Every number is twice the right one. The 2 of the square comes in once, in the gradient of mse, and is "
        "already in what arrives. (A gradient that was added to what an earlier backward left looks like this, too.)",
    ),
    Mistake(
        "halved",
        changed("({}) / 2", *LINEAR, RELU),
        "Every number is half of the right one. Some define the loss with 1/2 in front, so that the 2 of the square "
        "goes away; mse here is the plain mean of the squares.",
    ),
)
