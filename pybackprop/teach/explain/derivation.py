"""The derivation of one element's gradient as formulas, with its own indices and numbers."""

from __future__ import annotations

from typing import Any

from pybackprop.teach.explain.rules import Path
from pybackprop.teach.render.formula import Line, Name, Part, Partial
from pybackprop.teach.trace.graph import Network

SHOWN = 4  # products that are written out


def derivation(name: str, network: Network, paths: list[Path], total: str) -> list[Line]:
    """The chain rule; the same with the known derivatives; with numbers; and for all elements at once."""
    loss, me = Name(network.name(network.root)), Name(name, tuple(map(str, paths[0].at)))
    chain = _joined([path.rule.chain(path, network, loss, me) for path in paths])
    known = _joined([path.rule.known(path, network) for path in paths])
    numbers = _joined([_numbers(path) for path in paths])
    whole = [path.rule.whole(path.operation, path.slot, network) for path in paths]
    lines: list[Line] = [[Partial(loss, me), *chain], known, [*numbers, "=", total]]
    return [*lines, [Name(name, g=True), *_joined(whole)]] if all(whole) else lines


def _joined(paths: list[list[Part]]) -> list[Part]:
    """= the first path + the next + …"""
    line: list[Part] = []
    for parts in paths:
        line += ["+" if line else "=", *parts]
    return line


def _numbers(path: Path) -> list[Part]:
    parts: list[Part] = []
    for k in range(min(len(path), SHOWN)):
        parts += ["+"] if k else []
        parts += ["(", _number(path.local[k]), ")", "·", "(", _number(path.upstream[k]), ")"]
    return parts + (["+", "…"] if len(path) > SHOWN else [])


def _number(value: Any) -> str:
    return f"{float(value) + 0.0:.4g}"
