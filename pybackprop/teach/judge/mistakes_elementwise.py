"""Mistakes with a = relu(z), a = leaky_relu(z) and mse(out, targ), which work element by element."""

from __future__ import annotations

from pybackprop.teach.judge.conditions import several_rows
from pybackprop.teach.judge.mistake import LEAKY_RELU, MSE, RELU, TARG, Mistake

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
        "{a} is never negative, so {a} >= 0 holds everywhere, and as a mask it changes nothing. Compare with > 0.",
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
        "It keeps {da} where {da} itself is positive. Whether relu passes an element on depends on {z}, in the forward "
        "pass; the gradient may well be negative where {z} is positive.",
    ),
    Mistake(
        "relu-of-gradient",
        {RELU: ("relu(da)", "da.clamp_min(0)")},
        "It sets the negative numbers of {da} to 0, as relu would. The backward of relu is not a relu: it multiplies "
        "by 1 or 0, depending on the sign of {z}.",
    ),
    Mistake(
        "mask-inverted",
        {RELU: ("(z < 0) * da", "(z <= 0) * da")},
        "It keeps the gradient where relu is flat, and drops it where {a} moves with {z}.",
    ),
    Mistake(
        "upstream-forgotten",
        {RELU: ("(z > 0) * 1", "(a > 0) * 1", "z > 0")},
        "This is only the slope of the step itself. The chain rule has a second factor: how much the loss cares.",
    ),
    Mistake(
        "value-for-mask",
        {RELU: ("a * da", "(z > 0) * z * da", "relu(z) * da")},
        "The gradient is multiplied by {a}, a value of the forward pass. The slope of relu is 1 where {z} > 0, however "
        "large {z} is.",
    ),
    Mistake(
        "value-for-slope",
        {RELU: ("z * da",)},
        "The gradient is multiplied by {z} itself, as if the step were a product. The slope of relu is 1 or 0.",
    ),
    Mistake(
        "value-for-gradient",
        {RELU: ("relu(z)", "a", "(z > 0) * a", "(z > 0) * z")},
        "These are the values of {a}, from the forward pass. The question is how much the loss moves with each "
        "element.",
    ),
    Mistake(
        "value-for-gradient",
        {MSE: ("(out - targ)**2 / size", "(out - targ)**2")},
        "These are squares of differences, which the loss is made of. The question is how much the loss moves with "
        "each element of {out}.",
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
        "This is a matrix product of the mask and {da}: @ mixes whole rows and columns. Each {z}[i,j] moves only its "
        "own {a}[i,j], so there is nothing to add: multiply element by element.",
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
        "An output times 1 minus itself is the slope of the sigmoid. That of relu is 1 where {z} > 0, and 0 elsewhere.",
    ),
    Mistake(
        "summed-over-rows",
        {RELU: ("((z > 0) * da).sum(0)",), MSE: ("(2 * (out - targ) / size).sum(0)",), "x": ("(dz @ w.T).sum(0)",)},
        "The rows are added up. That is right for a tensor that all rows share, such as a bias; here each row has its "
        "own numbers.",
        holds=several_rows,
    ),
)
OF_LEAKY_RELU = (
    Mistake(
        "slope-missing",
        {LEAKY_RELU: ("(z > 0) * da",)},
        "This is the gradient of relu, which is flat on the negative side. Here {a} still moves by {negative_slope} "
        "where {z} is negative, so the gradient there is {negative_slope} times {da}.",
    ),
    Mistake(
        "mask-missing",
        {LEAKY_RELU: ("da",)},
        "The gradient is passed on unchanged everywhere. Where {z} is negative, {a} moves by {negative_slope}, not by "
        "1.",
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
        "It uses one slope where {da} is positive, and the other elsewhere. Which slope an element has depends on "
        "{z}, in the forward pass; the gradient may have any sign.",
    ),
    Mistake(
        "upstream-forgotten",
        {LEAKY_RELU: ("(z > 0) + negative_slope * (z <= 0)",)},
        "This is only the slope of the step itself. The chain rule has a second factor: how much the loss cares.",
    ),
    Mistake(
        "value-for-slope",
        {LEAKY_RELU: ("a * da", "z * da")},
        "The gradient is multiplied by a value of the forward pass. The slope of leaky_relu is 1 or {negative_slope}, "
        "however large the value.",
    ),
    Mistake(
        "value-for-gradient",
        {LEAKY_RELU: ("a", "(z > 0) * z + negative_slope * (z <= 0) * z")},
        "These are the values of {a}, from the forward pass. The question is how much the loss moves with each "
        "element.",
    ),
)
OF_MSE = (
    Mistake(
        "size-missing",
        {MSE: ("2 * (out - targ)",), TARG: ("-2 * (out - targ)",)},
        "This is the gradient of the sum of the squares. mse is their mean, here over {size}, so each of them has only "
        "a share of 1/{size} in it.",
        missing=True,
    ),
    Mistake(
        "rows-for-size",
        {MSE: ("2 * (out - targ) / n",), TARG: ("-2 * (out - targ) / n",)},
        "This is the gradient of the sum of the squares divided by the number of rows, {n}. The mean here is taken "
        "over all numbers, rows times columns, {size}. The two are the same only with a single column.",
    ),
    Mistake(
        "columns-for-size",
        {MSE: ("2 * (out - targ) / h",), TARG: ("-2 * (out - targ) / h",)},
        "This is the gradient of the sum of the squares divided by the number of columns, {h}. The mean here is taken "
        "over all numbers, rows times columns, {size}.",
    ),
    Mistake(
        "two-missing",
        {MSE: ("(out - targ) / size",), TARG: ("(targ - out) / size",)},
        "Every number is half of the right one: the derivative of a square has a factor 2. (It cancels if the loss is "
        "defined with 1/2 in front; mse here is the plain mean.)",
        missing=True,
    ),
    Mistake(
        "two-missing-and-rows-for-size",
        {MSE: ("(out - targ) / n",), TARG: ("(targ - out) / n",)},
        "This is the difference divided by the number of rows, {n}. Two things are wrong: the derivative of the square "
        "has a factor 2, and the mean is over all numbers ({size}).",
        missing=True,
    ),
    Mistake(
        "raw-error",
        {MSE: ("out - targ", "targ - out"), TARG: ("targ - out", "out - targ")},
        "This is the bare difference. The square gives a factor 2, the mean a factor 1/{size}. Check the sign, too: "
        "where {out} is above {targ}, a larger {out} raises the loss, and a larger {targ} lowers it.",
    ),
    Mistake(
        "loss-for-gradient",
        {MSE: ("((out - targ)**2).mean()",), TARG: ("((out - targ)**2).mean()",)},
        "This is the loss itself, one number. The question is how it moves with each element of {operand}.",
    ),
    Mistake(
        "loss-for-gradient",
        {MSE: ("((out - targ)**2).sum()",), TARG: ("((out - targ)**2).sum()",)},
        "This is {size} times the loss, one number. The question is how the loss moves with each element of {operand}.",
    ),
    Mistake(
        "mean-of-differences",
        {MSE: ("2 * (out - targ).mean()", "(out - targ).mean()", "2 * (out - targ).mean(0)")},
        "This averages the differences. In the loss the mean comes last, over the squares; its derivative is the "
        "factor 1/{size}, and each element keeps its own difference.",
    ),
    Mistake(
        "target-missing",
        {MSE: ("2 * out / size", "2 * out")},
        "It depends on {out} alone. The loss is lowest where {out} equals {targ}, so the gradient must be 0 there.",
    ),
    Mistake(
        "sum-for-difference",
        {MSE: ("2 * (out + targ) / size",)},
        "It adds {out} and {targ}. The square is of their difference, and the gradient must be 0 where the two are "
        "equal.",
    ),
    Mistake(
        "absolute-error",
        {MSE: ("((out > targ) - (out < targ)) / size",)},
        "This keeps only the sign of the difference, as the slope of an absolute value does. The slope of a square "
        "also depends on its size.",
    ),
    Mistake(
        "absolute-error",
        {MSE: ("abs(out - targ) / size", "2 * abs(out - targ) / size")},
        "No number of it is negative. Where {out} is below {targ}, a larger {out} lowers the loss: the gradient there "
        "is negative.",
    ),
    Mistake(
        "square-kept",
        {MSE: ("2 * (out - targ)**2 / size",)},
        "This is 2/{size} times the square of the difference. The derivative of u**2 is 2 * u, without the exponent.",
    ),
    Mistake(
        "difference-missing",
        {MSE: ("2 / size",)},
        "This is the same number for every element. The slope of a square grows with the difference that is squared.",
    ),
)
ELEMENTWISE = (*OF_RELU, *OF_LEAKY_RELU, *OF_MSE)
