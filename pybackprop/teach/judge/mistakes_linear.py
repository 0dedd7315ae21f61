"""Mistakes with z = x @ w + b. Most come from not seeing that a matrix product is a sum of outer products."""

from __future__ import annotations

from pybackprop.teach.judge.mistake import LINEAR, MSE, RELU, Mistake, changed

SWAPPED = (
    Mistake(
        "rows-for-columns",
        {"w": ("dz @ x.T",)},
        "It adds up over the columns of {z}: element [0,0] of it takes row 0 of {dz} times row 0 of {x}. But {w}[0,0] "
        "moves column 0 of {z}, in every row i, by {x}[i,0] each, and not row 0. So the sum must run over the rows: i "
        "must be the inner index. (It runs only if there are as many inputs as outputs, and has the right shape only "
        "if there are as many rows, too.)",
    ),
    Mistake(
        "transpose-missing",
        {"w": ("x @ dz",), "x": ("dz @ w",)},
        "The two matrices are the right ones, but the index to sum over is not the inner one: @ pairs the columns of "
        "the first with the rows of the second. Transpose one operand, so that the letter that both share and the "
        "answer does not have is the inner one.",
    ),
    Mistake(
        "transpose-missing-and-swapped",
        {"w": ("dz @ x",), "x": ("w @ dz",)},
        "Neither the order nor the axes are right: the inner index of this product is a column of one and a row "
        "of the other, which have nothing to do with each other. Write down the index letters of each operand and "
        "of the answer: the letter that the answer does not have must be the inner one.",
    ),
    Mistake(
        "wrong-one-transposed",
        {"w": ("x @ dz.T",), "x": ("dz.T @ w",)},
        "The wrong operand is transposed. So the sum runs over an index that the answer needs, and the one to sum "
        "over is left in the result.",
    ),
    Mistake(
        "answer-transposed",
        {
            "w": ("dz.T @ x",),
            "x": ("w @ dz.T",),
            RELU: ("((z > 0) * da).T",),
            MSE: ("(2 * (out - targ) / size).T",),
        },
        "All the numbers are right, but each is at [j,i] instead of [i,j]: it is the right answer transposed. "
        "A gradient has the shape of its tensor, element for element. Swap the two operands and transpose both.",
    ),
    Mistake(
        "order-swapped",
        {"x": ("w.T @ dz",)},
        "The transpose is correct, but the order is not: row i of the answer must come from row i of {dz}, so {dz} "
        "belongs on the left. Here the sum runs over the rows of {dz}.",
    ),
    Mistake(
        "elementwise",
        {
            "w": ("x * dz", "x.T * dz", "x * dz.T"),
            "x": ("dz * w", "dz * w.T", "dz.T * w"),
        },
        "* multiplies each element by the one in the same place, and adds nothing. That is right for relu, where each "
        "element moves only one; here an element moves a whole row or column, so its gradient is a sum of products.",
    ),
)
SUMS = (
    Mistake(
        "sum-missing",
        {"b": ("dz",)},
        "This has a row for each sample, shape ({n},{h}); {b} has one number for each column. {b}[j] was broadcast: it "
        "moves column j of {z} in every row, by 1 each, so the rows' shares must be added.",
    ),
    Mistake(
        "sum-kept-its-axis",
        {"b": ("dz.sum(0, keepdims=True)",)},
        "The numbers are right, but in a matrix of one row, (1,{h}); {b} has the shape ({h}). Leave out keepdims.",
    ),
    Mistake(
        "summed-over-columns",
        {"b": ("dz.sum(1)",), "w": ("(x[:,:,None] * dz[:,None,:]).sum(2)",)},
        "It adds up over the columns, and so has one number for each row. An element of {b} or {w} moves a column of "
        "{z}, in every row: sum over the rows, axis 0.",
    ),
    Mistake(
        "summed-over-inputs",
        {"w": ("(x[:,:,None] * dz[:,None,:]).sum(1)",), "x": ("(dz[:,None,:] * w).sum(1)",)},
        "The products are the right ones, but they are added along the axis of the inputs, k, which the answer must "
        "keep.",
    ),
    Mistake(
        "products-not-summed",
        {"w": ("x[:,:,None] * dz[:,None,:]",), "x": ("dz[:,None,:] * w",)},
        "These are all the products, {n} times {m} times {h} of them, and none are added yet. One axis is not in the "
        "answer: sum over that one.",
    ),
    Mistake(
        "summed-to-one-number",
        {"b": ("dz.sum()",), "w": ("(x.T @ dz).sum()",), "x": ("(dz @ w.T).sum()",)},
        "Everything is added up to one number. A gradient has one number for each element of its tensor, because "
        "each of them moves the loss in its own way.",
    ),
    Mistake(
        "mean-of-all",
        {"b": ("dz.mean()",)},
        "This is one number, the mean over rows and columns. {b} has one element for each column, {h} in all, and "
        "each moves its own column.",
    ),
    Mistake(
        "mean-over-columns",
        {"b": ("dz.mean(1)",)},
        "Two things are wrong: it is a mean, and it runs over the columns. {b}[j] moves column j in every row, and the "
        "rows' shares are added, not averaged.",
    ),
    Mistake(
        "summed-too-early",
        {
            "w": ("x.sum(0)[:,None] * dz.sum(0)", "x.T @ dz.sum(0)", "x.sum(0)[:,None] @ dz.sum(0)[None]"),
            "x": ("dz.sum(0) @ w.T", "dz.sum(0) * w.sum(1)"),
        },
        "The rows are added up before they are multiplied. A sum of products is not the product of the sums: each row "
        "of {x} must be multiplied by the same row of {dz}.",
    ),
    Mistake(
        "product-of-means",
        {"w": ("x.mean(0)[:,None] * dz.mean(0)", "x.mean(0)[:,None] * dz.sum(0)")},
        "It multiplies the mean input by the mean gradient. Each row has its own input and its own gradient, and "
        "their products are added; averaging each first loses how the two vary together.",
    ),
    Mistake(
        "one-row-only",
        {
            "w": ("x[0][:,None] * dz[0]", "x[-1][:,None] * dz[-1]"),
            "b": ("dz[0]", "dz[-1]"),
            "x": ("dz[0] @ w.T",),
        },
        "This is the share of one row, as if the batch had a single sample. The loss depends on the element through "
        "every row; the number of rows here is {n}.",
    ),
)
SOURCES = (
    Mistake(
        "gradient-after-relu",
        {"w": ("x.T @ da",), "x": ("da @ w.T",), "b": ("da.sum(0)",)},
        "It uses {da}, the gradient after relu. The gradient at {z} has also passed back through relu, which stops it "
        "where {z} is not positive: one step of the chain is missing.",
    ),
    Mistake(
        "value-for-gradient",
        {"w": ("x.T @ z", "x.T @ a"), "x": ("z @ w.T",), "b": ("z.sum(0)",)},
        "It uses {z}, a value of the forward pass, instead of its gradient {dz}: how much the loss moves when {z} "
        "moves.",
    ),
    Mistake(
        "raw-error",
        {
            "w": ("x.T @ (z - targ)", "x.T @ (targ - z)", "2 * x.T @ (z - targ)"),
            "b": ("(z - targ).sum(0)", "(targ - z).sum(0)"),
            "x": ("(z - targ) @ w.T", "(targ - z) @ w.T"),
        },
        "It passes back the bare difference. What arrives from mse is 2/size times output minus target: the 2 comes "
        "from the square, the 1/size from the mean.",
    ),
    Mistake(
        "upstream-forgotten",
        {
            "w": ("x.T @ (dz * 0 + 1)", "x.T", "x"),
            "x": ("(dz * 0 + 1) @ w.T", "w.sum(1)", "w.T", "w"),
            "b": ("b * 0 + 1", "(dz * 0 + 1).sum(0)"),
        },
        "This is only how {z} moves, the local derivative. The chain rule has a second factor: how much the loss "
        "cares about each element of {z}, which is {dz}.",
    ),
    Mistake(
        "local-forgotten",
        {"w": ("dz",), "x": ("dz",)},
        "This is the gradient at {z}, passed on unchanged, with shape ({n},{h}). How far {z} moves when this element "
        "moves is not simply 1: it is the other factor of the chain rule.",
    ),
    Mistake(
        "other-operand",
        {
            "w": ("w.T @ dz", "w @ dz", "dz @ w"),
            "x": ("x.T @ dz", "dz @ x.T", "dz @ x", "x @ dz"),
            "b": ("dz.sum(0) * b",),
        },
        "The tensor's own numbers are a factor here. How far {z} moves when one factor of a product moves is given "
        "by the other factor: {x} for {w}, {w} for {x}, and 1 for {b}, which is only added.",
    ),
    Mistake(
        "gradient-of-w",
        {"b": ("x.T @ dz", "(x.T @ dz).sum(0)")},
        "This is for {w}, where each row's share is weighted by {x}[i,k]. {b} is only added, so its weight is 1.",
    ),
    Mistake(
        "gradient-of-b-added",
        {"w": ("x.T @ dz + dz.sum(0)",)},
        "The gradient of {b} is added to that of {w}. They are two tensors, each with its own gradient: {w} does not "
        "depend on {b}.",
    ),
    Mistake(
        "mask-too-many",
        {"w": ("x.T @ ((z > 0) * dz)",), "x": ("((z > 0) * dz) @ w.T",), "b": ("((z > 0) * dz).sum(0)",)},
        "It masks {dz} with {z} > 0, but no relu follows {z}: negative outputs have a gradient as well.",
    ),
    Mistake(
        "upstream-masked-by-itself",
        {
            "w": ("x.T @ ((dz > 0) * dz)", "x.T @ ((da > 0) * da)"),
            "x": ("((dz > 0) * dz) @ w.T", "((da > 0) * da) @ w.T"),
            "b": ("((dz > 0) * dz).sum(0)", "((da > 0) * da).sum(0)"),
        },
        "The mask is taken from the gradient, which may have any sign, instead of from the input of relu. So every "
        "negative gradient is lost.",
    ),
    Mistake(
        "mask-for-value",
        {"w": ("(x > 0).T @ dz",), "x": ("dz @ (w > 0).T",)},
        "It uses a mask of 0 and 1 where the numbers themselves belong: {z} moves by {x}[i,k], however large.",
    ),
    Mistake(
        "one-step-too-far",
        {"x": ("(x > 0) * (dz @ w.T)",)},
        "This is the gradient of the input of the relu that computed {x}. The question is that of {x} itself; that "
        "relu's mask comes one step later in the backward pass.",
    ),
    Mistake(
        "clamped",
        changed("relu({})", *LINEAR),
        "All negative numbers are set to 0. relu belongs to the forward pass; a gradient keeps its sign.",
    ),
    Mistake(
        "absolute",
        changed("abs({})", *LINEAR),
        "All signs are lost. They say in which direction the element must move for the loss to rise.",
    ),
)
OF_LINEAR = (*SWAPPED, *SUMS, *SOURCES)
