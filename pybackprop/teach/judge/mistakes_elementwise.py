"""Mistakes with a = relu(z), a = leaky_relu(z) and mse(out, targ), where each element moves on its own."""

from __future__ import annotations

from pybackprop.teach.judge.mistake import LEAKY_RELU, MSE, RELU, Mistake

OF_RELU = (
    Mistake(
        "mask-missing",
        {RELU: ("da",)},
        "The gradient is handed through everywhere. Where {z} is negative, {a} stays at 0 when {z} moves a little: "
        "nothing comes back there.",
    ),
    Mistake(
        "mask-always-true",
        {RELU: ("(a >= 0) * da",)},
        "{a} is never negative, so {a} >= 0 holds everywhere and masks nothing. Compare with > 0.",
    ),
    Mistake(
        "mask-includes-zero",
        {RELU: ("(z >= 0) * da",)},
        "It differs only where {z} is exactly 0. There relu has a kink, and its slope is taken to be 0, here as in the "
        "lesson and in PyTorch: the mask is > 0. A column of zeros, e.g. from dead inputs, shows the difference.",
    ),
    Mistake(
        "mask-from-gradient",
        {RELU: ("(da > 0) * da",)},
        "The mask is taken from the gradient. Whether relu let something through was decided by {z} on the way "
        "forward; the gradient may well be negative where {z} is positive.",
    ),
    Mistake(
        "relu-of-gradient",
        {RELU: ("relu(da)", "da.clamp_min(0)")},
        "relu is applied to the gradient, which cuts its negative numbers off. The backward of relu is no relu: it "
        "multiplies by 1 or 0, depending on the sign of {z}.",
    ),
    Mistake(
        "mask-inverted",
        {RELU: ("(z < 0) * da", "(z <= 0) * da")},
        "The mask is the wrong way round: it lets through where relu is flat, and stops where {a} moves with {z}.",
    ),
    Mistake(
        "upstream-forgotten",
        {RELU: ("(z > 0) * 1", "(a > 0) * 1", "z > 0"), MSE: ("2 / size",)},
        "This is only the slope of the step itself. The chain rule has a second factor: how much the loss cares.",
    ),
    Mistake(
        "value-for-mask",
        {RELU: ("a * da", "(z > 0) * z * da", "relu(z) * da")},
        "The gradient is multiplied by the value that went through. The slope of relu is 1 where {z} > 0, however "
        "large {z} is.",
    ),
    Mistake(
        "value-for-slope",
        {RELU: ("z * da",)},
        "The gradient is multiplied by {z} itself, as if the step were a product. The slope of relu is 1 or 0.",
    ),
    Mistake(
        "value-for-gradient",
        {RELU: ("relu(z)", "a", "(z > 0) * a", "(z > 0) * z"), MSE: ("(out - targ)**2 / size", "(out - targ)**2")},
        "These are values of the forward pass once more. The question is how much the loss moves with each element.",
    ),
    Mistake(
        "matmul-for-elementwise",
        {
            RELU: (
                "(z > 0) @ da",
                "(z > 0).T @ da",
                "(z > 0) @ da.T",
                "da @ (z > 0)",
                "da @ (z > 0).T",
                "da.T @ (z > 0)",
            )
        },
        "@ mixes whole rows and columns. Each {z}[i,j] moves its own {a}[i,j] and no other, so there is nothing to "
        "add up: the product goes element by element.",
    ),
    Mistake(
        "minus-one-for-zero",
        {RELU: ("((z > 0) - (z < 0)) * da",)},
        "Where {z} is negative this sends back the gradient with its sign flipped, as for the absolute value. relu is "
        "flat there: 0.",
    ),
    Mistake(
        "sigmoid-slope",
        {RELU: ("a * (1 - a) * da", "z * (1 - z) * da")},
        "a * (1 - a) is the slope of the sigmoid. That of relu is 1 where {z} > 0, and 0 elsewhere.",
    ),
    Mistake(
        "summed-over-rows",
        {RELU: ("((z > 0) * da).sum(0)",), MSE: ("(2 * (out - targ) / size).sum(0)",), "x": ("(dz @ w.T).sum(0)",)},
        "The rows are added up. That is for what all rows share, such as a bias; here each row has numbers of its own.",
    ),
)
OF_LEAKY_RELU = (
    Mistake(
        "slope-missing",
        {LEAKY_RELU: ("(z > 0) * da",)},
        "This is the gradient of relu, which is flat on the negative side. Here {a} still moves by {negative_slope} "
        "where {z} is not positive, so that a part of {da} comes back there.",
    ),
    Mistake(
        "mask-missing",
        {LEAKY_RELU: ("da",)},
        "The gradient is handed through everywhere. Where {z} is not positive, {a} moves by {negative_slope} only.",
    ),
    Mistake(
        "slope-everywhere",
        {LEAKY_RELU: ("negative_slope * da",)},
        "Every element is multiplied by {negative_slope}. Where {z} is positive, {a} moves with it by 1.",
    ),
    Mistake(
        "mask-inverted",
        {
            LEAKY_RELU: (
                "(z <= 0) * da + negative_slope * (z > 0) * da",
                "(z < 0) * da + negative_slope * (z >= 0) * da",
            )
        },
        "The two sides are swapped: the slope is 1 where {z} is positive, and {negative_slope} elsewhere.",
    ),
    Mistake(
        "sides-overlap",
        {LEAKY_RELU: ("da + negative_slope * (z <= 0) * da", "(z > 0) * da + negative_slope * da")},
        "Both slopes are added on one side. Each element of {z} has the slope of its own side of 0 alone.",
    ),
    Mistake(
        "mask-includes-zero",
        {LEAKY_RELU: ("(z >= 0) * da + negative_slope * (z < 0) * da",)},
        "It differs only where {z} is exactly 0. There leaky_relu has a kink, and its slope is taken to be "
        "{negative_slope}: the mask is > 0.",
    ),
    Mistake(
        "sign-of-negative-side",
        {LEAKY_RELU: ("(z > 0) * da - negative_slope * (z <= 0) * da",)},
        "The sign on the negative side is wrong. {a} is {negative_slope} times {z} there, and rises with it.",
    ),
    Mistake(
        "mask-from-gradient",
        {LEAKY_RELU: ("(da > 0) * da + negative_slope * (da <= 0) * da",)},
        "The side is taken from the gradient. Which slope an element has was decided by {z} on the way forward; the "
        "gradient may have any sign.",
    ),
    Mistake(
        "upstream-forgotten",
        {LEAKY_RELU: ("(z > 0) + negative_slope * (z <= 0)",)},
        "This is only the slope of the step itself. The chain rule has a second factor: how much the loss cares.",
    ),
    Mistake(
        "value-for-slope",
        {LEAKY_RELU: ("a * da", "z * da")},
        "The gradient is multiplied by a value. The slope of leaky_relu is 1 or {negative_slope}, whatever the value.",
    ),
    Mistake(
        "value-for-gradient",
        {LEAKY_RELU: ("a", "(z > 0) * z + negative_slope * (z <= 0) * z")},
        "These are values of the forward pass once more. The question is how much the loss moves with each element.",
    ),
)
OF_MSE = (
    Mistake(
        "size-missing",
        {MSE: ("2 * (out - targ)",), "targ": ("-2 * (out - targ)",)},
        "mse is the mean over all {size} numbers, so each of them has only a share of 1/{size} in it.",
    ),
    Mistake(
        "rows-for-size",
        {MSE: ("2 * (out - targ) / n",), "targ": ("-2 * (out - targ) / n",)},
        "It divides by the number of rows, {n}. The mean here is taken over all numbers, rows times columns, {size}. "
        "With a single column that is the same, with more it is not.",
    ),
    Mistake(
        "columns-for-size",
        {MSE: ("2 * (out - targ) / h",)},
        "It divides by the number of columns, {h}. The mean is taken over all numbers, rows times columns, {size}.",
    ),
    Mistake(
        "two-missing",
        {MSE: ("(out - targ) / size",), "targ": ("(targ - out) / size",)},
        "The derivative of a square brings a 2 with it. (Where the loss is defined with 1/2 in front it goes away; "
        "mse here is the plain mean.)",
    ),
    Mistake(
        "two-missing-and-rows-for-size",
        {MSE: ("(out - targ) / n",), "targ": ("(targ - out) / n",)},
        "Two things: the square brings a 2 with it, and the mean is over all {size} numbers, not over the {n} rows.",
    ),
    Mistake(
        "raw-error",
        {MSE: ("out - targ", "targ - out"), "targ": ("targ - out", "out - targ")},
        "The bare difference. The square brings a factor 2, the mean a factor 1/{size}; and the sign is that of "
        "the tensor asked about: a larger {out} raises the loss where it is above {targ}.",
    ),
    Mistake(
        "loss-for-gradient",
        {MSE: ("((out - targ)**2).mean()", "((out - targ)**2).sum()"), "targ": ("((out - targ)**2).mean()",)},
        "This is the loss itself, one number. The question is how it moves with each element of {out}.",
    ),
    Mistake(
        "mean-of-differences",
        {MSE: ("2 * (out - targ).mean()", "(out - targ).mean()", "2 * (out - targ).mean(0)")},
        "The mean is taken again, over the differences. In the loss it comes last; its derivative is the factor "
        "1/{size}, and each element keeps its own difference.",
    ),
    Mistake(
        "target-missing",
        {MSE: ("2 * out / size", "2 * out")},
        "The target is gone. The loss is lowest where {out} equals {targ}, so the gradient must be 0 there.",
    ),
    Mistake(
        "sum-for-difference",
        {MSE: ("2 * (out + targ) / size",)},
        "A plus for a minus: the gradient must be 0 where {out} equals {targ}.",
    ),
    Mistake(
        "absolute-error",
        {MSE: ("((out > targ) - (out < targ)) / size", "abs(out - targ) / size", "2 * abs(out - targ) / size")},
        "Only the sign of the difference, or only its size, is left. The slope of a square has both.",
    ),
    Mistake(
        "square-kept",
        {MSE: ("2 * (out - targ)**2 / size",)},
        "The 2 came down and the exponent stayed: the derivative of u**2 is 2 * u.",
    ),
)
ELEMENTWISE = (*OF_RELU, *OF_LEAKY_RELU, *OF_MSE)
