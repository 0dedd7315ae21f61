"""A pass: a Chain computed in one call of the C core for forward and one for backward.

In tiny networks, calling the operations costs more than their arithmetic. So a Model of such layers (see shortcut.py)
computes its loss in one call, and its tape is written only when it is needed: the node of the loss is a Pass, which
then makes the tensors and nodes of all layers from the values already computed. What a Pass cannot do in one call, the
ordinary tape does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from pybackprop.autograd import messages, tape, versions
from pybackprop.autograd.tape import NO_PARAMS, Node, Sink
from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.autograd.versions import Version
from pybackprop.core import native, observer, short_calls
from pybackprop.core.arrays import Array, aligned_empty, is_plain
from pybackprop.core.errors import GradientError, ShapeError
from pybackprop.engine import placement
from pybackprop.engine.batch import c_loss
from pybackprop.engine.chain import Chain
from pybackprop.engine.descriptors import describe_layers
from pybackprop.engine.held import Held
from pybackprop.nn.module import as_operand
from pybackprop.nn.network import Stage
from pybackprop.ops import LIN, MSE, Op
from pybackprop.ops.short import WORK, eager, nothing

_taped = getattr(eager(MSE), "taped", nothing)
SMALL = 2**20  # bytes; a workspace up to this size is kept even if a pass needs less

Call: TypeAlias = "tuple[tuple[Any, ...], Tensor | None]"


class PassWorkspace:
    """The memory of one pass at a time, and that pass's data."""

    __slots__ = (
        "chain",
        "count",
        "gradients",
        "is_small",
        "kept",
        "layers",
        "loss",
        "loss_at",
        "memory",
        "n",
        "places",
        "read",
        "shapes",
        "short",
        "spent",
        "targ",
        "written",
        "x",
    )

    n: int
    is_small: bool  # whether a pass takes some microseconds
    places: list[placement.Places]
    read: list[int]  # the versions of the chain's inner weights
    written: Sequence[Version]  # the versions of the gradients that are bound
    short: Any  # the backward as a short call, while the gradients are bound
    spent: bool  # whether a backward has written gradients over activations

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.kept = [p._array for p in chain.parameters]  # C's pointers point into these
        self.x, self.targ = Held(), Held()
        self.read, self.written, self.short, self.spent = [], (), None, False
        self.count = len(chain.stages)
        self.layers = describe_layers(chain.stages)
        self.loss = np.empty((), chain.dtype)
        self.loss_at = native.pointer(self.loss)
        self.shapes: tuple[Any, ...] = ()
        self.memory: Array = np.empty(0, chain.dtype)
        self.gradients: list[tuple[Tensor, Any]] = [(p, chain) for p in chain.parameters]  # none of them bound yet
        for layer, stage in zip(self.layers, chain.stages, strict=True):
            layer.w = stage.w.pointer()
            layer.b = native.NULL if stage.b is None else stage.b.pointer()

    def allocate(self, n: int, shapes: tuple[Any, ...]) -> None:
        """Allocates the values of n rows. shapes: those of x and targ."""
        self.n, self.shapes, self.is_small = n, shapes, n * self.chain.products <= WORK
        self.layers[self.count - 1].loss = c_loss(self.chain.network.loss, len(shapes[1]))
        self.places, size = placement.of_pass(self.chain.network, n, self.chain.inplace)
        if size > self.memory.size or self.memory.nbytes > max(SMALL, 4 * size * self.memory.itemsize):
            self.memory = np.empty(0, self.chain.dtype)  # frees the old memory before the new is allocated
            self.memory = aligned_empty((size,), self.chain.dtype, "Model", n)
        base = native.pointer(self.memory)
        for layer, (z, a, dz) in zip(self.layers, self.places, strict=True):
            layer.z, layer.a, layer.dz = base + z, base + a, base + dz

    def forward(self, node: Node) -> Tensor:
        """The loss, with its place on the tape."""
        self.spent = False
        self.read = read = []
        for w in self.chain.inner:
            read.append(w._version.count)
        status = self.chain.forward(self.loss_at, self.layers, self.count, self.x.at, self.targ.at, self.n)
        if status:
            native.check(status)
        if observer.active is not None:
            observer.active.ran_pass("Model: forward", self)
        short: Tensor | None = _taped(self.loss, node)
        if short is not None:
            return short
        loss = wrap(self.loss.copy())
        loss.requires_g, loss._node = True, node
        return loss

    def backward(self, accumulate: bool) -> bool:
        """Fills the parameters' `.g`. False, with nothing done, if the ordinary tape has to do it."""
        if self._is_stale():
            return False
        if self.spent:
            self.restore()
        if self.short is not None and self.is_small:
            status = self.short(self.x.array, self.targ.array, self.n, accumulate)
            if status is not None:
                self.spent = True
                if status:
                    native.check(status)
                return True
        for p, g in self.gradients:
            if p._g is not g or not p.requires_g:
                if not self._bind(accumulate):
                    return False
                break
        x, targ = self.x.at or self.x.pointer(self.chain.dtype), self.targ.at or self.targ.pointer(self.chain.dtype)
        self.spent = True
        for version in self.written:  # Version.wrote, without a call for each
            version.count += 1
            version.by = "backward"
            if versions.on:
                version.remember()
        status = self.chain.backward(native.NULL, self.layers, self.count, x, targ, self.n, accumulate)
        if status:
            native.check(status)
        if observer.active is not None:
            observer.active.ran_pass("Model: backward", self)
        return True

    def restore(self) -> None:
        """Recomputes the activations that a backward overwrote with gradients. Raises GradientError if inplace."""
        if self.chain.inplace:
            raise GradientError(messages.SPENT)
        with tape.paused():
            for stage, (z, a, _) in zip(self.chain.stages, self.places, strict=True):
                if stage.activation is not None:
                    stage.activation(self._values(z, stage), out=self._values(a, stage), **stage.params)
        self.spent = False

    def _is_stale(self) -> bool:
        """Whether a value that a backward reads was written to, or a gradient of the data is requested."""
        if self.x.is_stale() or self.targ.is_stale():
            return True
        for w, version in zip(self.chain.inner, self.read):  # noqa: B905, SIM110 (strict or a generator costs more)
            if w._version.count != version:
                return True
        return False

    def _bind(self, accumulate: bool) -> bool:
        """Sets C's pointers to the gradients; False if the ordinary tape has to compute them."""
        parameters = self.chain.parameters
        if not all(p.requires_g and not (accumulate and p._g is None) for p in parameters):
            return False
        if not all(is_plain(p.grad_buffer()._array) for p in parameters):
            return False
        for layer, stage in zip(self.layers, self.chain.stages, strict=True):
            layer.dw = stage.w.grad_buffer().pointer()
            layer.db = native.NULL if stage.b is None else stage.b.grad_buffer().pointer()
        self.gradients = [(p, p._g) for p in parameters]
        self.written = [p.grad_buffer()._version for p in parameters]
        self.short = self._short()
        return True

    def _short(self) -> Any:
        """The backward as a short call; None where there is none."""
        call = self.chain.dtype, self.layers, self.count
        watched = [pair for p, g in self.gradients for pair in ((p, "_g", g), (p, "requires_g", True))]
        modules = vars(observer), vars(versions), vars(tape)
        given = call, tuple(watched), tuple(self.written), modules, "backward", self.gradients
        writer = short_calls.writer("chain_backward", *given)
        return writer and writer.backward

    def write_down(self, x: Tensor) -> tuple[dict[int, Call], Tensor]:
        """The calls of all layers by their id, on the tape, and the output."""
        if self.spent:
            self.restore()
        calls: dict[int, Call] = {}
        out, version = x, self.x.version
        read = [*zip(self.chain.inner, self.read, strict=True)]
        for k, (stage, (z, a, _)) in enumerate(zip(self.chain.stages, self.places, strict=True)):
            inputs = (out, *stage.parameters())
            node = Node(LIN, inputs)
            node.saved = [(out, version), *read[k - 1 : k]]  # the first w is not read
            inp, out, version = out, self._tensor(z, stage, node), 0
            calls[stage.layers[0]] = (inp,), out
            if stage.activation is not None:
                inp, out = out, self._activated(stage.activation, out, a, stage)
                calls[stage.layers[1]] = (inp,), out
        return calls, out

    def _activated(self, op: Op, z: Tensor, at: int, stage: Stage) -> Tensor:
        """The result of a stage's activation of z. In place it is z itself, which already holds the result."""
        if not self.chain.inplace or stage.inplace is None:
            return self._tensor(at, stage, Node(op, (z,), (z,), stage.params))
        before, after = z.alias(), z.alias()
        before._node, before.requires_g = z._node, True
        z._node = Node(stage.inplace, (before,), (after,), stage.params)
        return z

    def _tensor(self, at: int, stage: Stage, node: Node) -> Tensor:
        """A stage's values (n,h) that begin there, as a tensor on the tape."""
        tensor = wrap(self._values(at, stage))
        tensor.requires_g, tensor._node = True, node
        return tensor

    def _values(self, at: int, stage: Stage) -> Array:
        """A stage's values (n,h) that begin there."""
        shape = (self.n, stage.w.shape[1])
        return self.memory[at : at + shape[0] * shape[1]].reshape(shape)


