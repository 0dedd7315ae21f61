"""The role of each tensor in an operation, and what each name that a learner may use stands for.

Two vocabularies meet here: the network's (x, w1, l1, out, targ: the lesson's names, and the tensors' own) and the
operation's (inp, w, z, dz, out: as in the lesson's lin_grad(inp, out, w, b)). A name that is in both and means
different tensors, as x and out do in a network of several layers, is kept twice: see Question.read_as.

A name stands for a key: ("value" or "grad", tensor), ("length", tensor, axis), ("size", tensor) or ("given", array).
Tensors are numbers here, as numbered() gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from pybackprop import ops
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.teach.judge.kind import reading_of
from pybackprop.teach.judge.step import step_of
from pybackprop.teach.trace.steps import written_loss
from pybackprop.teach.trace.use import Use

Key: TypeAlias = tuple[Any, ...]
HIDDEN = "@"  # before a name of the operation that means another tensor in the network; no formula can use it
AVERAGES = (ops.MSE, ops.CROSS_ENTROPY, ops.NLL)  # losses that are means, and end a network
PRODUCTS = (ops.LIN, ops.MATMUL)
ELEMENTWISE = "ij"  # for tensors whose operation has no letters
BEHIND = ("a", "targ")


@dataclass(frozen=True, eq=False)
class Given:
    """The caller's own numbers, which no tensor of the network holds."""

    array: Array


def numbered(use: Use) -> dict[int, int]:
    """A number for each tensor around a use, by id, in the order of the network's forward pass, as programs_of counts.

    It is the same for the same network, whichever tensors are in it.
    """
    ids: dict[int, int] = {}
    for operation in use.network:
        for tensor in (*operation.inputs, operation.output):
            ids.setdefault(id(tensor), len(ids))
    return ids


def roles_of(use: Use, ids: dict[int, int]) -> dict[str, Key]:
    """The tensors' roles in the operation and in the next one, the sizes, and the operation's parameters."""
    step = step_of(use)
    reading, tensors = step.reading, step.tensors
    parts = {role: ids[id(t)] for role, t in tensors.items()}
    if reading.ahead:
        parts |= _behind(use, ids)
    roles: dict[str, Key] = {}
    for role, t in parts.items():
        roles[role], roles[f"d{role}"] = ("value", t), ("grad", t)
    roles["answer"] = ("grad", ids[id(use.tensor)])
    rows = reading.rows or reading.result
    roles |= {name: ("length", parts[rows], axis) for axis, name in enumerate("nh"[: tensors[rows].ndim])}
    if reading.ahead and use.operands[0].ndim == 2:
        roles["m"] = ("length", ids[id(use.operands[0])], 1)
    roles["size"] = ("size", _averaged(use, ids, parts[rows]))
    numbers = {name: value for name, value in use.operation.params.items() if is_number(value)}
    return roles | {name: ("given", Given(np.asarray(value, np.float64))) for name, value in numbers.items()}


def is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_))


def _behind(use: Use, ids: dict[int, int]) -> dict[str, int]:
    """The role that the next operation shares with this one's questions: a of relu, targ of mse.

    A bias added in between counts as part of this operation.
    """
    output = use.output
    loss = written_loss(use.network.operations)
    for operation in use.network:
        if loss is not None and output is loss.out:
            return {"targ": ids[id(loss.targ)]}
        if not any(operand is output for operand in operation.inputs):
            continue
        reading = reading_of(operation.op, len(operation.inputs))
        if reading.behind:
            tensors = dict(
                zip((*reading.operands, reading.result), (*operation.inputs, operation.output), strict=False)
            )
            return {reading.behind: ids[id(tensors[reading.behind])]}
        output = operation.output if operation.op is ops.ADD else output
    return {}


def _averaged(use: Use, ids: dict[int, int], otherwise: int) -> int:
    """The tensor whose mean the loss is."""
    last, loss = use.network.operations[-1], written_loss(use.network.operations)
    if loss is not None:
        return ids[id(loss.out)]
    return ids[id(last.inputs[0])] if last.op in AVERAGES else otherwise


# ---- names ----


def names_of(use: Use, ids: dict[int, int], roles: Mapping[str, Key], given: Mapping[str, Any]) -> dict[str, Key]:
    """All names: first the caller's, then the tensors' own, then the lesson's, then those of the operation.

    A name of the operation that means something else in the network has a HIDDEN before it.
    """
    fixed = _fixed(use, ids, given)
    names = dict(fixed)
    for name, t in lesson_names(use, ids).items():
        _add(names, name, ("value", t))
    for name, key in operation_names(use, roles).items():
        hides = name not in fixed and names.get(name, key) != key
        names.setdefault(f"{HIDDEN}{name}" if hides else name, key)
    return names


def _fixed(use: Use, ids: dict[int, int], given: Mapping[str, Any]) -> dict[str, Key]:
    """The caller's names and the tensors' own: these have one meaning everywhere."""
    tensors = {ids[id(t)]: t for operation in use.network for t in (*operation.inputs, operation.output)}
    names: dict[str, Key] = {}
    for name, value in given.items():
        _add(names, name, _key_of(value, tensors, use))
    for t, tensor in tensors.items():
        if tensor.name and tensor.name.isidentifier():
            _add(names, tensor.name, ("value", t))
    return names


