"""Derive: the derivation of one element's gradient as formulas, with its own indices and numbers."""

from __future__ import annotations

from typing import Any

from pybackprop.teach.explain.paths import Path, rule_of
from pybackprop.teach.explain.prose import as_shaped, other_at, shape
from pybackprop.teach.render.formula import Line, Name, Part, Partial, Sum
from pybackprop.teach.trace.graph import Network, Operation

SHOWN = 4  # products that are written out


def derivation(name: str, network: Network, paths: list[Path], total: str) -> list[Line]:
    """Chain rule, the same with the known derivatives, with numbers, and for all elements at once."""
    at = tuple(map(str, paths[0].at))
    loss, me = Name(network.name(network.root)), Name(name, at)
    chain = _joined([_chain(path, network, loss, me) for path in paths])
    known = _joined([_known(path, network) for path in paths])
    numbers = _joined([_numbers(path) for path in paths])
    everything = _joined([whole(path.operation, path.slot, network) for path in paths])
    return [[Partial(loss, me), *chain], known, [*numbers, "=", total], [Name(name, g=True), *everything]]


def _joined(paths: list[list[Part]]) -> list[Part]:
    """= the first path + the next + …"""
    made: list[Part] = []
    for parts in paths:
        made += ["+" if made else "=", *parts]
    return made


def _index(path: Path) -> tuple[str, ...]:
    """That of the moved element, with the letter that is summed over."""
    if path.rule in ("w", "b"):
        return "i", str(path.at[-1])
    if path.rule == "x":
        return str(path.at[0]), "j"
    if path.rule in ("mse", "targ"):
        return ()
    return ("…",) if path.rule == "broadcast" else tuple(map(str, path.at))


def _sum(path: Path) -> list[Part]:
    letter = {"w": "i", "b": "i", "x": "j"}.get(path.rule)
    return [Sum(letter, len(path) - 1)] if letter else []


def _chain(path: Path, network: Network, loss: Name, me: Name) -> list[Part]:
    moved = Name(network.name(path.operation.output), _index(path))
    if path.rule in ("mse", "targ"):
        return [Partial(moved, me)]
    return [*_sum(path), Partial(moved, me), "·", Partial(loss, moved)]


def _known(path: Path, network: Network) -> list[Part]:
    op = path.operation
    upstream = Name(network.name(op.output), _index(path), g=True)
    if path.rule == "w":
        return [*_sum(path), Name(network.name(op.inputs[0]), ("i", str(path.at[0]))), "·", upstream]
    if path.rule == "x":
        return [*_sum(path), Name(network.name(op.inputs[1]), (str(path.at[1]), "j")), "·", upstream]
    if path.rule == "relu":
        return ["(", Name(network.name(op.inputs[0]), _index(path)), ">", "0", ")", "·", upstream]
    if path.rule in ("mse", "targ"):
        return _difference(op, path.rule, network, tuple(map(str, path.at)))
    return [*_sum(path), upstream]


def _difference(op: Operation, rule: str, network: Network, at: tuple[str, ...]) -> list[Part]:
    first, second = op.inputs[::-1] if rule == "targ" else op.inputs
    index = tuple(map(str, other_at(tuple(map(int, at)), second.ndim))) if at else ()
    called = network.name(second) if at else as_shaped(network.name(second), second, first)
    return ["2", "(", Name(network.name(first), at), "-", Name(called, index), ")", "/", str(first.size)]


def _numbers(path: Path) -> list[Part]:
    parts: list[Part] = []
    for k in range(min(len(path), SHOWN)):
        parts += ["+"] if k else []
        parts += ["(", _number(path.local[k]), ")", "·", "(", _number(path.upstream[k]), ")"]
    return parts + (["+", "…"] if len(path) > SHOWN else [])


def _number(value: Any) -> str:
    return f"{float(value) + 0.0:.4g}"


def whole(op: Operation, slot: int, network: Network) -> list[Part]:
    """The gradient of all elements of an operation's input at once."""
    rule = rule_of(op, slot)
    upstream = Name(network.name(op.output), g=True)
    if rule == "w":
        return [Name(network.name(op.inputs[0]), transposed=True), "@", upstream]
    if rule == "x":
        return [upstream, "@", Name(network.name(op.inputs[1]), transposed=True)]
    if rule == "relu":
        return ["(", Name(network.name(op.inputs[0])), ">", "0", ")", "*", upstream]
    if rule in ("mse", "targ"):
        return _difference(op, rule, network, ())
    if rule == "broadcast":
        return [upstream, "summed to", shape(op.inputs[slot])]
    return [upstream] if rule == "same" else [Name(f"{network.name(op.output)}.g.sum(0)")]