class Pass(Node):
    """The node of the loss after a pass in one call; of the class that `pass_of` gives for its operation.

    workspace  the values that it computed; None once its tape is written, or once the next pass uses the workspace
    done       whether its backward has run: then the next pass may use the workspace
    """

    done: bool
    origins: list[Any]
    saved: list[tuple[Any, int]]

    __slots__ = ("__weakref__", "_inputs", "calls", "done", "workspace")

    op: Op
    params = NO_PARAMS
    checksums: Any = None
    calls: dict[int, Call]

    def __init__(self, workspace: PassWorkspace) -> None:
        self.workspace: PassWorkspace | None = workspace
        self.done = False
        self._inputs: tuple[Tensor, Tensor] | None = None

    @property
    def is_written(self) -> bool:
        return self._inputs is not None

    def backward(self, upstream: Any, sink: Sink) -> None:
        backward: Any = self.op.backward
        backward(self.inputs, (), upstream, sink)

    def at_once(self, root: Any, keep: bool, accumulate: bool) -> bool:
        workspace = self.workspace
        if workspace is None or keep or not root.requires_g or not workspace.backward(accumulate):
            return False
        root._g = None
        self.done = True
        return True

    def free(self, updated: Any) -> None:
        """See Node.free: what is asked for later is gone, as after the next pass."""
        self._inputs, self.calls, self.origins, self.saved = None, {}, [], []

    @property
    def inputs(self) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """The output and the targets. Only a walk along the tape needs them, so the tape is written first."""
        return self._inputs or self._write_down()

    def call_of(self, layer: Any, out: Tensor | None) -> Call:
        """(args, out) of one of the layers, or of the loss, whose out is given."""
        of_loss = self.inputs, out
        return self.calls.get(id(layer), of_loss)

    def _write_down(self) -> tuple[Tensor, Tensor]:
        """Makes the tensors and nodes of all layers as they would be after a call of each."""
        workspace = self.workspace
        if workspace is None:
            raise GradientError(
                "backward: the values behind this loss are gone: its backward has run, and the next model(x, targ) "
                "has overwritten them. Run forward again"
            )
        given = workspace.x.given, workspace.targ.given
        if (given[0].shape, given[1].shape) != workspace.shapes:
            raise ShapeError(
                f"backward: x and targ have the shapes {given[0].shape} and {given[1].shape}, and had "
                f"{workspace.shapes[0]} and {workspace.shapes[1]} in the forward pass. Run forward again"
            )
        x, targ = as_operand(given[0], None), workspace.targ.operand()
        self.calls, out = workspace.write_down(x)
        self.origins = [out._node, targ._node]
        self.saved = [(out, 0), (targ, workspace.targ.version)]
        self._inputs, self.workspace = (out, targ), None
        return out, targ


@cache
def pass_of(loss: Op) -> type[Pass]:
    """The class of the passes that end in a loss. It is an attribute of the class, as C makes passes, too."""
    return type("Pass", (Pass,), {"__slots__": (), "op": loss})
