"""Paths: every way from one element to what was computed from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.teach.explain.rules import Path, Words, rule_for
from pybackprop.teach.trace.gradients import Walk
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import Index
from pybackprop.teach.trace.operation import Operation


def paths_of(tensor: Tensor, at: Index, walk: Walk) -> list[Path]:
    """Every path from the element to the loss, in the order in which a backward pass adds them."""
    paths: list[Path] = []
    for op in reversed(walk.network.operations):
        for slot in backward_order(op):
            if op.inputs[slot] is tensor and walk.reaches(op.output):
                start = paths[-1].added() if paths else None
                paths.append(_path(op, slot, at, walk.of(op.output), start))
    several = len(paths) > 1
    return [replace(path, number=k * several) for k, path in enumerate(paths, 1)]


def backward_order(op: Operation) -> list[int]:
    """The inputs in the order in which the operation's backward fills their gradients."""
    return sorted(range(len(op.inputs)), key=lambda slot: rule_for(op, slot).filled)


def _path(op: Operation, slot: int, at: Index, dout: Array, start: float | None) -> Path:
    rule = rule_for(op, slot)
    moved, local = rule.find(op, slot, at)
    upstream = dout[tuple(moved.T)] if dout.ndim else np.full(len(moved), dout)
    return Path(op, slot, at, rule, moved, local.astype(dout.dtype), upstream, start)


ELSE = "and nothing else"


def words_of(path: Path, network: Network, is_only: bool = True) -> Words:
    """What to say about a path. is_only: whether there is no other, so that nothing else in the result moves."""
    words = path.rule.words(path, network)
    if is_only:
        return words
    return replace(words, moves=words.moves.replace(ELSE, "and on this path nothing else"))
