"""Rows in blocks on disk, and the order in which a training takes them.

A pass is shuffled in two levels. The blocks are shuffled, and so many of them at a time, in that order, make a window;
then the rows of each window are shuffled. The order follows from the seed and the number of the epoch alone, so it is
the same on every machine: `bp_random_permutation` of the seed's streams 2**63 + 2**31 * epoch + k, where k is 0 for the
blocks, and k for the rows of the k-th window, counted from 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from pybackprop.core import native
from pybackprop.core.arrays import Array

FIRST_STREAM = 2**63
STREAMS = 2**31  # of an epoch


class Part(NamedTuple):
    """Some rows: x (n,m), targ (n,h) or (n,), weight (n); None: the rows count alike."""

    x: Array
    targ: Array
    weight: Array | None


class RowKind(NamedTuple):
    """What all blocks have in common.

    targ_shape    of one row: (h,), or () for a number
    weight_dtype  None: there are no weights
    """

    features: int
    dtype: np.dtype[np.generic]
    targ_shape: tuple[int, ...]
    targ_dtype: np.dtype[np.generic]
    weight_dtype: np.dtype[np.generic] | None

    def empty(self, rows: int) -> Part:
        """Uninitialized arrays for so many rows."""
        weight = None if self.weight_dtype is None else np.empty(rows, self.weight_dtype)
        targ = np.empty((rows, *self.targ_shape), self.targ_dtype)
        return Part(np.empty((rows, self.features), self.dtype), targ, weight)


class Block(Protocol):
    """Neighbouring rows of a file."""

    @property
    def path(self) -> Path: ...
    @property
    def rows(self) -> int: ...

    def read(self, into: Part) -> None:
        """Fills arrays of `rows` rows. Raises pybackprop.data.DataError, which names the file."""

    def check(self) -> None:
        """Raises DataError if the file is no longer as it was when it was opened."""


class RowBlocks:
    """Rows on disk: x (n,m) and targ (n,h) or (n,), maybe with a weight for each row. Made by `bp.data.open`.

    blocks   in the order of the rows
    kind     what they have in common: the features, the dtypes, the shape of a target
    window   how many blocks are in memory, and shuffled, together
    shuffle  False: the rows come in their order
    """

    blocks: Sequence[Block]
    kind: RowKind
    window: int
    shuffle: bool
    rows: int

    def __init__(self, blocks: Sequence[Block], kind: RowKind, window: int, shuffle: bool) -> None:
        self.blocks, self.kind, self.window, self.shuffle = blocks, kind, min(window, len(blocks)), shuffle
        self.rows = sum(block.rows for block in blocks)

    def __len__(self) -> int:
        return self.rows

    @property
    def shape(self) -> tuple[int, int]:
        """Of x: (rows, features)."""
        return self.rows, self.kind.features

    @property
    def features(self) -> int:
        """The columns of x."""
        return self.kind.features

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of x, as it is stored."""
        return self.kind.dtype

    @property
    def targ_shape(self) -> tuple[int, ...]:
        """(rows, h) or (rows,)."""
        return self.rows, *self.kind.targ_shape

    @property
    def window_rows(self) -> int:
        """The rows of the largest window that there can be."""
        if not self.shuffle:
            return max(sum(self.blocks[int(b)].rows for b in window) for window in self.windows(0, 1))
        return sum(sorted((block.rows for block in self.blocks), reverse=True)[: self.window])

    def read(self, block: Block) -> Part:
        """The rows of a block, as they are stored. Raises as Block.read does."""
        part = self.kind.empty(block.rows)
        block.read(part)
        return part

    def windows(self, seed: int, epoch: int) -> list[Array]:
        """The numbers of the blocks of each window of an epoch, counted from 1."""
        order = np.arange(len(self.blocks))
        if self.shuffle:
            order = _permutation(len(self.blocks), seed, epoch, 0)
        return [order[start : start + self.window] for start in range(0, len(order), self.window)]

    def order_in_window(self, rows: int, seed: int, epoch: int, k: int) -> Array | None:
        """The order of the rows of the k-th window, from 1, which has so many; None: as they are."""
        return _permutation(rows, seed, epoch, k) if self.shuffle else None

    def order(self, seed: int, epoch: int) -> Array:
        """(rows,): the numbers of all rows in the order in which `plan.fit` takes them in an epoch, counted from 1."""
        starts = np.cumsum([0, *(block.rows for block in self.blocks)])
        parts = []
        for k, window in enumerate(self.windows(seed, epoch), 1):
            rows = np.concatenate([np.arange(starts[b], starts[b + 1]) for b in window])
            order = self.order_in_window(len(rows), seed, epoch, k)
            parts.append(rows if order is None else rows[order])
        return np.concatenate(parts)

    def check(self) -> None:
        """Raises pybackprop.data.DataError if a file is no longer as it was when it was opened."""
        for block in self.blocks:
            block.check()

    def __repr__(self) -> str:
        files, targ = len({block.path for block in self.blocks}), ", ".join(map(str, self.targ_shape))
        size = math.prod(self.shape) * self.dtype.itemsize
        return (
            f"RowBlocks(x {self.shape} of {self.dtype}, targ ({targ}{',' * (len(self.targ_shape) == 1)}) of "
            f"{self.kind.targ_dtype}; {size:,} bytes of x in {len(self.blocks)} blocks of {files} files)"
        )


def _permutation(count: int, seed: int, epoch: int, k: int) -> Array:
    index = native.indices(count)
    native.permute(index, count, seed, FIRST_STREAM + STREAMS * epoch + k)
    order: Array = native.as_index(index).copy()
    return order
