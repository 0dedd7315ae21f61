"""judge: whether a proposal for a gradient is right, and what it computes instead if it is not."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.teach.formula.errors import UnknownNameError
from pybackprop.teach.formula.grammar import names_in
from pybackprop.teach.judge.attempt import Attempt
from pybackprop.teach.judge.diagnosis import Diagnosis, diagnose
from pybackprop.teach.judge.hints import hints_of, solution_of
from pybackprop.teach.judge.mistake import Mistake
from pybackprop.teach.judge.proposal import Proposal, attempts_of, proposal_of
from pybackprop.teach.judge.question import Question, question_of
from pybackprop.teach.judge.summary import networks, summary_of
from pybackprop.teach.judge.verdict import Verdict
from pybackprop.teach.trace.use import use_of

__all__ = ["Verdict", "judge"]

OWN_NAMES = "A tensor that you call by another name is given by it: bp.judge(w, ..., pred=pred)"
CIRCULAR = Mistake(
    "circular",
    {},
    "This uses {answer}, the gradient you are asked for. Use only what is known before it: the values of the "
    "forward pass, and the gradient that arrives.",
)
ACCUMULATED = Mistake(
    "accumulated",
    {},
    "It adds to what is already in {answer}, which gives twice the gradient once backward has run. That is right for "
    "a second path or a second batch; the gradient asked for is only the new part.",
)


def judge(t: Tensor | Array, proposal: Any, reveal: bool = False, **names: Any) -> Verdict:
    """Judges a proposal for the gradient of t, a tensor that took part in a forward pass, or the array of its data.

    proposal  a formula such as "x.T @ dz" (teach/formula/grammar.py lists what may be written); a function whose
              arguments are available names, which returns the gradient or, as in the lesson, sets the `.g` of its
              argument; or the gradient's numbers, in an array of t's shape
    reveal    whether the verdict includes the solution
    names     your own names for tensors, gradients, arrays and numbers: judge(w1, "x.T @ d", d=l1.g). If several
              operations used t, name the result that you mean: z=l1

    Available are the tensors' own `.name`s and the lesson's names for the tensors of the network: x, w1, b1, l1, l2,
    ..., out, targ (also y), and `.g` of each. Also available are the names inside the operation that used t. For
    z = x @ w + b: inp (also x) of shape (n,m), w (m,h), b (h) and z (also out) (n,h), with dz (also dout) arriving.
    For a = relu(z): z (also inp) and a (also out), with da arriving. For an operation of your own: its operands' names
    and out. Sizes are n (rows), m (inputs), h (outputs) and size (the number of elements that mse averages).
    In a network of several layers, x and out have two meanings: they are the network's, unless the formula speaks of
    the operation, with inp, w, z, dz, or self as in a class, and of nothing outside it: judge(w1, "inp.T @ out.g").
    The verdict's `reading` says how such names were read. Your own names have one meaning.

    A function gets arrays that have .g and all of numpy's and torch's methods; it may call numpy, torch and this
    library on them. If it stops with an error of its own, it could not be run, and is neither right nor wrong.
    A formula or function is also tried on other shapes and numbers, in float64. If the operation cannot be run on
    others, it is tried on these numbers only; the verdict says so.

    Raises FormulaError (a ValueError) for text that is not a formula over the available names, and for a function with
    any other argument; TypeError for anything else that is not a proposal or a tensor; GradientError for a tensor that
    no recorded operation used, or several did, or if no gradient has arrived at the operation's result.
    """
    use = use_of(t, names.values())
    try:
        return judge_question(question_of(use, names), proposal, reveal)
    except UnknownNameError as error:
        is_all_named = all(t.name for op in use.network for t in (*op.inputs, op.output))
        raise UnknownNameError(str(error) if is_all_named else f"{error}\n{OWN_NAMES}") from None


def judge_question(question: Question, proposal: Any, reveal: bool = False) -> Verdict:
    """The verdict on a proposal for a question."""
    given = proposal_of(question, _right_side(question, proposal))
    question = question.read_as(given.names(), given.formula is not None and given.formula.has_self)
    attempts = attempts_of(question, given)
    own = attempts[0]
    circular = given.formula is not None and any(question.circular(name) for name in given.formula.names)
    undecided = _undecided(attempts) and not circular
    ok = all(attempt.is_right for attempt in attempts) and not circular
    diagnosis = None if ok or undecided else _diagnosis(question, attempts, given, circular)
    wrong = own.wrong()
    return Verdict(
        ok=ok,
        runs=own.value is not None,
        shape_ok=wrong is not None,
        wrong=None if wrong is None else int(wrong.sum()),
        size=own.sample.right.size,
        mistake=diagnosis.mistake.name if diagnosis else None,
        hints=() if ok or undecided else tuple(hints_of(question, attempts, given, diagnosis)),
        asked=question.asked,
        proposal=given.text,
        summary=_failure(attempts) if undecided else summary_of(question, attempts, ok, circular),
        solution=solution_of(question, given) if reveal else None,
        by_accident=not ok and not undecided and own.is_right and not circular,
        error=own.error or None,
        undecided=undecided,
        reading=_reading(question, given, ok or undecided, own.value is not None),
    )


def _reading(question: Question, proposal: Proposal, ok: bool, runs: bool) -> str | None:
    """How names were read that may mean something else to the learner; None if there were none."""
    read = [question.reading] if question.reading else []
    if not ok:
        read += question.remedies(proposal.names()) if read else []
        read += question.targets_read(proposal.names()) + ([] if runs else question.numbers_read(proposal.names()))
    return " ".join(read) or None


def _diagnosis(question: Question, attempts: Sequence[Attempt], proposal: Proposal, circular: bool) -> Diagnosis | None:
    if not circular:
        return diagnose(question, attempts, proposal.formula)
    return Diagnosis(ACCUMULATED if _is_added(question, proposal) and _is_twice(attempts[0]) else CIRCULAR, None)


def _is_added(question: Question, proposal: Proposal) -> bool:
    """Whether a formula is a sum with the answer itself as one part."""
    tree = proposal.formula.tree if proposal.formula is not None else None
    parts = [tree.left, tree.right] if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add) else []
    return any(question.circular(name) for part in parts for name, node in names_in(part) if node is part)


def _undecided(attempts: Sequence[Attempt]) -> bool:
    """Whether it could not be run somewhere, and is not wrong anywhere: it is then neither right nor wrong."""
    return any(attempt.failed for attempt in attempts) and all(a.is_right or a.failed for a in attempts)


def _failure(attempts: Sequence[Attempt]) -> str:
    """What is said of a function that could not be run, with its own error."""
    failed = [attempt for attempt in attempts if attempt.failed]
    where = "" if attempts[0].failed else f" on {networks(attempts[0].sample, [a.sample for a in failed])}"
    begin = "" if attempts[0].failed else "Right here, but not known to be right in general: "
    end = "It is neither right nor wrong." if attempts[0].failed else ""
    error = failed[0].error.splitlines()[0].rstrip(".")
    return f"{begin}{'I' if not begin else 'i'}t could not be run{where}: {error}. {end}".rstrip()


def _right_side(question: Question, proposal: Any) -> Any:
    """The proposal without a leading `w.g = `, if that names the gradient asked for."""
    if isinstance(proposal, str):
        written = re.match(r"\s*(?:self\.)?([A-Za-z_]\w*(?:\.g)?)\s*=(?!=)", proposal)
        if written and (question.circular(written[1]) or written[1] == question.asked):
            return proposal[written.end() :]
    return proposal


def _is_twice(own: Attempt) -> bool:
    """Whether it is twice the right answer, as after adding the gradient to itself."""
    right = own.sample.right
    is_comparable = own.value is not None and own.value.shape == right.shape and right.any()
    return bool(is_comparable and np.allclose(np.asarray(own.value), 2 * right, rtol=1e-4))
