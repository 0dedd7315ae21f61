"""Chain: a row of Lin and Relu with Mse at its end as the C core sees it, forward and backward one call each.

In tiny networks the way between the operations costs more than the operations. So a Model of such layers (see
shortcut.py) computes a loss at once, and its tape is only written down when somebody looks: the loss's place on
the tape is a Pass, which makes the tensors and nodes of all its layers when it is asked for them, around the
numbers that are already there. Whatever a Pass cannot do in one call, the ordinary tape does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from pybackprop import _native, stories
from pybackprop.convert import Array, on_a_line, whole_lines
from pybackprop.errors import GradientError
from pybackprop.functional import lin_backward, mse_backward, relu_backward, relu_node
from pybackprop.layers import as_operand
from pybackprop.storage import Storage
from pybackprop.tape import Node, Sink
from pybackprop.tensor import Tensor, wrap

SMALL = 2**20  # bytes of room that are kept though less is needed

Call: TypeAlias = "tuple[tuple[Any, ...], Tensor | None]"


@dataclass(frozen=True)
class Stage:
    """A Lin and the Relu after it, if there is one. Layers are named by their id: they know of the Pass."""

    w: Tensor
    b: Tensor | None
    lin: int
    relu: int | None = None

    def parameters(self) -> tuple[Tensor, ...]:
        return (self.w,) if self.b is None else (self.w, self.b)


class Chain:
    """What stays the same from pass to pass."""

    def __init__(self, stages: Sequence[Stage], dtype: np.dtype[Any], inplace: bool = False) -> None:
        self.stages = stages
        self.dtype = dtype
        self.inplace = inplace
        self.parameters = [p for stage in stages for p in stage.parameters()]
        self.inner = [stage.w for stage in stages[1:]]  # what a backward reads: nobody wants the data's .g
        self.forward = _native.chain_forward[self.dtype]
        self.backward = _native.chain_backward[self.dtype]

    def rows(self, x: tuple[int, ...], targ: tuple[int, ...]) -> int:
        """n, where x (n,m) and targ (n,h) fit the layers; else 0."""
        m, h = self.stages[0].w.shape[0], self.stages[-1].w.shape[1]
        fits = len(x) == 2 and x[1] == m and h > 0 and (targ == (x[0], h) or (h == 1 and targ == x[:1]))
        return x[0] if fits else 0

    def places(self, n: int) -> tuple[list[tuple[int, int, int]], int]:
        """Where in a room each stage's z, a and dz begin, and how many numbers that is in all.

        Without Relu a is z. With one, dz takes the place of a, which relu gives again from z. The other gradients
        lie in two places in turn, so that those of neighbours do not meet. inplace: each stage has one place.
        """
        sizes = [whole_lines(n * stage.w.shape[1], self.dtype) for stage in self.stages]
        own = [
            0 if self.inplace or stage.relu is not None else size
            for stage, size in zip(self.stages, sizes, strict=True)
        ]
        turns = [max(own[::-1][turn::2], default=0) for turn in (0, 1)]
        found, at = [], sum(turns)
        for k, (stage, size) in enumerate(zip(self.stages, sizes, strict=True)):
            z, at = at, at + size
            a, at = (z, at) if self.inplace or stage.relu is None else (at, at + size)
            found.append((z, a, turns[0] * ((len(sizes) - 1 - k) % 2) if own[k] else a))
        return found, at


class Room:
    """The memory of one pass at a time, and that pass's data."""

    x: Any
    x_at: Any
    x_version: int
    targ: Any
    targ_at: Any
    targ_version: int
    read: list[tuple[Storage, int]]  # the chain's inner weights and their versions
    written: Sequence[list[Any]] = ()  # the versions of the gradients that are bound
    spent = False  # whether a backward has written gradients over activations

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.count = len(chain.stages)
        self.layers = _native.layers(self.count)
        self.loss = np.empty((), chain.dtype)
        self.loss_at = _native.pointer(self.loss)
        self.shapes: tuple[Any, ...] = ()
        self.memory: Array = np.empty(0, chain.dtype)
        self.gradients: list[tuple[Tensor, Any]] = [(p, self) for p in chain.parameters]  # none of them bound yet
        for layer, stage in zip(self.layers, chain.stages, strict=True):
            layer.m, layer.h = stage.w.shape
            layer.activation = _native.NO_ACTIVATION if stage.relu is None else _native.ACTIVATIONS["relu"]
            layer.w = stage.w.pointer()
            layer.b = _native.NULL if stage.b is None else stage.b.pointer()

    def make(self, n: int, shapes: tuple[Any, ...]) -> None:
        """Makes place for n rows. shapes: those of x and targ."""
        self.n, self.shapes = n, shapes
        self.places, size = self.chain.places(n)
        if size > self.memory.size or self.memory.nbytes > max(SMALL, 4 * size * self.memory.itemsize):
            self.memory = np.empty(0, self.chain.dtype)  # the old goes before the new comes
            self.memory = on_a_line((size,), self.chain.dtype, "Model", n)
        base = _native.pointer(self.memory)
        for layer, stage, (z, a, dz) in zip(self.layers, self.chain.stages, self.places, strict=True):
            layer.z, layer.dz = base + z, base + dz
            layer.a = _native.NULL if stage.relu is None else base + a

    def forward(self, node: Node) -> Tensor:
        """The loss, with its place on the tape."""
        self.spent = False
        status = self.chain.forward(self.loss_at, self.layers, self.count, self.x_at, self.targ_at, self.n)
        if status:
            _native.check(status)
        loss = wrap(self.loss.copy())
        loss.requires_g, loss._node = True, node
        return loss

    def backward(self, accumulate: bool) -> bool:
        """Fills the parameters' `.g`. False, and nothing is done, where that is not all there is to do."""
        if self._is_stale():
            return False
        if self.spent:
            self.restore()
        for p, g in self.gradients:
            if p._g is not g or not p.requires_g:
                if not self._bind(accumulate):
                    return False
                break
        dx, call = _native.NULL, self.chain.backward
        self.spent = True
        for version in self.written:
            version[0] += 1
            version[1] = "backward"
        status = call(dx, self.layers, self.count, self.x_at, self.targ_at, self.n, accumulate)
        if status:
            _native.check(status)
        return True

    def restore(self) -> None:
        """Computes those activations once more that a backward wrote gradients over; raises where that cannot be."""
        if self.chain.inplace:
            raise GradientError(stories.SPENT)
        relu = _native.relu_forward[self.chain.dtype]
        for layer, stage in zip(self.layers, self.chain.stages, strict=True):
            if stage.relu is not None:
                relu(layer.a, layer.z, self.n * layer.h)
        self.spent = False

    def _is_stale(self) -> bool:
        """Whether a value that a backward reads was written to, or a gradient of the data is wanted."""
        x, targ = self.x, self.targ
        if type(x) is Tensor and (x._version[0] != self.x_version or x.requires_g):
            return True
        if type(targ) is Tensor and (targ._version[0] != self.targ_version or targ.requires_g):
            return True
        for w, version in self.read:  # noqa: SIM110 (a generator costs more than the loop)
            if w._version[0] != version:
                return True
        return False

    def _bind(self, accumulate: bool) -> bool:
        """Tells C where the gradients are now."""
        parameters = self.chain.parameters
        if not all(p.requires_g and not (accumulate and p._g is None) for p in parameters):
            return False
        if not all(p.grad_buffer()._array.flags.c_contiguous for p in parameters):
            return False
        for layer, stage in zip(self.layers, self.chain.stages, strict=True):
            layer.dw = stage.w.grad_buffer().pointer()
            layer.db = _native.NULL if stage.b is None else stage.b.grad_buffer().pointer()
        self.gradients = [(p, p._g) for p in parameters]
        self.written = [p.grad_buffer()._version for p in parameters]
        return True

    def write_down(self, x: Tensor) -> tuple[dict[int, Call], Tensor]:
        """The calls of all layers by their id, on the tape, and the output."""
        if self.spent:
            self.restore()
        calls: dict[int, Call] = {}
        out, version = x, self.x_version
        for k, (stage, (z, a, _)) in enumerate(zip(self.chain.stages, self.places, strict=True)):
            inputs = (out, *stage.parameters())
            node = Node("lin", inputs, partial(lin_backward, *inputs), ())
            node.saved = [(out, version), *self.read[k - 1 : k]]  # the first w is not read
            made = self._tensor(z, stage, node)
            calls[stage.lin] = (out,), made
            out, version = made, 0
            if stage.relu is not None:
                out = self._relu_in_place(out) if self.chain.inplace else self._relu(out, a, stage)
                calls[stage.relu] = (made,), out
        return calls, out

    def _relu(self, z: Tensor, at: int, stage: Stage) -> Tensor:
        return self._tensor(at, stage, Node("relu", (z,), partial(relu_backward, z, z), (z,)))

    def _relu_in_place(self, z: Tensor) -> Tensor:
        """z, whose numbers are already those after relu_."""
        before, after = z.alias(), z.alias()
        before._node, before.requires_g = z._node, True
        z._node = Node("relu_", *relu_node(before, after))
        return z

    def _tensor(self, at: int, stage: Stage, node: Node) -> Tensor:
        """The numbers (n,h) that a stage left there, on the tape."""
        shape = (self.n, stage.w.shape[1])
        made = wrap(self.memory[at : at + shape[0] * shape[1]].reshape(shape))
        made.requires_g, made._node = True, node
        return made


