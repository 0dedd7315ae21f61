"""Mistakes with z = x @ w + b. Most of them begin where a matrix product is a sum of outer products."""

from __future__ import annotations

from pybackprop.teach.judge.mistake import LINEAR, MSE, RELU, Mistake, changed

SWAPPED = (
    Mistake(
        "rows-for-columns",
        {"w": ("dz @ x.T",)},
        "It adds up over the columns of {z}: element [0,0] of it takes row 0 of {dz} times row 0 of {x}. But {w}[0,0] "
        "moves column 0 of {z}, in every row i, by {x}[i,0] each, and not row 0. So the sum must run over the rows: i "
        "must be the inner index. (It runs at all only where inputs and outputs are as many, and has the right shape "
        "only where the rows are as many, too.)",
    ),
    Mistake(
        "transpose-missing",
        {"w": ("x @ dz",), "x": ("dz @ w",)},
        "The two matrices are the right ones, and the index that should be summed over is not the inner one: @ "
        "pairs the columns of the first with the rows of the second. One operand has to be transposed so that the "
        "letter which both share, and the answer does not have, stands inside.",
    ),
    Mistake(
        "transpose-missing-and-swapped",
        {"w": ("dz @ x",), "x": ("w @ dz",)},
        "Neither the order nor the axes are right: the inner index of this product is a column of one and a row "
        "of the other, which have nothing to do with each other. Write down the index letters of each operand, and "
        "of the answer: the letter that the answer lacks must stand inside.",
    ),
    Mistake(
        "wrong-one-transposed",
        {"w": ("x @ dz.T",), "x": ("dz.T @ w",)},
        "The transpose is on the other operand. So the sum runs over an index that the answer needs, and the one that "
        "should be summed over stays outside.",
    ),
    Mistake(
        "answer-transposed",
        {
            "w": ("dz.T @ x",),
            "x": ("w @ dz.T",),
            RELU: ("((z > 0) * da).T",),
            MSE: ("(2 * (out - targ) / size).T",),
        },
        "All the numbers are right, and each stands at [j,i] instead of [i,j]: it is the right answer transposed. "
        "A gradient has the shape of its tensor, element for element. Swap the two operands and transpose both.",
    ),
    Mistake(
        "order-swapped",
        {"x": ("w.T @ dz",)},
        "The right operand is transposed, but the order is the other one: row i of the answer must come from row i of "
        "{dz}, so {dz} stands on the left. Here the rows of {dz} are what is summed over.",
    ),
    Mistake(
        "elementwise",
        {
            "w": ("x * dz", "x.T * dz", "x * dz.T"),
            "x": ("dz * w", "dz * w.T", "dz.T * w"),
        },
        "* pairs each element with the one in the same place, and adds nothing up. It is right for relu, where each "
        "element moves one other; here an element moves a whole row or column, so its gradient is a sum of products.",
    ),
)
SUMS = (
    Mistake(
        "sum-missing",
        {"b": ("dz",)},
        "This has a row for each sample, shape ({n},{h}); {b} has one number for each column. {b}[j] was broadcast: it "
        "moves column j of {z} in every row, by 1 each, so the rows' shares are added up.",
    ),
    Mistake(
        "sum-kept-its-axis",
        {"b": ("dz.sum(0, keepdims=True)",)},
        "The numbers are right, in a matrix of one row, (1,{h}), where {b} has the shape ({h}). Leave keepdims out.",
    ),
    Mistake(
        "summed-over-columns",
        {"b": ("dz.sum(1)",), "w": ("(x[:,:,None] * dz[:,None,:]).sum(2)",)},
        "It adds up over the columns, and so has one number for each row. An element of {b} or {w} moves a column of "
        "{z}, in every row: the sum runs over the rows, axis 0.",
    ),
    Mistake(
        "summed-over-inputs",
        {"w": ("(x[:,:,None] * dz[:,None,:]).sum(1)",), "x": ("(dz[:,None,:] * w).sum(1)",)},
        "The products are the right ones, each x times w or dz that belong together, and they are added up along the "
        "axis of the inputs k, which the answer must keep.",
    ),
    Mistake(
        "products-not-summed",
        {"w": ("x[:,:,None] * dz[:,None,:]",), "x": ("dz[:,None,:] * w",)},
        "These are all the products, {n} times {m} times {h} of them, and none is added up yet. One axis is left "
        "that the answer does not have: it is the one to sum over.",
    ),
    Mistake(
        "summed-to-one-number",
        {"b": ("dz.sum()",), "w": ("(x.T @ dz).sum()",), "x": ("(dz @ w.T).sum()",)},
        "Everything is added up to one number. A gradient has one number for each element of its tensor, because "
        "each of them moves other elements.",
    ),
    Mistake(
        "mean-of-all",
        {"b": ("dz.mean()",)},
        "This is one number, the mean over rows and columns. {b} has {h} elements, each moves its own column.",
    ),
    Mistake(
        "mean-over-columns",
        {"b": ("dz.mean(1)",)},
        "A mean, and over the columns: two things at once. {b}[j] moves column j in every row, and the shares of the "
        "rows are added up, not averaged.",
    ),
    Mistake(
        "summed-too-early",
        {
            "w": ("x.sum(0)[:,None] * dz.sum(0)", "x.T @ dz.sum(0)", "x.sum(0)[:,None] @ dz.sum(0)[None]"),
            "x": ("dz.sum(0) @ w.T", "dz.sum(0) * w.sum(1)"),
        },
        "The rows are added up before they are multiplied. The sum of products is not the product of sums: each row "
        "of {x} belongs with the same row of {dz}.",
    ),
    Mistake(
        "product-of-means",
        {"w": ("x.mean(0)[:,None] * dz.mean(0)", "x.mean(0)[:,None] * dz.sum(0)")},
        "It multiplies the mean input with the mean gradient. Each row has its own input and its own gradient; their "
        "products are added up, and whatever they have in common is lost when each is averaged first.",
    ),
    Mistake(
        "one-row-only",
        {
            "w": ("x[0][:,None] * dz[0]", "x[-1][:,None] * dz[-1]"),
            "b": ("dz[0]", "dz[-1]"),
            "x": ("dz[0] @ w.T",),
        },
        "This is the share of one row, as if the batch had a single sample. With {n} rows the loss depends on the "
        "element through each of them.",
    ),
)
SOURCES = (
    Mistake(
        "gradient-after-relu",
        {"w": ("x.T @ da",), "x": ("da @ w.T",), "b": ("da.sum(0)",)},
        "It uses {da}, the gradient after relu. What arrives at {z} has come back through relu, which lets nothing "
        "through where {z} is not positive: one step of the chain is left out.",
    ),
    Mistake(
        "value-for-gradient",
        {"w": ("x.T @ z", "x.T @ a"), "x": ("z @ w.T",), "b": ("z.sum(0)",)},
        "It uses {z}, the value that went forward, where the gradient {dz} belongs, that comes back: how much the loss "
        "moves when {z} moves.",
    ),
    Mistake(
        "raw-error",
        {
            "w": ("x.T @ (z - targ)", "x.T @ (targ - z)", "2 * x.T @ (z - targ)"),
            "b": ("(z - targ).sum(0)", "(targ - z).sum(0)"),
            "x": ("(z - targ) @ w.T", "(targ - z) @ w.T"),
        },
        "It sends the bare difference back. What arrives from mse is 2/size times the difference of output and "
        "target: the 2 of the square, the size of the mean, in this order of signs.",
    ),
    Mistake(
        "upstream-forgotten",
        {
            "w": ("x.T @ (dz * 0 + 1)", "x.T", "x"),
            "x": ("(dz * 0 + 1) @ w.T", "w.sum(1)", "w.T", "w"),
            "b": ("b * 0 + 1", "(dz * 0 + 1).sum(0)"),
        },
        "This is only how {z} moves, the local derivative. How much the loss cares about each element of {z} is in "
        "{dz}, and multiplies it: the chain rule has two factors.",
    ),
    Mistake(
        "local-forgotten",
        {"w": ("dz",), "x": ("dz",)},
        "This is what arrives at {z}, handed on unchanged, shape ({n},{h}). {z} moves by something else than 1 when "
        "this element moves: that is the other factor of the chain rule.",
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
        "This is made for {w}: there each row's share is weighted with {x}[i,k]. {b} is added, so its weight is 1.",
    ),
    Mistake(
        "gradient-of-b-added",
        {"w": ("x.T @ dz + dz.sum(0)",)},
        "The gradient of {b} is added to that of {w}. They are two tensors, each with its own gradient: {b} "
        "does not go through {w}.",
    ),
    Mistake(
        "mask-too-many",
        {"w": ("x.T @ ((z > 0) * dz)",), "x": ("((z > 0) * dz) @ w.T",), "b": ("((z > 0) * dz).sum(0)",)},
        "It masks {dz} with {z} > 0, though no relu stands behind {z}: negative outputs have a gradient as well.",
    ),
    Mistake(
        "upstream-masked-by-itself",
        {
            "w": ("x.T @ ((dz > 0) * dz)", "x.T @ ((da > 0) * da)"),
            "x": ("((dz > 0) * dz) @ w.T", "((da > 0) * da) @ w.T"),
            "b": ("((dz > 0) * dz).sum(0)", "((da > 0) * da).sum(0)"),
        },
        "The mask was taken from the gradient, which may have any sign, instead of from the input of relu. So all "
        "that is negative on its way back is lost.",
    ),
    Mistake(
        "mask-for-value",
        {"w": ("(x > 0).T @ dz",), "x": ("dz @ (w > 0).T",)},
        "It uses a mask of 0 and 1 where the numbers themselves belong: {z} moves by {x}[i,k], however large.",
    ),
    Mistake(
        "one-step-too-far",
        {"x": ("(x > 0) * (dz @ w.T)",)},
        "This is the gradient of what went into the relu before {x}. The question is that of {x} itself, behind that "
        "relu: its mask comes one step later.",
    ),
    Mistake(
        "clamped",
        changed("relu({})", *LINEAR),
        "All negative numbers are cut off to 0. relu is for values on their way forward; a gradient keeps its sign.",
    ),
    Mistake(
        "absolute",
        changed("abs({})", *LINEAR),
        "All signs are lost. They say which way to move the element for the loss to rise.",
    ),
)
OF_LINEAR = (*SWAPPED, *SUMS, *SOURCES)
