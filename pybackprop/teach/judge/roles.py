"""Meanings: what each name that a learner may use stands for, and which part each tensor plays in an operation.

A name stands for a key: ("value" or "grad", tensor), ("length", tensor, axis), ("size", tensor) or ("given", array).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.teach.trace.use import Use

LETTERS = {"x": "ik", "w": "kj", "b": "j", "z": "ij", "a": "ij", "out": "ij", "targ": "ij"}
ALIASES = {  # by the roles that an operation has
    ("x", "z"): {"inp": "x", "out": "z"},
    ("z", "a"): {"x": "z", "inp": "z", "out": "a"},
    ("out", "targ"): {"inp": "out", "y": "targ"},
}
HIDDEN = "@"  # before a name that no formula can spell


@dataclass(frozen=True, eq=False)
class Given:
    """Numbers of the caller's that no tensor of the network holds."""

    array: Array


def numbered(use: Use) -> dict[int, int]:
    """A number for each tensor around a use, in the order of the network's forward pass, as network_of counts them."""
    ids: dict[int, int] = {}
    for result in use.results:
        node: Any = result._node
        for tensor in (*node.inputs, result):
            ids.setdefault(id(tensor), len(ids))
    return ids


def kind_of(use: Use) -> str:
    """Which right answer a use has: a key of RIGHT, or 'other'."""
    operation, place = use.operation, use.place
    if operation in ("lin", "@") and all(t.ndim == 2 for t in use.operands[:2]):
        return "xwb"[place]
    if operation == "+" and place == 1 and use.operands[1].ndim == 1 and use.operands[0].ndim == 2:
        return "b"
    if operation in ("relu", "relu_"):
        return "relu"
    return ("mse", "targ")[place] if operation == "mse" else "other"


def roles_of(use: Use, ids: dict[int, int]) -> dict[str, tuple[Any, ...]]:
    """Which tensor plays which part in the operation, and behind it."""
    tensors = [ids[id(t)] for t in use.operands]
    out = ids[id(use.output)]
    if use.operation == "mse":
        roles = {"out": tensors[0], "targ": tensors[1], "loss": out}
    elif use.operation in ("relu", "relu_"):
        roles = {"z": tensors[0], "a": out}
    elif use.operation == "+":
        roles = {"x": tensors[0], "b": tensors[1], "z": out, **_behind(use, ids)}
    else:
        roles = {**dict(zip("xwb", tensors, strict=False)), "z": out, **_behind(use, ids)}
    found: dict[str, tuple[Any, ...]] = {}
    for role, t in roles.items():
        found[role] = ("value", t)
        found[f"d{role}"] = ("grad", t)
    found["answer"] = ("grad", tensors[use.place])
    wide = tensors[0] if use.operation == "mse" else out
    shape = use.operands[0].shape if use.operation == "mse" else use.output.shape
    found |= {name: ("length", wide, axis) for axis, name in enumerate("nh"[: len(shape)])}
    if "x" in roles and use.operands[0].ndim == 2:
        found["m"] = ("length", roles["x"], 1)
    found["size"] = ("size", _measured(use, ids, wide))
    return found


def _behind(use: Use, ids: dict[int, int]) -> dict[str, int]:
    """The relu, or the targets of the mse, that the output of a linear operation goes to, with its bias added."""
    output = use.output
    for result in use.results:
        node: Any = result._node
        if not any(operand is output for operand in node.inputs):
            continue
        if node.op.name in ("relu", "relu_"):
            return {"a": ids[id(result)]}
        if node.op.name == "mse":
            return {"targ": ids[id(node.inputs[1])]}
        output = result if node.op.name == "+" else output
    return {}


def _measured(use: Use, ids: dict[int, int], otherwise: int) -> int:
    """The tensor whose mean the loss is."""
    node: Any = use.results[-1]._node
    return ids[id(node.inputs[0])] if node.op.name == "mse" else otherwise


def names_of(
    use: Use, ids: dict[int, int], roles: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, tuple[Any, ...]]:
    """All names: the caller's, then the tensors' own, then those of the operation, then the lesson's."""
    tensors = {ids[id(t)]: t for result in use.results for t in (*result._node.inputs, result)}  # type: ignore[union-attr]
    names: dict[str, tuple[Any, ...]] = {}
    for name, value in given.items():
        _add(names, name, _meant(value, tensors, use))
    for t, tensor in tensors.items():
        if tensor.name and tensor.name.isidentifier():
            _add(names, tensor.name, ("value", t))
    aliases = next(found for parts, found in ALIASES.items() if set(parts) <= roles.keys())
    for alias, role in {**{role: role for role in roles if role != "answer"}, **aliases}.items():
        _add(names, alias, roles[role])
    if (arriving := roles.get("dz" if "x" in roles else "da")) and use.operation != "mse":
        names.setdefault("dout", arriving)
    for name, t in lesson_names(use, ids).items():
        if name == "out" and names.get("out") in (roles.get("z"), roles.get("a")) and names["out"] != ("value", t):
            _add(names, f"{HIDDEN}out", ("value", t))
            names[f"{HIDDEN}dout"] = ("grad", t)
        _add(names, name, ("value", t))
    return names


def _add(names: dict[str, tuple[Any, ...]], name: str, key: tuple[Any, ...]) -> None:
    names.setdefault(name, key)
    if names[name] == key and key[0] == "value":
        names.setdefault(f"{name}.g", ("grad", key[1]))
        names.setdefault(f"d{name}", ("grad", key[1]))


def _meant(value: Any, tensors: Mapping[int, Tensor], use: Use) -> tuple[Any, ...]:
    """Which tensor of the network, or which gradient, a caller's value is; its own numbers if it is none."""
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
    """The lesson's names for the tensors of a network in a row: x, w1, b1, l1, l2, ..., out, targ, loss."""
    names: dict[str, int] = {}
    weights = count = 0
    last: dict[str, int] = {}
    for result in use.results:
        node: Any = result._node
        operands = [ids[id(t)] for t in node.inputs]
        if node.op.name == "mse":
            names |= {"out": operands[0], "targ": operands[1], "loss": ids[id(result)]}
            continue
        if node.op.name in ("lin", "@"):
            weights += 1
            names.setdefault("x", operands[0])
            names |= {f"{letter}{weights}": t for letter, t in zip("wb", operands[1:], strict=False)}
        elif node.op.name == "+" and node.inputs[1].ndim == 1:
            names[f"b{weights}"] = operands[1]
            count -= 1  # x @ w + b is one step of the lesson
        count += 1
        last[f"l{count}"] = ids[id(result)]
    return names | {name: t for name, t in last.items() if t not in names.values()}


def letters_of(names: Mapping[str, tuple[Any, ...]], roles: Mapping[str, tuple[Any, ...]]) -> dict[str, str]:
    letters: dict[Any, str] = {}
    for role, of in LETTERS.items():
        if role in roles:
            letters[roles[role]] = letters[roles[f"d{role}"]] = of
    return {name: letters[key] for name, key in names.items() if key[0] != "given" and key in letters}
