"""Mistakes with a = relu(z), a = leaky_relu(z) and mse(out, targ), which work element by element."""

from __future__ import annotations

from pybackprop.teach.judge.mistake import LEAKY_RELU, MSE, RELU, Mistake

OF_RELU = (
    Mistake(
        "mask-missing",
        {RELU: ("da",)},
        "The gradient is passed on unchanged everywhere. Where {z} is negative, {a} stays at 0 when {z} moves a "
        "little: the gradient there is 0.",
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
        "The mask is taken from the gradient. Whether relu passes an element on depends on {z}, in the forward pass; "
        "the gradient may well be negative where {z} is positive.",
    ),
    Mistake(
        "relu-of-gradient",
        {RELU: ("relu(da)", "da.clamp_min(0)")},
        "relu is applied to the gradient, which sets its negative numbers to 0. The backward of relu is not a relu: "
        "it multiplies by 1 or 0, depending on the sign of {z}.",
    ),
    Mistake(
        "mask-inverted",
        {RELU: ("(z < 0) * da", "(z <= 0) * da")},
        "The mask is inverted: it is 1 where relu is flat, and 0 where {a} moves with {z}.",
    ),
    Mistake(
        "upstream-forgotten",
        {RELU: ("(z > 0) * 1", "(a > 0) * 1", "z > 0"), MSE: ("2 / size",)},
        "This is only the slope of the step itself. The chain rule has a second factor: how much the loss cares.",
    ),
    Mistake(
        "value-for-mask",
        {RELU: ("a * da", "(z > 0) * z * da", "relu(z) * da")},
        "The gradient is multiplied by the value from the forward pass. The slope of relu is 1 where {z} > 0, however "
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
        "These are values of the forward pass. The question is how much the loss moves with each element.",
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
        "@ mixes whole rows and columns. Each {z}[i,j] moves only its own {a}[i,j], so there is nothing to add: "
        "multiply element by element.",
    ),
    Mistake(
        "minus-one-for-zero",
        {RELU: ("((z > 0) - (z < 0)) * da",)},
        "Where {z} is negative this passes the gradient back with its sign flipped, as for the absolute value. relu "
        "is flat there: the slope is 0.",
    ),
    Mistake(
        "sigmoid-slope",
        {RELU: ("a * (1 - a) * da", "z * (1 - z) * da")},
        "a * (1 - a) is the slope of the sigmoid. That of relu is 1 where {z} > 0, and 0 elsewhere.",
    ),
    Mistake(
        "summed-over-rows",
        {RELU: ("((z > 0) * da).sum(0)",), MSE: ("(2 * (out - targ) / size).sum(0)",), "x": ("(dz @ w.T).sum(0)",)},
        "The rows are added up. That is right for a tensor that all rows share, such as a bias; here each row has its "
        "own numbers.",
    ),
)
OF_LEAKY_RELU = (
    Mistake(
        "slope-missing",
        {LEAKY_RELU: ("(z > 0) * da",)},
        "This is the gradient of relu, which is flat on the negative side. Here {a} still moves by {negative_slope} "
        "where {z} is not positive, so the gradient there is {negative_slope} times {da}.",
    ),
    Mistake(
        "mask-missing",
        {LEAKY_RELU: ("da",)},
        "The gradient is passed on unchanged everywhere. Where {z} is not positive, {a} moves only by "
        "{negative_slope}.",
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
        "Both slopes are added on one side. Each element of {z} has only the slope of its own side of 0.",
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
        "The side is taken from the gradient. Which slope an element has depends on {z}, in the forward pass; the "
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
        "These are values of the forward pass. The question is how much the loss moves with each element.",
    ),
)
OF_MSE = (
    Mistake(
        "size-missing",
        {MSE: ("2 * (out - targ)",), "targ": ("-2 * (out - targ)",)},
        "mse is the mean over all numbers, here {size}, so each of them has only a share of 1/{size} in it.",
    ),
    Mistake(
        "rows-for-size",
        {MSE: ("2 * (out - targ) / n",), "targ": ("-2 * (out - targ) / n",)},
        "It divides by the number of rows, {n}. The mean here is taken over all numbers, rows times columns, {size}. "
        "The two are the same only with a single column.",
    ),
    Mistake(
        "columns-for-size",
        {MSE: ("2 * (out - targ) / h",)},
        "It divides by the number of columns, {h}. The mean is taken over all numbers, rows times columns, {size}.",
    ),
    Mistake(
        "two-missing",
        {MSE: ("(out - targ) / size",), "targ": ("(targ - out) / size",)},
        "The derivative of a square has a factor 2. (It cancels if the loss is defined with 1/2 in front; mse here is "
        "the plain mean.)",
    ),
    Mistake(
        "two-missing-and-rows-for-size",
        {MSE: ("(out - targ) / n",), "targ": ("(targ - out) / n",)},
        "Two things are wrong: the derivative of the square has a factor 2, and the mean is over all numbers "
        "({size}), not over the rows ({n}).",
    ),
    Mistake(
        "raw-error",
        {MSE: ("out - targ", "targ - out"), "targ": ("targ - out", "out - targ")},
        "This is the bare difference. The square gives a factor 2, the mean a factor 1/{size}. Check the sign, too: "
        "where {out} is above {targ}, a larger {out} raises the loss, and a larger {targ} lowers it.",
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
        "The target is missing. The loss is lowest where {out} equals {targ}, so the gradient must be 0 there.",
    ),
    Mistake(
        "sum-for-difference",
        {MSE: ("2 * (out + targ) / size",)},
        "This has a plus instead of a minus: the gradient must be 0 where {out} equals {targ}.",
    ),
    Mistake(
        "absolute-error",
        {MSE: ("((out > targ) - (out < targ)) / size", "abs(out - targ) / size", "2 * abs(out - targ) / size")},
        "This keeps only the sign of the difference, or only its size. The slope of a square has both.",
    ),
    Mistake(
        "square-kept",
        {MSE: ("2 * (out - targ)**2 / size",)},
        "The 2 is in front, but the exponent is still there: the derivative of u**2 is 2 * u.",
    ),
)
ELEMENTWISE = (*OF_RELU, *OF_LEAKY_RELU, *OF_MSE)
