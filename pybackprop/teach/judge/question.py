"""Which gradient is asked for, the names that may be used, and the numbers to try an answer on.

The first sample holds the learner's own numbers; the others are runs of the same network on other shapes.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.formula.evaluate import evaluate
from pybackprop.teach.formula.grammar import parse
from pybackprop.teach.judge.kind import GENERIC, Kind, is_known, kind_of, reading_of
from pybackprop.teach.judge.mistake import Mistake
from pybackprop.teach.judge.mistakes_patterns import WHOLE, close
from pybackprop.teach.judge.roles import HIDDEN, Key, axis_letters_of, names_of, numbered, roles_of
from pybackprop.teach.trace.resample import Program, Run, programs_of, run_again
from pybackprop.teach.trace.use import Use

RUNS = (("different", np.float64), ("different", np.float64), ("equal", np.float64), ("zeros", np.float64))


@dataclass(frozen=True)
class Sample:
    """Numbers to try an answer on.

    arrays  the numbers for each name that a learner may use
    roles   the numbers for each name that the mistakes' formulas use: x, w, b, z, dz and so on
    right   the gradient
    scale   for each of its numbers, what the tolerance for rounding is relative to
    """

    arrays: dict[str, Array]
    roles: dict[str, Array]
    right: Array
    scale: Array


@dataclass(frozen=True)
class Question:
    """A question: the gradient of one tensor along one of its uses.

    kind      which gradient, of which operation
    asked     what the answer is called, e.g. w1.g
    names     what each name stands for: see roles.py
    roles     the same for the names that the mistakes' formulas use
    letters   the axis letters for each name
    samples   the numbers to try an answer on, the learner's own first
    mistakes  mistakes of this question alone, tried before those of its kind
    uses      how many operations use the tensor on the way to the loss; the answer is the share of one of them
    """

    kind: Kind
    asked: str
    names: dict[str, Key]
    roles: dict[str, Key]
    letters: dict[str, str]
    samples: list[Sample] = field(default_factory=list)
    mistakes: tuple[Mistake, ...] = ()
    uses: int = 1

    def circular(self, name: str) -> bool:
        """Whether a name is that of the answer itself."""
        answer = self.roles.get("answer")
        return answer is not None and self.names.get(name) == answer

    def word(self, role: str, used: Sequence[str] = ()) -> str:
        """The name for a role in texts: the one that the learner's formula uses, or else the learner's own name."""
        key = self.roles.get(role)
        called = [name for name, k in self.names.items() if k == key]
        if in_use := [name for name in used if name in called]:
            return in_use[0]
        if role.startswith("d") and f"{self.word(role[1:], used)}.g" in called and self.word(role[1:], used) in used:
            return f"{self.word(role[1:], used)}.g"
        plain = [name for name in called if "." not in name and not name.startswith(HIDDEN)]
        return plain[0] if plain else called[0] if called else role

    def read_as(self, used: Sequence[str]) -> Question:
        """The question for a formula with these names: `out` becomes the network's output if the formula means that.

        In the lesson's lin_grad(inp, out, w, b), `out` is the operation's result; in its forward pass, the network's.
        A formula that uses a name from outside the operation means the latter.
        """
        outs = {"out", "out.g", "dout"}
        own = set(self.roles.values())
        keys = [self.names[name] for name in used if name in self.names and name not in outs]
        outside = any(key[0] != "given" and key not in own for key in keys)
        if f"{HIDDEN}out" not in self.names or not outside:
            return self
        hidden = {name: f"{HIDDEN}{name}" for name in outs}
        names = {**self.names, **{name: self.names[other] for name, other in hidden.items()}}
        samples = [
            replace(s, arrays={**s.arrays, **{n: s.arrays[other] for n, other in hidden.items() if other in s.arrays}})
            for s in self.samples
        ]
        return replace(self, names=names, samples=samples, letters={**self.letters, **dict.fromkeys(outs, "??")})


# ---- from the tape ----


def question_of(use: Use, given: Mapping[str, Any], runs: Sequence[tuple[str, Any]] = RUNS) -> Question:
    """The question about one use of a tensor. given: the caller's names; runs: lengths and dtypes of the samples."""
    ids = numbered(use)
    roles = roles_of(use, ids)
    names = names_of(use, ids, roles, given)
    letters = axis_letters_of(use, names, roles)
    asked = next((name for name, key in names.items() if key == ("value", roles["answer"][1])), "t") + ".g"
    question = Question(kind_of(use), asked, names, roles, letters, mistakes=(WHOLE,), uses=use.count())
    question.samples.append(_sample(question, _own_run(use, ids)))
    question.samples.extend(_other_samples(question, use, ids, runs))
    return question if question.kind.name != GENERIC else replace(question, kind=_verified(question, use))


