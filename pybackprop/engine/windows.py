"""Rows on disk as fit and predict read them: a thread reads a window of blocks ahead, and shuffles it as it comes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from pybackprop.core import native
from pybackprop.core.arrays import Array, aligned_empty
from pybackprop.core.errors import ShapeError
from pybackprop.core.read_ahead import SLOTS, ReadAhead
from pybackprop.core.row_blocks import Block, RowBlocks
from pybackprop.engine.batch import StepData, c_loss, pair, weights_of_rows, with_weights
from pybackprop.engine.lazy_rows import StoredRows, check_features
from pybackprop.engine.samples import Samples
from pybackprop.engine.sources import Agree, Call, check_finite


class Buffer(NamedTuple):
    """Rows of x and of targets, with the weights behind those if there are any, in the parameters' dtype."""

    x: Array
    targ: Array


class Job(NamedTuple):
    """The k-th window of an epoch, both counted from 1: the numbers of its blocks."""

    epoch: int
    k: int
    blocks: Array


class Windows:
    """The batches of an epoch's windows, one window after another. A source, see engine.sources.

    Before a window's rows in its buffer there is room for those that the window before left over, fewer than a batch.

    epochs  the numbers of those to come
    agree   what calls the waiting for a window: the plan's, so that a rank whose file fails ends all
    """

    steps: int

    def __init__(
        self,
        source: RowBlocks,
        at: Any,
        batch: int,
        seed: int,
        epochs: range,
        step_data: StepData,
        agree: Agree,
    ) -> None:
        self.source, self.at, self.batch, self.seed, self.epochs = source, at, batch, seed, epochs
        self.step_data, self.agree = step_data, agree
        self.steps = -(-source.rows // batch)
        kind = source.kind
        self.c_loss = c_loss(step_data.loss, 1 + len(kind.targ_shape), kind.weight_dtype is not None)
        self._reader: ReadAhead[Buffer] = ReadAhead(self._read, self._jobs())
        self._buffers: list[Buffer] = []
        self._current: Buffer | None = None  # the window in use
        self._piece = self._rest = Buffer(np.empty(0), np.empty(0))
        self._before = self._taken = 0  # rows of the epoch: before this piece, and in windows that were taken

    @property
    def rows(self) -> int:
        return self._before + int(self.at.row)

    @property
    def is_done(self) -> bool:
        return self.rows >= self.source.rows

    def begin(self, epoch: int) -> None:
        if not self._buffers:
            self._buffers = [self._new_buffer() for _ in range(SLOTS)]
            self._rest = Buffer(self._buffers[0].x[:0], self._buffers[0].targ[:0])
            self._reader.start()
        self._before = self._taken = 0
        self._advance()

    def run(self, call: Call, most: float) -> tuple[int, float]:
        piece, at = self._piece, self.at
        began = time.perf_counter()
        status = call(piece.x, piece.targ, self.c_loss, native.NULL, self.batch, most)
        seconds = time.perf_counter() - began
        if status == 0 and at.row >= len(piece.x):
            self._before += len(piece.x)
            at.row = 0
            if not self.is_done:
                self._advance()
        return status, seconds

    def close(self) -> None:
        """Ends the thread, and lets go of the windows, which the garbage collector would find only later."""
        self._reader.close()
        self._buffers, self._current = [], None
        self._piece = self._rest = Buffer(np.empty(0), np.empty(0))

    def _advance(self) -> None:
        """Makes the next piece: whole batches, or at the end of the epoch all that is left."""
        self._piece = Buffer(self._piece.x[:0], self._piece.targ[:0])
        while not len(self._piece.x):
            self.agree(self._take)

    def _take(self) -> bool:
        """Takes the next window into use. Raises what reading it raised."""
        window = self._reader.next()
        kept, room = len(self._rest.x), self.batch - 1
        for array, rest in zip(window, self._rest, strict=True):
            array[room - kept : room] = rest
        if self._current is not None:
            self._reader.free()
        self._current = window
        self._taken += len(window.x) - room
        start, end = room - kept, len(window.x)
        if self._taken < self.source.rows:
            end -= (end - start) % self.batch
        self._piece = Buffer(window.x[start:end], window.targ[start:end])
        self._rest = Buffer(window.x[end:], window.targ[end:])
        return False

    # ---- the thread's ----

    def _jobs(self) -> Iterator[Job]:
        for epoch in self.epochs:
            for k, blocks in enumerate(self.source.windows(self.seed, epoch), 1):
                yield Job(epoch, k, blocks)

    def _read(self, job: Job, slot: int) -> Buffer:
        """The rows of a window in the order of the steps, behind the room for a batch."""
        source, room, done = self.source, self.batch - 1, 0
        blocks = [source.blocks[b] for b in job.blocks]
        count = sum(block.rows for block in blocks)
        places = _places(source.order_in_window(count, self.seed, job.epoch, job.k), count)
        window = Buffer(*(array[: room + count] for array in self._buffers[slot]))
        for block in blocks:
            if self._reader.is_closed:
                break
            self._place(block, window, places[done : done + block.rows] + room)
            done += block.rows
        return window

    def _place(self, block: Block, window: Buffer, places: Array) -> None:
        """Reads a block into a window. A method of its own: the next block is read when this one is gone."""
        part = prepared("plan.fit", self.source, block, self.step_data)
        for array, found in zip(window, part, strict=True):
            array[places] = found

    def _new_buffer(self) -> Buffer:
        kind, count, dtype = self.source.kind, self.batch - 1 + self.source.window_rows, self.step_data.dtype
        shape = kind.targ_shape
        if kind.weight_dtype is not None:
            shape = (math.prod(shape) + 1,)
        x = aligned_empty((count, kind.features), dtype, "plan.fit", self.source.rows)
        return Buffer(x, aligned_empty((count, *shape), dtype, "plan.fit", self.source.rows))


def prepared(operation: str, source: RowBlocks, block: Block, step_data: StepData) -> Buffer:
    """The checked rows of a block. Raises ShapeError, DTypeError, ValueError and DataError, which name the file."""
    where = f"{operation}: {block.path}"
    part = source.read(block)
    x, targ = pair(where, part.x, part.targ, step_data)
    check_finite({"x": x, "targ": targ}, where)
    if part.weight is None:
        return Buffer(x, targ)
    return Buffer(x, with_weights(targ, weights_of_rows(where, part.weight, len(x), x.dtype)))


def check_fits(operation: str, source: RowBlocks, expected: StepData) -> None:
    """Raises ShapeError for rows that do not fit the model, DataError for files that have changed."""
    check_features(operation, source, expected)
    shape = source.kind.targ_shape
    is_plain = shape == () and (expected.h == 1 or expected.loss.targets is not None)
    if shape != (expected.h,) and not is_plain:
        raise ShapeError(
            f"{operation}: {source.blocks[0].path}: found targ {source.targ_shape}, expected "
            f"({source.rows}, {expected.h}): the last layer's outputs"
        )
    source.check()


def stored_samples(operation: str, source: RowBlocks, expected: StepData) -> Samples:
    """x as it lies on disk, with the targets and weights in memory. All of it is read once, and checked."""
    check_fits(operation, source, expected)
    parts = [prepared(operation, source, block, expected).targ for block in source.blocks]
    targ, weight = np.concatenate(parts), None
    if source.kind.weight_dtype is not None:
        weight = weights_of_rows(operation, targ[:, -1], len(targ), targ.dtype)
        targ = np.ascontiguousarray(targ[:, :-1]).reshape(source.targ_shape)
    return Samples(StoredRows(operation, source, expected), targ, weight)


def _places(order: Array | None, count: int) -> Array:
    """Where each row of a window goes, whose i-th one in the steps is order[i]."""
    places = np.arange(count)
    if order is None:
        return places
    inverse = np.empty_like(order)
    inverse[order] = places
    return inverse
