"""A proposal: a formula, a function or an array, and what it gives on each sample."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pybackprop.autograd.tensor import Tensor, tensor
from pybackprop.core.arrays import Array
from pybackprop.core.errors import DTypeError, ShapeError
from pybackprop.core.native import FLOAT32
from pybackprop.teach.formula.errors import FormulaError, MisfitError, UnknownNameError
from pybackprop.teach.formula.evaluate import closest, evaluate, listed
from pybackprop.teach.formula.grammar import Formula, parse
from pybackprop.teach.judge.attempt import SLACK, Attempt
from pybackprop.teach.judge.operand import Operand, with_gradient
from pybackprop.teach.judge.question import Question, Sample

Copied: TypeAlias = "Callable[[Question, Sample, str], Any]"  # the copy that a function gets for an argument


@dataclass(frozen=True)
class Proposal:
    """A formula, a function or an array: exactly one of the three is set. text: how it is shown."""

    text: str
    formula: Formula | None = None
    function: Callable[..., Any] | None = None
    array: Array | None = None

    def names(self) -> list[str]:
        """The names that a formula uses; for a function, the names of its arguments."""
        if self.formula is not None:
            return self.formula.names
        return [] if self.function is None else [parameter.name for parameter in _parameters(self.function)]


def proposal_of(question: Question, given: Any) -> Proposal:
    """Reads a proposal.

    Raises FormulaError for text that is not a formula and for a function with an argument that is not available,
    DTypeError (a TypeError) for anything that is not a formula, a function or an array of numbers.
    """
    if isinstance(given, str):
        formula = parse(given)
        return Proposal(formula.text, formula=formula)
    if isinstance(given, Tensor):
        return Proposal(f"an array {given.shape}", array=np.asarray(given))
    if callable(given):
        _check_arguments(question, given)
        name = getattr(given, "__name__", "<lambda>")
        return Proposal("a function" if name == "<lambda>" else f"{name}(...)", function=given)
    try:
        array = np.asarray(given)
    except ValueError:  # ragged
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"judge: found {type(given).__name__}, expected a formula, a function or an array of numbers")
    return Proposal(f"an array {array.shape}", array=array)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise FormulaError(f"judge: the arguments of {function!r} are not known; wrap it in a lambda") from error


def _check_arguments(question: Question, function: Callable[..., Any]) -> None:
    arrays = question.samples[0].arrays
    for parameter in _parameters(function):
        optional = parameter.default is not parameter.empty or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if parameter.name not in arrays and not optional:
            raise UnknownNameError(
                f"judge: the function's argument '{parameter.name}' is not available; available are {listed(arrays)}"
                f"{closest(parameter.name, arrays)}"
            )


def attempts_of(question: Question, proposal: Proposal) -> list[Attempt]:
    """What a proposal gives: first on the learner's own numbers, then on the other samples where it can be computed."""
    own, *others = question.samples
    if proposal.array is not None:
        return [Attempt(own, proposal.array.astype(own.right.dtype))]
    attempts = [_attempt(question, own, proposal)]
    if _uses_given(question, proposal):
        return attempts
    for sample in others:
        try:
            attempts.append(_attempt(question, sample, proposal))
        except FormulaError:  # a name that only the learner's own network has
            continue
    return attempts


def _uses_given(question: Question, proposal: Proposal) -> bool:
    """Whether it uses an array of the caller's that is not part of the network, and so has only this one shape."""
    keys = [question.names.get(name, ("",)) for name in proposal.names()]
    return (proposal.function is not None and _brings_numbers(proposal.function)) or any(
        key[0] == "given" and key[1].array.ndim > 0 for key in keys
    )


def _brings_numbers(function: Callable[..., Any]) -> bool:
    """Whether a function takes no operands, or reads tensors or arrays of an outer scope, which have only one shape."""
    if not _parameters(function):
        return True
    try:
        around = inspect.getclosurevars(function).nonlocals
        read = {step.argval for step in dis.get_instructions(function) if step.opname == "LOAD_GLOBAL"}
    except TypeError:  # written in C
        return False
    outer = getattr(function, "__globals__", {})
    values = [*around.values(), *(outer.get(name) for name in read)]
    shapes = [value.shape for value in values if isinstance(getattr(value, "shape", None), tuple)]  # torch's too
    return any(np.prod(shape) > 1 for shape in shapes)