class Pass(Node):
    """The loss's place on the tape after a pass in one call.

    room    what it computed; None after its tape was written down, or the room was taken for the next pass
    done    whether its backward has run: then the next pass may take the room
    """

    __slots__ = ("__weakref__", "_inputs", "calls", "done", "room")

    operation = "mse"
    seen = None
    calls: dict[int, Call]

    def __init__(self, room: Room) -> None:
        self.room: Room | None = room
        self.done = False
        self._inputs: tuple[Tensor, Tensor] | None = None

    def backward(self, upstream: Tensor, sink: Sink) -> None:
        mse_backward(*self.inputs, upstream, sink)

    def at_once(self, root: Any, keep: bool, accumulate: bool) -> bool:
        room = self.room
        if room is None or keep or not root.requires_g or not room.backward(accumulate):
            return False
        root._g = None
        self.done = True
        return True

    @property
    def inputs(self) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """The output and the targets. Who asks wants to walk the tape, so it is written down now."""
        return self._inputs or self._write_down()

    def call_of(self, layer: Any, out: Tensor | None) -> Call:
        """(args, out) of one of the layers, or of the loss, whose out is given."""
        of_loss = self.inputs, out
        return self.calls.get(id(layer), of_loss)

    def _write_down(self) -> tuple[Tensor, Tensor]:
        """Makes the tensors and nodes of all layers as they would be after a call of each."""
        room = self.room
        if room is None:
            raise GradientError(
                "backward: the values behind this loss are gone: its backward has run, and the next model(x, targ) "
                "took their place. Run forward again"
            )
        x, targ = as_operand(room.x, None), as_operand(room.targ, None)
        self.calls, out = room.write_down(x)
        self.origins = [out._node, targ._node]
        self.saved = [(out, 0), (targ, room.targ_version)]
        self._inputs, self.room = (out, targ), None
        return out, targ
