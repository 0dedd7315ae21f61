"""Mistakes with z = x @ w + b. Most come from not seeing that a matrix product is a sum of outer products."""

from __future__ import annotations

from pybackprop.teach.judge.conditions import several_rows
from pybackprop.teach.judge.mistake import MSE, RELU, Mistake
from pybackprop.teach.judge.mistakes_sources import SOURCES

SWAPPED = (
    Mistake(
        "rows-for-columns",
        {"w": ("dz @ x.T",)},
        "It adds up over the columns of {z}: element [0,0] of it takes row 0 of {dz} times row 0 of {x}. But {w}[0,0] "
        "moves column 0 of {z}, in every row i, by {x}[i,0] each, and not row 0. So the sum must run over the "
        "rows: i must be the inner index. (It runs only if there are as many inputs as outputs, and has the right "
        "shape only if there are as many rows, too.)",
    ),
    Mistake(
        "transpose-missing",
        {"w": ("x @ dz",), "x": ("dz @ w",)},
        "The two matrices are the right ones, but the index to sum over is not the inner one: @ pairs the columns of "
        "the first with the rows of the second. One operand must be transposed, so that the letter that both share "
        "and the answer does not have is the inner one.",
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
        "The sum runs over an index that the answer needs, and the one to sum over is left in the result: it is the "
        "other operand that must be transposed.",
    ),
    Mistake(
        "answer-transposed",
        {
            "w": ("dz.T @ x",),
            "x": ("w @ dz.T",),
            RELU: ("((z > 0) * da).T",),
            MSE: ("(2 * (out - targ) / size).T",),
        },
        "All the numbers are right, but each is at {swapped} instead of {index}: it is the right answer transposed. "
        "A gradient has the shape of its tensor, element for element.",
    ),
    Mistake(
        "order-swapped",
        {"x": ("w.T @ dz",)},
        "The transposed {w} stands on the left, so the sum runs over the rows of {dz}. But row i of the answer must "
        "come from row i of {dz}.",
    ),
    Mistake(
        "elementwise",
        {
            "w": ("x * dz", "x.T * dz", "x * dz.T"),
            "x": ("dz * w", "dz * w.T", "dz.T * w"),
        },
        "Each element is multiplied by the one in the same place, and nothing is added. That is right for relu, where "
        "each element moves only one; here an element moves a whole row or column, so its gradient is a sum of "
        "products.",
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
        {"b": ("dz.sum(1)",)},
        "It adds up over the columns, and so has one number for each row. An element of {b} moves a column of {z}, in "
        "every row: sum over the rows, axis 0.",
    ),
    Mistake(
        "summed-over-columns",
        {"w": ("(x[:,:,None] * dz[:,None,:]).sum(2)",)},
        "The products are the right ones, but they are added along the columns of {z}, j, which the answer must keep.",
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
        "summed-after-product",
        {"w": ("(x.T @ dz).sum(0)", "(x.T @ dz).sum(1)")},
        "This is the right answer, added up once more along one of its own axes. The sum over the rows is already in "
        "the product, and no other axis is to be summed.",
    ),
    Mistake(
        "summed-after-product",
        {"x": ("(dz @ w.T).sum(1)",)},
        "This is the right answer, added up once more, over its columns. The sum over the columns of {z} is already in "
        "the product, and no other axis is to be summed.",
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
        "Two things are wrong: it is a mean, and it runs over the columns. {b}[j] moves column j of {z} in every row, "
        "and the rows' shares are added, not averaged.",
    ),
    Mistake(
        "summed-too-early",
        {
            "w": ("x.sum(0)[:,None] * dz.sum(0)", "x.T @ dz.sum(0)", "x.sum(0)[:,None] @ dz.sum(0)[None]"),
        },
        "The rows are added up before they are multiplied. A sum of products is not the product of the sums: each row "
        "of {x} must be multiplied by the same row of {dz}.",
        holds=several_rows,
    ),
    Mistake(
        "summed-too-early",
        {"x": ("dz.sum(0) @ w.T", "dz.sum(0) * w.sum(1)")},
        "The rows of {dz} are added up. Each row of {x} has its own gradient, which comes from the same row of {dz}.",
        holds=several_rows,
    ),
    Mistake(
        "product-of-means",
        {"w": ("x.mean(0)[:,None] * dz.mean(0)",)},
        "It multiplies the mean input by the mean gradient. Each row has its own input and its own gradient, and "
        "their products are added; averaging each first loses how the two vary together.",
        holds=several_rows,
    ),
    Mistake(
        "product-of-means",
        {"w": ("x.mean(0)[:,None] * dz.sum(0)", "x.sum(0)[:,None] * dz.mean(0)")},
        "It multiplies the sum over the rows of one by the mean of the other. Each row has its own input and its own "
        "gradient, and their products are added; adding each up first loses how the two vary together.",
        holds=several_rows,
    ),
    Mistake(
        "one-row-only",
        {
            "w": ("x[0][:,None] * dz[0]", "x[-1][:,None] * dz[-1]"),
            "b": ("dz[0]", "dz[-1]"),
        },
        "This is the share of one row, as if the batch had a single sample. The loss depends on the element through "
        "every row; the number of rows here is {n}.",
        holds=several_rows,
    ),
    Mistake(
        "one-row-only",
        {"x": ("dz[0] @ w.T", "dz[-1] @ w.T")},
        "This is one row of the answer. {x} has {n} rows, and each has its own gradient.",
        holds=several_rows,
    ),
)
OF_LINEAR = (*SWAPPED, *SUMS, *SOURCES)