def operation_names(use: Use, roles: Mapping[str, Key]) -> dict[str, Key]:
    """The names inside the operation: its roles and their aliases."""
    reading = step_of(use).reading
    names: dict[str, Key] = {}
    for alias, role in {**{role: role for role in roles if role != "answer"}, **reading.aliases}.items():
        if role in roles:  # x * 2 has no second operand
            _add(names, alias, roles[role])
    names.setdefault("dout", roles[f"d{reading.result}"])
    return names


def markers_of(use: Use, ids: dict[int, int], roles: Mapping[str, Key], given: Mapping[str, Any]) -> frozenset[str]:
    """The names that show that a formula speaks of the operation: they mean nothing in the network.

    dout is one: nobody writes it for the gradient of the network's output. So is the caller's z=l1.
    """
    result = step_of(use).reading.result
    network = {*_fixed(use, ids, given), *lesson_names(use, ids)} - {result, f"{result}.g", f"d{result}"}
    network |= {f"{name}.g" for name in network} | {f"d{name}" for name in network if name != "out"}
    values = {name for name, key in operation_names(use, roles).items() if key[0] in ("value", "grad")}
    return frozenset(values - network)


def _add(names: dict[str, Key], name: str, key: Key) -> None:
    names.setdefault(name, key)
    if names[name] == key and key[0] == "value":
        names.setdefault(f"{name}.g", ("grad", key[1]))
        names.setdefault(f"d{name}", ("grad", key[1]))


def _key_of(value: Any, tensors: Mapping[int, Any], use: Use) -> Key:
    """Which tensor of the network, or which gradient, a caller's value is; a Given if it is neither."""
    for t, tensor in tensors.items():
        if value is tensor or value is tensor._array:
            return ("value", t)
        if tensor._g is not None and (value is tensor._g or value is tensor._g._array):
            return ("grad", t)
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"judge: found {type(value).__name__} for a name, expected a tensor, an array or a number")
    if array.size > 1:
        for t, tensor in tensors.items():
            if array.shape == tensor.shape and np.array_equal(array, tensor._array):
                return ("value", t)
            if array.shape == tensor.shape and id(tensor) in use.grads and np.array_equal(array, use.grads[id(tensor)]):
                return ("grad", t)
    return ("given", Given(array.astype(use.output.dtype)))


def lesson_names(use: Use, ids: dict[int, int]) -> dict[str, int]:
    """The lesson's names for the tensors of a sequential network: x, w1, b1, l1, l2, ..., out, targ, loss."""
    names: dict[str, int] = {}
    results: dict[str, int] = {}
    weights = count = 0
    if loss := written_loss(use.network.operations):
        names |= {"out": ids[id(loss.out)], "targ": ids[id(loss.targ)], "loss": ids[id(use.network.root)]}
    for operation in use.network:
        op, operands = operation.op, [ids[id(t)] for t in operation.inputs]
        if op in AVERAGES:
            names |= {"out": operands[0], "targ": operands[1], "loss": ids[id(operation.output)]}
            continue
        if op in PRODUCTS:
            weights += 1
            names.setdefault("x", operands[0])
            names |= {f"{letter}{weights}": t for letter, t in zip("wb", operands[1:], strict=False)}
        elif op is ops.ADD and operation.inputs[-1].ndim == 1 < len(operands):
            names[f"b{weights}"] = operands[1]
            count -= 1  # x @ w + b is one step of the lesson
        count += 1
        results[f"l{count}"] = ids[id(operation.output)]
    if "out" not in names and (output := _output(use)) is not None:
        names["out"] = ids[id(output)]
    names |= {name: t for name, t in results.items() if t not in names.values()}
    for tensor in (t for operation in use.network for t in (*operation.inputs, operation.output)):
        name = use.network.name(tensor)
        # those that only explain has a name for; (x @ w1), a product without its bias, cannot be written
        if ids[id(tensor)] not in names.values() and name.isidentifier():
            names.setdefault(name, ids[id(tensor)])
    return names | ({"y": names["targ"]} if "targ" in names else {})


def _output(use: Use) -> Tensor | None:
    """The output of a network without mse: its end, or, if a loss was written out by hand, the last layer's result."""
    if use.network.root.ndim:
        return use.network.root
    layers = [operation.output for operation in use.network if operation.op in PRODUCTS]
    if not layers:
        return None
    biases = [op for op, _ in use.network.uses(layers[-1]) if op.op is ops.ADD and op.output.shape == layers[-1].shape]
    return biases[0].output if biases else layers[-1]


def axis_letters_of(use: Use, names: Mapping[str, Key], roles: Mapping[str, Key]) -> dict[str, str]:
    """The axis letters for each name, where they are known: see formula.evaluate."""
    step = step_of(use)
    reading, axes = step.reading, step.axes
    parts = (*(role for role in reading.operands if role in step.tensors), reading.result)
    known = dict(zip(parts, (*axes[: len(parts) - 1], *axes[-1:]), strict=False))
    letters: dict[Key, str] = {}
    for role in (*parts, *(role for role in BEHIND if role in roles)):
        letters[roles[role]] = letters[roles[f"d{role}"]] = known.get(role) or ELEMENTWISE
    return {name: letters[key] for name, key in names.items() if key[0] != "given" and key in letters}
