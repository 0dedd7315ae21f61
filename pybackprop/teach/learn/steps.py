"""The exercises, from one element to the whole network, on one small example."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from pybackprop.teach.example import ROLE_OF, decimals
from pybackprop.teach.formula.evaluate import evaluate
from pybackprop.teach.formula.grammar import parse
from pybackprop.teach.judge.kind import Kind
from pybackprop.teach.judge.mistake import Mistake
from pybackprop.teach.judge.question import RUNS, Question, Sample, question_of
from pybackprop.teach.trace.use import use_of

STEP = "step"  # the kind of question that an exercise's own answer belongs to
SAME = (("same", np.float64), ("same open", np.float64))  # in the second, no forgotten term is 0 by chance


@dataclass(frozen=True)
class Step:
    """One exercise.

    name        short and stable: the progress file uses it
    title, text what the learner reads
    about       the role of the tensor whose gradient the question is about
    asked       what is asked for; None: the whole gradient of that tensor
    right       a formula that gives it; None: the one that judge knows
    names       the available names; None: all that judge knows
    general     the first hint
    mistakes    typical mistakes in this exercise
    same_shape  whether the answer is right only for these shapes, as a written-out sum is
    """

    name: str
    title: str
    text: str
    about: str
    asked: str | None = None
    right: str | None = None
    names: tuple[str, ...] | None = None
    general: str | None = None
    mistakes: tuple[Mistake, ...] = ()
    same_shape: bool = False


def _wrong(name: str, says: str, *formulas: str) -> Mistake:
    return Mistake(name, {STEP: formulas}, says)


FORWARD = ("x", "w", "b", "z")
STEPS = (
    Step(
        "one-slope",
        "One weight, one output",
        "z = x @ w + b. Element by element: z[1,0] = x[1,0]*w[0,0] + x[1,1]*w[1,0] + ... + b[0]. "
        "Move w[0,0] a little. By how much does z[1,0] move, for each unit that w[0,0] moves?",
        "w",
        "the slope of z[1,0] along w[0,0]",
        "x[1,0]",
        FORWARD,
        "Only one term of z[1,0] has w[0,0] in it. The slope of a product along one factor is the other factor.",
        (
            _wrong("own-factor", "That is the factor you move. The slope is the other factor of the term.", "w[0,0]"),
            _wrong(
                "whole-term",
                "That is the term itself. Its slope along w[0,0] is the number that multiplies w[0,0].",
                "x[1,0]*w[0,0]",
            ),
            _wrong("indices-swapped", "Row and column are swapped: z[1,0] is computed from row 1 of x.", "x[0,1]"),
            _wrong("wrong-row", "That is what moves z[0,0]. The question is z[1,0], in row 1.", "x[0,0]"),
            _wrong("slope-of-b", "1 is the slope along b[0], which is only added.", "1"),
            _wrong("value-for-slope", "That is the value of z[1,0], not how it moves.", "z[1,0]"),
        ),
    ),
    Step(
        "other-column",
        "The same weight, another column",
        "And by how much does z[1,1] move, for each unit that w[0,0] moves?",
        "w",
        "the slope of z[1,1] along w[0,0]",
        "0",
        FORWARD,
        "Write z[1,1] down as a sum, like z[1,0] before. Which elements of w are in it?",
        (
            _wrong(
                "rows-for-columns",
                "x[1,0] is the slope of z[1,0]. z[1,1] is computed from column 1 of w, and w[0,0] "
                "is in column 0: it moves column 0 of z, in every row, and nothing else.",
                "x[1,0]",
            ),
            _wrong(
                "rows-for-columns",
                "z[1,1] = x[1,0]*w[0,1] + x[1,1]*w[1,1] + ...: w[0,0] is not in it.",
                "x[1,1]",
                "x[0,1]",
                "x[0,0]",
                "w[0,1]",
            ),
        ),
    ),
    Step(
        "one-gradient",
        "One weight, the loss",
        "dz holds how much the loss moves for each unit of each element of z. w[0,0] moves column 0 of z, in every "
        "row. How much does the loss move, for each unit that w[0,0] moves? (Write out the terms, or use [:,0] and "
        ".sum().)",
        "w",
        "w.g[0,0]",
        "(x[:,0] * dz[:,0]).sum()",
        (*FORWARD, "dz", "n", "m", "h"),
        "Each row i is a path from w[0,0] to the loss: the slope of z[i,0] along w[0,0], times dz[i,0]. Add the paths.",
        (
            _wrong(
                "one-row-only",
                "That is the path through one row. w[0,0] moves column 0 in every row, and all of "
                "these paths lead to the loss.",
                "x[0,0]*dz[0,0]",
                "x[1,0]*dz[1,0]",
            ),
            _wrong(
                "mean-over-rows",
                "The paths are added, not averaged.",
                "(x[:,0] * dz[:,0]).mean()",
                "(x[:,0] * dz[:,0]).sum() / n",
            ),
            _wrong(
                "summed-too-early",
                "Each row's x must be multiplied by the same row's dz: multiply first, then add.",
                "x[:,0].sum() * dz[:,0].sum()",
            ),
            _wrong(
                "upstream-forgotten", "That is how far z moves. dz says what that does to the loss.", "x[:,0].sum()"
            ),
            _wrong(
                "products-not-summed",
                "This has one number for each row; they must still be added up.",
                "x[:,0] * dz[:,0]",
            ),
        ),
        True,
    ),
    Step(
        "one-column",
        "A column of weights",
        "All weights of column 0, w[:,0], move the same column of z. Their gradients w.g[:,0] are sums like the last "
        "one. Write all of them as one product with @.",
        "w",
        "w.g[:,0]",
        "x.T @ dz[:,0]",
        (*FORWARD, "dz", "n", "m", "h"),
        "w.g[k,0] is column k of x times column 0 of dz, added up over the rows. @ takes rows of its first operand.",
        (
            _wrong("transpose-missing", "@ takes the rows of x, but here its columns are needed.", "x @ dz[:,0]"),
            _wrong(
                "rows-for-columns",
                "A row of dz belongs to all columns of z, but w[:,0] moves only column 0.",
                "x.T @ dz[0]",
                "x @ dz[0]",
                "dz[0] @ x.T",
                "dz[0] @ x",
            ),
            _wrong("whole-matrix", "That is all of w.g. The question is column 0 of it.", "x.T @ dz"),
        ),
    ),
    Step(
        "weights",
        "All weights",
        "Now all of w.g, for z = x @ w + b with dz arriving at z.",
        "w",
    ),
    Step(
        "bias",
        "The bias",
        "b has one number for each column, and is added in every row of z = x @ w + b. What is b.g?",
        "b",
    ),
    Step(
        "input",
        "The input",
        "x may be the output of an earlier layer, which needs its gradient. x[i,k] moves row i of z. What is x.g?",
        "x",
    ),
    Step(
        "relu",
        "relu",
        "a = relu(z), element by element, and da arrives at a. What is z.g?",
        "z",
    ),
    Step(
        "loss",
        "The loss",
        "loss = mse(out, targ) is the mean of (out - targ)**2 over all elements, rows times columns. What is out.g?",
        "out",
    ),
    Step(
        "two-steps",
        "Two steps at once",
        "z = x @ w + b, a = relu(z), and da arrives at a. This time you do not have dz. What is w.g?",
        "w",
        "w.g",
        "x.T @ ((z > 0) * da)",
        (*FORWARD, "a", "da", "n", "m", "h"),
        "First find z.g from da, then w.g from z.g.",
        (
            _wrong(
                "gradient-after-relu",
                "relu is missing: where z is not positive, the gradient of z is 0.",
                "x.T @ da",
            ),
            _wrong("mask-from-gradient", "The mask comes from z, not from the gradient.", "x.T @ ((da > 0) * da)"),
            _wrong(
                "mask-too-late",
                "The mask has the shape of z, and belongs to da, before the rows are added up.",
                "(x.T @ da) * (z > 0)",
                "(z > 0) * (x.T @ da)",
            ),
            _wrong("value-for-mask", "The slope of relu is 1 where z > 0, not z itself.", "x.T @ (a * da)"),
        ),
    ),
    Step(
        "network",
        "The whole network",
        "l1 = x @ w1 + b1, l2 = relu(l1), out = l2 @ w2 + b2, loss = mse(out, targ). There are no gradients yet. "
        "Write w1.g using only the values of the forward pass (size is the number of elements of out).",
        "w",
        "w1.g",
        "x.T @ ((l1 > 0) * ((2 * (out - targ) / size) @ w2.T))",
        ("x", "w1", "b1", "l1", "l2", "w2", "b2", "out", "targ", "n", "size"),
        "Go backward: out.g from mse, then l2.g through w2, then l1.g through relu, then w1.g. Each of these was an "
        "earlier exercise.",
        (
            _wrong(
                "mask-missing",
                "relu is missing: l1.g is l2.g where l1 > 0, and 0 elsewhere.",
                "x.T @ ((2 * (out - targ) / size) @ w2.T)",
            ),
            _wrong(
                "size-missing",
                "The mean in mse gives a factor 1/size.",
                "x.T @ ((l1 > 0) * ((2 * (out - targ)) @ w2.T))",
            ),
            _wrong(
                "two-missing",
                "The square in mse gives a factor 2.",
                "x.T @ ((l1 > 0) * (((out - targ) / size) @ w2.T))",
            ),
            _wrong(
                "rows-for-size",
                "The mean in mse is over all elements of out, not over the rows.",
                "x.T @ ((l1 > 0) * ((2 * (out - targ) / n) @ w2.T))",
            ),
            _wrong("raw-error", "out.g is 2/size times out - targ.", "x.T @ ((l1 > 0) * ((out - targ) @ w2.T))"),
            _wrong(
                "sign-flipped",
                "The sign is wrong: where out is above targ, a larger out raises the loss.",
                "x.T @ ((l1 > 0) * ((2 * (targ - out) / size) @ w2.T))",
            ),
            _wrong(
                "one-layer-too-few", "That is w2.g. w1 is one layer further back.", "l2.T @ (2 * (out - targ) / size)"
            ),
        ),
    ),
)


@lru_cache(maxsize=len(STEPS))
def question_for(name: str) -> Question:
    """The question of an exercise, on the numbers of the example."""
    step = next(step for step in STEPS if step.name == name)
    tensors = decimals().tensors
    use = use_of(tensors[ROLE_OF[step.about]])
    whole = replace(question_of(use, {}, SAME if step.same_shape else RUNS), by_role=True)
    if step.right is None:
        return replace(whole, asked=f"{step.about}.g")
    allowed = set(step.names or ())
    allowed |= {f"{name[1:]}.g" for name in allowed if name.startswith("d")}
    keys = {name: key for name, key in whole.names.items() if name in allowed}
    samples = [_part(sample, step.right, allowed) for sample in whole.samples]
    return replace(
        whole,
        kind=Kind(STEP, right=step.right, hint=step.general or ""),
        asked=step.asked or "",
        names=keys,
        samples=samples,
        mistakes=step.mistakes,
    )


def _part(sample: Sample, right: str, allowed: set[str]) -> Sample:
    """A sample restricted to the allowed names, whose right answer is given by a formula."""
    answer = np.asarray(evaluate(parse(right), sample.arrays).array, sample.right.dtype)
    arrays = {name: array for name, array in sample.arrays.items() if name in allowed}
    return Sample(arrays, {**sample.roles, **arrays}, answer, np.abs(answer) + np.abs(answer).max(initial=0))