def _verified(question: Question, use: Use) -> Kind:
    """The kind of a question, without the formula from the operation's record if that is wrong on some sample.

    Such a formula is written for the usual shapes; it may be wrong if an operand was broadcast.
    """
    kind, reading = question.kind, reading_of(use.op, len(use.operands))
    aliases = {**{role: role for role in (*reading.operands, reading.result)}, **reading.aliases}
    try:
        formula = parse(kind.right or "")
        for sample in question.samples:
            roles = sample.roles
            gradients = {f"{name}.g": roles[f"d{role}"] for name, role in aliases.items() if f"d{role}" in roles}
            values = {name: roles[role] for name, role in aliases.items() if role in roles}
            if not close(evaluate(formula, {**roles, **values, **gradients}).array, sample.right):
                return replace(kind, right=None)
    except FormulaError:
        return replace(kind, right=None)
    return kind


# ---- numbers ----


def _own_run(use: Use, ids: dict[int, int]) -> Run:
    """The learner's own numbers as a run."""
    values: dict[int, Array] = {}
    grads: dict[int, Array] = {}
    for operation in use.network:
        for tensor in (*operation.inputs, operation.output):
            t = ids[id(tensor)]
            values[t] = tensor._array
            if tensor._g is not None:
                grads[t] = tensor._g._array
            elif id(tensor) in use.grads:
                grads[t] = use.grads[id(tensor)]
    grads[ids[id(use.output)]] = use.arriving
    right = use.gradient()
    grads[ids[id(use.tensor)]] = right
    return Run(values, grads, right, use.grads.get(id(use.tensor)))


def _other_samples(question: Question, use: Use, ids: dict[int, int], runs: Sequence[tuple[str, Any]]) -> list[Sample]:
    """The network, or the operation alone, on other shapes and numbers; empty if it cannot be run on them.

    A user's own operation may raise an error on other shapes; a registered one must not.
    """
    for program in programs_of(use):
        number = _numbers_in_question(program, use, ids)
        try:
            return [_other_sample(question, program, number, k, *run) for k, run in enumerate(runs)]
        except Exception:
            if all(is_known(instruction.op) for instruction in program.instructions):
                raise
    return []


def _other_sample(
    question: Question, program: Program, number: Mapping[int, int], k: int, lengths: str, dtype: Any
) -> Sample:
    rng = np.random.default_rng([zlib.crc32(question.kind.name.encode()), k])
    run = run_again(program, rng, lengths, dtype)
    values = {number[t]: array for t, array in run.values.items()}
    grads = {number[t]: array for t, array in run.grads.items()}
    answer = question.roles["answer"][1]
    return _sample(question, Run(values, {**grads, answer: run.right}, run.right, run.whole))


def _numbers_in_question(program: Program, use: Use, ids: dict[int, int]) -> dict[int, int]:
    """For each tensor of a program, its number in the question."""
    if len(program.instructions) == len(use.network):
        return {t: t for t in program.shapes}
    own: dict[int, int] = {}
    for tensor in (*use.operands, use.output):
        own.setdefault(id(tensor), len(own))
    return {t: ids[key] for key, t in own.items()}


def _sample(question: Question, run: Run) -> Sample:
    dtype = run.right.dtype

    def looked_up(names: Mapping[str, Key]) -> dict[str, Array]:
        arrays = {name: _numbers(key, run) for name, key in names.items()}
        return {name: np.asarray(array, dtype) for name, array in arrays.items() if array is not None}

    roles = looked_up(question.roles)
    if run.whole is not None:
        roles["whole"] = np.asarray(run.whole, dtype)
    return Sample(looked_up(question.names), roles, run.right, scale_of(question.kind, roles, run.right))


def _numbers(key: Key, run: Run) -> Any:
    if key[0] == "given":
        return key[1].array
    if key[0] == "grad":
        return run.grads.get(key[1])
    array = run.values.get(key[1])
    if array is None or key[0] == "value":
        return array
    return array.size if key[0] == "size" else array.shape[key[2]]


def scale_of(kind: Kind, roles: Mapping[str, Array], right: Array) -> Array:
    """How large the rounding error of each number may be, in units of the dtype's eps.

    Adding n terms makes rounding errors of the size of the partial sums. These are bounded by the sum of the terms'
    absolute values; if all terms have the same sign, the errors grow like sqrt(n) times the result.
    """
    with np.errstate(all="ignore"):
        terms, count = kind.terms(roles, right)
        return np.asarray(terms + np.sqrt(count) * np.abs(right))
