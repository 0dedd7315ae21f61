"""What tensors are called in judge's texts: as the learner's formula calls them, or else as the network does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pybackprop.teach.judge.roles import HIDDEN, Key

if TYPE_CHECKING:
    from pybackprop.teach.judge.question import Question

INDEX = {"w": "kj", "x": "ik", "b": "j"}  # the letters of a tensor's axes by its role; ij for all others


def called(question: Question, key: Key, used: Sequence[str] = ()) -> str:
    """The name for what a key stands for (see roles.py). used: the names in the learner's formula."""
    names = [name for name, other in question.names.items() if other == key and not name.startswith(HIDDEN)]
    if in_use := [name for name in used if name in names]:
        return in_use[0]
    if roles := [role for role, other in question.roles.items() if other == key and role != "answer"]:
        return question.word(roles[0], used)
    return next((name for name in names if "." not in name), names[0] if names else "?")


def index_of(question: Question) -> str:
    """[k,j] for w, [i,j] for a matrix in general."""
    letters = INDEX.get(question.kind.name, "ij")[: question.samples[0].right.ndim]
    return f"[{','.join(letters)}]"
