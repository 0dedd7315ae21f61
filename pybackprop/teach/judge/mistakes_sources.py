"""Mistakes with z = x @ w + b: numbers of another tensor, or another gradient, than those that belong there."""

from __future__ import annotations

from pybackprop.teach.judge.conditions import computed_by_relu, has, no_relu_follows, not_computed_by_relu
from pybackprop.teach.judge.mistake import LINEAR, Mistake, changed

SOURCES = (
    Mistake(
        "gradient-after-relu",
        {"w": ("x.T @ da",), "x": ("da @ w.T",), "b": ("da.sum(0)",)},
        "It uses {da}, the gradient after relu. The gradient at {z} has also passed back through relu, which stops it "
        "where {z} is not positive: one step of the chain is missing.",
    ),
    Mistake(
        "value-for-gradient",
        {"w": ("x.T @ a",), "x": ("a @ w.T",), "b": ("a.sum(0)",)},
        "It uses {a}, a value of the forward pass, where a gradient belongs: how much the loss moves when {z} moves.",
    ),
    Mistake(
        "value-for-gradient",
        {"w": ("x.T @ z",), "x": ("z @ w.T",), "b": ("z.sum(0)",)},
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
        "This is the gradient at {z}, passed on unchanged, with shape ({n},{h}). How far {z} moves when an element of "
        "{operand} moves is not simply 1: it is the other factor of the chain rule.",
    ),
    Mistake(
        "other-operand",
        {
            "w": ("w.T @ dz", "w @ dz", "dz @ w"),
            "x": ("x.T @ dz", "dz @ x.T", "dz @ x", "x @ dz"),
        },
        "The tensor's own numbers are a factor here. How far {z} moves when one factor of a product moves is given "
        "by the other factor: {x} for {w}, and {w} for {x}.",
    ),
    Mistake(
        "other-operand",
        {"b": ("dz.sum(0) * b",)},
        "The tensor's own numbers are a factor here. {b} is only added, so {z} moves by 1 for each 1 that it moves.",
    ),
    Mistake(
        "gradient-of-w",
        {"b": ("x.T @ dz",)},
        "This is for {w}, where each row's share is weighted by {x}[i,k]. {b} is only added, so its weight is 1.",
        holds=has("w"),
    ),
    Mistake(
        "gradient-of-w",
        {"b": ("(x.T @ dz).sum(0)",)},
        "This is the gradient of {w}, added up over its rows, where each row's share is weighted by {x}[i,k]. {b} is "
        "only added, so its weight is 1.",
        holds=has("w"),
    ),
    Mistake(
        "gradient-of-b-added",
        {"w": ("x.T @ dz + dz.sum(0)",)},
        "The gradient of {b} is added to that of {w}. They are two tensors, each with its own gradient: {w} does not "
        "depend on {b}.",
        holds=has("b"),
    ),
    Mistake(
        "mask-too-many",
        {"w": ("x.T @ ((z > 0) * dz)",), "x": ("((z > 0) * dz) @ w.T",), "b": ("((z > 0) * dz).sum(0)",)},
        "It masks {dz} with {z} > 0, but no relu follows {z}: where {z} is negative, the loss moves with it as well.",
        holds=no_relu_follows,
    ),
    Mistake(
        "mask-too-many",
        {"x": ("(x > 0) * (dz @ w.T)",)},
        "It masks the answer with {x} > 0, but {x} is not the input of a relu here: where {x} is negative, {z} moves "
        "with it as well.",
        holds=not_computed_by_relu,
    ),
    Mistake(
        "upstream-masked-by-itself",
        {
            "w": ("x.T @ ((dz > 0) * dz)", "x.T @ ((da > 0) * da)"),
            "x": ("((dz > 0) * dz) @ w.T", "((da > 0) * da) @ w.T"),
            "b": ("((dz > 0) * dz).sum(0)", "((da > 0) * da).sum(0)"),
        },
        "The mask is taken from the gradient, which may have any sign: every negative gradient is lost.",
    ),
    Mistake(
        "mask-for-value",
        {"w": ("(x > 0).T @ dz",)},
        "It uses a mask of 0 and 1 where the numbers themselves belong: {z} moves by {x}[i,k], however large.",
    ),
    Mistake(
        "mask-for-value",
        {"x": ("dz @ (w > 0).T",)},
        "It uses a mask of 0 and 1 where the numbers themselves belong: {z} moves by {w}[k,j], however large.",
    ),
    Mistake(
        "one-step-too-far",
        {"x": ("(x > 0) * (dz @ w.T)",)},
        "This is the gradient of the input of the relu that computed {x}. The question is that of {x} itself; that "
        "relu's mask comes one step later in the backward pass.",
        holds=computed_by_relu,
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
