"""Which gradient is asked for, the names that may be used, and the numbers to try an answer on.

The first sample holds the learner's own numbers; the others are runs of the same network on other shapes.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.formula.evaluate import evaluate
from pybackprop.teach.formula.grammar import parse
from pybackprop.teach.judge.kind import GENERIC, Kind, is_known
from pybackprop.teach.judge.mistake import Mistake
from pybackprop.teach.judge.mistakes_patterns import WHOLE, close
from pybackprop.teach.judge.roles import (
    HIDDEN,
    Key,
    axis_letters_of,
    markers_of,
    names_of,
    numbered,
    operation_names,
    roles_of,
)
from pybackprop.teach.judge.step import step_of
from pybackprop.teach.trace.program import Program
from pybackprop.teach.trace.resample import Run, programs_of, run_again
from pybackprop.teach.trace.steps import bias_added
from pybackprop.teach.trace.use import Use

RUNS = tuple((how, np.float64) for how in ("different", "different open", "equal", "different zeros"))


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
    use       the use of the tensor that the question is about
    operation what each name means inside the operation
    markers   the names that only the operation has, such as inp and dz
    by_role   whether texts speak of x, w, z instead of l2, w2, out
    reading   how names with two meanings were read; empty if there were none
    summed    a product, and its sum with a bias, which has the same gradient
    """

    kind: Kind
    asked: str
    names: dict[str, Key]
    roles: dict[str, Key]
    letters: dict[str, str]
    samples: list[Sample] = field(default_factory=list)
    mistakes: tuple[Mistake, ...] = ()
    uses: int = 1
    use: Use | None = field(default=None, repr=False)
    operation: Mapping[str, Key] = field(default_factory=dict)
    markers: frozenset[str] = frozenset()
    by_role: bool = False
    reading: str = ""
    summed: tuple[int, int] | None = None

    def circular(self, name: str) -> bool:
        """Whether a name is that of the answer itself."""
        answer = self.roles.get("answer")
        return answer is not None and self.names.get(name) == answer

    def word(self, role: str, used: Sequence[str] = ()) -> str:
        """The name for a role in texts: the one that the learner's formula uses, or else the network's own name."""
        key = self.roles.get(role)
        called = [name for name, k in self.names.items() if k == key]
        if in_use := [name for name in used if name in called]:
            return in_use[0]
        if self.by_role and role in called:
            return role
        base = self.word(role[1:], used) if role.startswith("d") else ""
        if base and f"{base}.g" in called:  # beside z stands dz, beside l1 stands l1.g
            return role if base == role[1:] and role in called and base not in used else f"{base}.g"
        plain = [name for name in called if "." not in name and not name.startswith(HIDDEN)]
        return plain[0] if plain else called[0].removeprefix(HIDDEN) if called else role

    def spelled(self, formula: str, used: Sequence[str] = ()) -> str:
        """A formula over the operation's names, with the network's names instead."""
        roles = {key: role for role, key in self.roles.items() if role != "answer" and key[0] in ("value", "grad")}

        def renamed(found: re.Match[str]) -> str:
            key = self.operation.get(found[0], self.roles.get(found[0], ("",)))
            return self.word(roles[key], used) if key in roles else found[0]

        return re.sub(r"\b[a-z]\w*(?:\.g\b)?", renamed, formula)

    def read_as(self, used: Sequence[str], in_class: bool = False) -> Question:
        """The question for a formula with these names, each of which now has one meaning.

        x and out are the network's. But inside the lesson's lin_grad(inp, out, w, b) they are the operation's: so
        they are if the formula uses a name that only the operation has (inp, w, z, dz) and none from outside of it,
        or if it is written as in a class, self.out. in_class: whether it is.
        """
        hidden = {name[len(HIDDEN) :]: name for name in self.names if name.startswith(HIDDEN)}
        twofold = [name for name in used if name in hidden]
        if not twofold:
            return self
        if not (in_class or self._speaks_of_operation(used, hidden)):
            return replace(self, reading=self._reading(twofold, hidden, of_network=True))
        names = {**self.names, **{name: self.names[other] for name, other in hidden.items()}}
        samples = [
            replace(s, arrays={**s.arrays, **{n: s.arrays[other] for n, other in hidden.items() if other in s.arrays}})
            for s in self.samples
        ]
        letters = {name: self.letters.get(hidden.get(name, name), "") for name in names}
        reading = self._reading(twofold, hidden, of_network=False)
        return replace(self, names=names, samples=samples, letters=letters, reading=reading)

    def _speaks_of_operation(self, used: Sequence[str], hidden: Mapping[str, str]) -> bool:
        own = set(self.roles.values())
        plain = [name for name in used if name in self.names and name not in hidden]
        if any(self.names[name] not in own and self.names[name][0] != "given" for name in plain):
            return False
        return any(name in self.markers for name in used)

    def _reading(self, twofold: Sequence[str], hidden: Mapping[str, str], of_network: bool) -> str:
        """How names with two meanings were read: as the network's, or as the operation's."""
        says = []
        for name in dict.fromkeys(name.removesuffix(".g") for name in twofold):
            whole, own = f"the network's {name}", f"what this step calls {name}"
            if name in hidden and (other := self._other_name(self.names[hidden[name]], name)):
                own += f", {other}"
            says.append(f"{name} as {whole}, not as {own}" if of_network else f"{name} as {own}, not as {whole}")
        return f"Read here: {'; '.join(says)}."

    def remedies(self, used: Sequence[str]) -> list[str]:
        """How to give a tensor under a name that has two meanings here: the learner may have a third one."""
        twofold = [n.removesuffix(".g") for n in used if f"{HIDDEN}{n}" in self.names]
        return [f"If yours is another tensor, give it: {name}={name}." for name in dict.fromkeys(twofold)]

    def targets_read(self, used: Sequence[str]) -> list[str]:
        """That y is the target here, for a formula with y.g, or with y beside targ: it may be an output of theirs."""
        targ = self.names.get("targ")
        means_output = {"y.g", "dy"} & set(used) or {"y", "targ"} <= set(used)
        if targ is None or self.names.get("y") != targ or not means_output:
            return []
        return ["Read here: y as targ, the target. If it is a result of yours, give it: y=y."]

    def numbers_read(self, used: Sequence[str]) -> list[str]:
        """Which names are sizes, for a formula that does not run: h may be the learner's name for a tensor."""
        sizes = [name for name in dict.fromkeys(used) if self.names.get(name, ("",))[0] in ("length", "size")]
        arrays = self.samples[0].arrays
        return [
            f"Read here: {name} as the number {float(arrays[name]):g}, a size. If it is a tensor of yours, give it: "
            f"{name}={name}."
            for name in sizes
        ]

    def _other_name(self, key: Key, beside: str) -> str:
        plain = [name for name, k in self.names.items() if k == key and "." not in name and HIDDEN not in name]
        return next((name for name in plain if name != beside), "")


