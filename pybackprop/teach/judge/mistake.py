"""Mistakes: the typical wrong answers to each question, and what each of them computes instead.

A question's kind is the operand that the gradient is asked of: of z = lin(x, w, b) with dz arriving at z its
'w', 'x' and 'b'; 'relu' the input of a = relu(z) with da arriving; 'mse' and 'targ' those of mse(out, targ).
A mistake is recognised by its numbers: its formula is computed on the same numbers as the proposal, on several
shapes, and must agree everywhere. Where two mistakes always give the same numbers, the spelling decides, and for
functions and arrays the one that stands first here.

Collected from the lesson's forums, from questions on Stack Exchange and from corrections to published notebooks:
the second 1/n, the mask taken from the gradient, and `.sum(1)` for b are frequent in all three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from pybackprop.core.arrays import Array
from pybackprop.teach.formula.grammar import Formula, parse

RIGHT = {
    "w": "x.T @ dz",
    "x": "dz @ w.T",
    "b": "dz.sum(0)",
    "relu": "(z > 0) * da",
    "mse": "2 * (out - targ) / size",
    "targ": "-2 * (out - targ) / size",
}
LINEAR = ("w", "x", "b")
OF_LOSS = ("mse", "targ")


@dataclass(frozen=True)
class Mistake:
    """One typical wrong answer.

    name      short and stable
    formulas  how it is spelled, by the kind of question
    says      what it computes instead, and why that is not the gradient; {x}, {dz}, {n} and so on are filled in
              with the names and sizes of the question
    fits      for a mistake that has no single formula: a function of (kind, roles, right, proposal), arrays, that
              gives the factor in it, or None where it is another mistake; the formulas are then examples
    varies    that factor must be another one on each shape, instead of the same on all
    """

    name: str
    formulas: Mapping[str, tuple[str, ...]]
    says: str
    fits: Callable[[str, Mapping[str, Array], Array, Array], float | None] | None = None
    varies: bool = False

    def parsed(self, kind: str) -> list[Formula]:
        return [_parsed(text) for text in self.formulas.get(kind, ())]


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Formula:
    return parse(text)


def mistakes_of(kind: str) -> Iterator[Mistake]:
    """Those that are made with this kind of question, in the order in which they are tried."""
    return (mistake for mistake in table() if kind in mistake.formulas or (mistake.fits and kind not in RIGHT))


@lru_cache(maxsize=1)
def table() -> tuple[Mistake, ...]:
    """All of them, the special before the general."""
    from pybackprop.teach.judge.mistakes_elementwise import ELEMENTWISE
    from pybackprop.teach.judge.mistakes_linear import LIN
    from pybackprop.teach.judge.mistakes_patterns import BROADCAST, PATTERNS

    return (BROADCAST, *LIN, *ELEMENTWISE, *FACTORS, *PATTERNS)


def changed(pattern: str, *kinds: str) -> dict[str, tuple[str, ...]]:
    """The right answer changed in the same way for each kind: '-({})'."""
    return {kind: (pattern.format(RIGHT[kind]),) for kind in kinds or RIGHT}


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
            **changed("({}) / n", "w", "x", "relu"),
            "b": ("dz.mean(0)", "dz.sum(0) / n"),
        },
        "Every number is the right one divided by {n}, the number of rows. The loss is the sum over all paths, so "
        "the rows' shares are added up; the 1/size of the mean was already put in once, by the gradient of mse.",
    ),
    Mistake(
        "size-twice",
        {**changed("({}) / size"), "mse": ("2 * (out - targ) / size / size",)},
        "Every number is the right one divided by {size}, the number of outputs. The mean in mse puts 1/size in once, "
        "and it is already there in the gradient that arrives; here it is a second time.",
    ),
    Mistake(
        "times-rows",
        changed("({}) * n", "w", "x", "b", "relu"),
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
        changed("({}) / 2", "w", "x", "b", "relu"),
        "Every number is half of the right one. Some define the loss with 1/2 in front, so that the 2 of the square "
        "goes away; mse here is the plain mean of the squares.",
    ),
)
