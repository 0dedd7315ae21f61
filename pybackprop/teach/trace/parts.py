"""Parts: tensors that only show elements of another one, w[0, 0], w[:, 1] or w.T, and which elements these are.

Such a result is a new tensor. Unless the forward pass itself used it, no loss depends on it; whoever asks about it
means the elements of the tensor that it was taken from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.ops import INDEX, RESHAPE, TRANSPOSE, Op

REARRANGED: dict[Op, Callable[..., Array]] = {
    INDEX: lambda array, index: np.asarray(array[index]),
    RESHAPE: lambda array, shape: array.reshape(shape),
    TRANSPOSE: lambda array: array.T,
}


@dataclass(frozen=True)
class Part:
    """Elements of a tensor in another arrangement.

    whole      the tensor that they were taken from
    positions  for each element of the part its position in whole, counted row by row
    """

    whole: Tensor
    positions: Array

    def at(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """The index in whole of one element of the part."""
        return tuple(int(i) for i in np.unravel_index(int(self.positions[index]), self.whole.shape))

    def of(self, array: Array) -> Array:
        """The part of an array of whole's shape."""
        return np.asarray(array.reshape(-1)[self.positions])


def is_rearranged(t: Any) -> bool:
    """Whether the tape knows t as elements of another tensor in another arrangement."""
    node = getattr(t, "_node", None)
    return node is not None and isinstance(node.op, Op) and node.op in REARRANGED


def parts_of(t: Tensor) -> Iterator[Part]:
    """t as a part of the tensor that it was taken from, of the one that that was taken from, and so on."""
    steps: list[Any] = []
    while is_rearranged(t):
        node: Any = t._node
        steps.append(node)
        t = node.inputs[0]
        positions = np.arange(t.size).reshape(t.shape)
        for step in reversed(steps):
            positions = REARRANGED[step.op](positions, **step.params)
        yield Part(t, positions)