# ---- from the tape ----


def question_of(use: Use, given: Mapping[str, Any], runs: Sequence[tuple[str, Any]] = RUNS) -> Question:
    """The question about one use of a tensor. given: the caller's names; runs: lengths and dtypes of the samples."""
    ids = numbered(use)
    roles = roles_of(use, ids)
    names = names_of(use, ids, roles, given)
    letters = axis_letters_of(use, names, roles)
    own = use.network.name(use.tensor)  # where no name can be written for it
    asked = next((name for name, key in names.items() if key == ("value", roles["answer"][1])), own) + ".g"
    bias = bias_added(use.network.operations, use.operation)
    question = Question(
        step_of(use).kind,
        asked,
        names,
        roles,
        letters,
        mistakes=(WHOLE,),
        uses=use.count(),
        use=use,
        operation=operation_names(use, roles),
        markers=markers_of(use, ids, roles, given),
        summed=(ids[id(use.output)], ids[id(bias.output)]) if bias else None,
    )
    question.samples.append(_sample(question, _own_run(use, ids)))
    question.samples.extend(_other_samples(question, use, ids, runs))
    return question if question.kind.name != GENERIC else replace(question, kind=_verified(question, use))


def _verified(question: Question, use: Use) -> Kind:
    """The kind of a question, without the formula from the operation's record if that is wrong on some sample.

    Such a formula is written for the usual shapes; it may be wrong if an operand was broadcast.
    """
    kind, reading = question.kind, step_of(use).reading
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
    if bias := bias_added(use.network.operations, use.operation):
        grads.setdefault(ids[id(bias.output)], use.arriving)
    right = use.gradient()
    grads[ids[id(use.tensor)]] = right
    return Run(values, grads, right, use.grads.get(id(use.tensor)))


def _other_samples(question: Question, use: Use, ids: dict[int, int], runs: Sequence[tuple[str, Any]]) -> list[Sample]:
    """The network, or the operation alone, on other shapes and numbers; empty if it cannot be run on them.

    A user's own operation may raise an error on other shapes; a registered one must not.
    """
    for program in programs_of(use, step_of(use).operations):
        number = {t: ids[key] for t, key in program.keys.items()}
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
    if question.summed and question.summed[0] in grads:
        grads.setdefault(question.summed[1], grads[question.summed[0]])
    answer = question.roles["answer"][1]
    return _sample(question, Run(values, {**grads, answer: run.right}, run.right, run.whole))


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