def _attempt(question: Question, sample: Sample, proposal: Proposal) -> Attempt:
    if proposal.formula is None:
        return _called(question, sample, proposal.function)  # type: ignore[arg-type]
    roles = set(question.roles.values())
    local = all(question.names.get(name) in roles for name in proposal.formula.names)
    slack = SLACK if sample is not question.samples[0] else 0.0 if local else 50.0
    try:
        value = evaluate(proposal.formula, sample.arrays, question.letters).array
    except MisfitError as error:
        return Attempt(sample, None, str(error))
    return Attempt(sample, np.asarray(value, sample.right.dtype), slack=slack)


def _called(question: Question, sample: Sample, function: Callable[..., Any]) -> Attempt:
    """Calls a function with copies of the arrays. Its exceptions are shown to the learner, not raised by judge.

    First it gets arrays that numpy, torch and methods work on; if that fails, tensors, which this library's own
    functions need. The error shown is that of the arrays, unless tensors say that the shapes do not fit.
    """
    attempt = _run(question, sample, function, _array)
    if attempt.failed and _parameters(function):
        with_tensors = _run(question, sample, function, _tensor)
        return attempt if with_tensors.failed else with_tensors
    return attempt


def _run(question: Question, sample: Sample, function: Callable[..., Any], copied: Copied) -> Attempt:
    positional, named = _arguments(question, sample, function, copied)
    try:
        with np.errstate(all="ignore"):
            result = function(*positional, **named)
        if result is None:
            result = next((t.g for name, t in named.items() if question.circular(f"{name}.g")), None)
        if result is None:
            nothing = "the function returned None and did not set the .g of the tensor asked about"
            return Attempt(sample, None, nothing, failed=True)
        value = np.asarray(np.asarray(result))
        if value.dtype.kind not in "biuf":
            raise TypeError(f"it gives {type(result).__name__}, expected numbers")
    except ShapeError as error:
        return Attempt(sample, None, f"{type(error).__name__}: {error}")
    except Exception as error:
        return Attempt(sample, None, f"{type(error).__name__}: {error}", failed=True)
    return Attempt(sample, value.astype(sample.right.dtype), slack=_slack(question, sample, value))


def _slack(question: Question, sample: Sample, value: Array) -> float:
    """A function may compute in float32, as torch.zeros does, also where the sample is in float64."""
    is_own = sample is question.samples[0]
    coarse = FLOAT32 if not is_own or value.dtype == FLOAT32 else sample.right.dtype
    return 50.0 * float(np.finfo(coarse).eps / np.finfo(sample.right.dtype).eps)


def _arguments(
    question: Question, sample: Sample, function: Callable[..., Any], copied: Copied
) -> tuple[list[Any], dict[str, Any]]:
    """Copies of the arrays that a function's arguments name, positional and by name.

    Raises FormulaError for an argument without a default that has no numbers on this sample.
    """
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in _parameters(function):
        is_single = parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.name in sample.arrays:
            copy = copied(question, sample, parameter.name)
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional.append(copy)
            else:
                named[parameter.name] = copy
        elif parameter.default is parameter.empty and is_single:
            raise FormulaError(f"'{parameter.name}' is not available here")
    return positional, named


def _gradient(question: Question, sample: Sample, name: str) -> Array | None:
    """What is in a copy's .g: nothing if that is the answer."""
    return None if question.circular(f"{name}.g") else sample.arrays.get(f"{name}.g")


def _array(question: Question, sample: Sample, name: str) -> Operand:
    return with_gradient(sample.arrays[name].astype(sample.right.dtype), _gradient(question, sample, name))


def _tensor(question: Question, sample: Sample, name: str) -> Tensor:
    copy = tensor(sample.arrays[name], sample.right.dtype, name=name)
    gradient = _gradient(question, sample, name)
    if gradient is not None:
        copy.g = tensor(gradient, sample.right.dtype)
    return copy
