"""A ledger of a real run: what our code made, used and let go, as it happened. Listens at core/observer.py."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from pybackprop.core import native, observer
from pybackprop.core.arrays import Array
from pybackprop.core.observer import Product
from pybackprop.engine import one_pass, plan
from pybackprop.engine.placement import backward_products, packed_bytes
from pybackprop.memory.buffers import Book, Buffer
from pybackprop.memory.ledger import Ledger


@contextmanager
def ledger(title: str = "what our code made") -> Iterator[Ledger]:
    """`with bp.ledger() as led:` counts the arrays that our code makes in the block, in any thread.

    Buffers are what was made in there: results, gradients, a plan's memory; not what was there before, and not what
    numpy or the C core take and give back within one operation. So a first backward's `.g` count, a second one finds
    them there. Views are no buffers; what is written into the memory of another value is listed as sharing it.
    led is complete after the block. Ledgers may be open at the same time: each hears of everything.
    """
    recorder = Recorder()
    _open.join(recorder)
    try:
        yield Ledger(title, recorder.book)
    finally:
        _open.leave(recorder)
        recorder.close()


class Open:
    """All recorders that are open, in whatever order and thread they come and go. The observer, while there are any."""

    def __init__(self) -> None:
        self.recorders: list[Recorder] = []
        self.lock = threading.Lock()

    def join(self, recorder: Recorder) -> None:
        with self.lock:
            self.recorders = [*self.recorders, recorder]
            observer.active = self

    def leave(self, recorder: Recorder) -> None:
        with self.lock:
            self.recorders = [one for one in self.recorders if one is not recorder]
            if not self.recorders:
                observer.active = None

    def allocated(self, array: Array) -> None:
        for recorder in self.recorders:
            recorder.allocated(array)

    def named(self, array: Array, name: str, kind: str) -> None:
        for recorder in self.recorders:
            recorder.named(array, name, kind)

    def ran(self, operation: str, *arrays: Array, products: Sequence[Product] = (), is_new: bool = False) -> None:
        for recorder in self.recorders:
            recorder.ran(operation, *arrays, products=products, is_new=is_new)

    def ran_pass(self, operation: str, workspace: one_pass.PassWorkspace) -> None:
        for recorder in self.recorders:
            recorder.ran_pass(operation, workspace)

    def ran_plan(self, operation: str, made: plan.Plan) -> None:
        for recorder in self.recorders:
            recorder.ran_plan(operation, made)


_open = Open()


class Recorder:
    """Enters into a book what it is told of arrays and operations, and which arrays went.

    A buffer is known by the address of the array that owns its memory.
    """

    def __init__(self) -> None:
        self.book = Book(counts_held=True)
        self.lock = threading.RLock()  # an array may go at any moment, also while another one is entered
        self.known: dict[int, tuple[int, Buffer, Any]] = {}  # by address: size, buffer, weak reference to its owner
        self.roles: dict[tuple[int, str], Buffer] = {}  # values by their buffer and who wrote them
        self.names: dict[str, int] = {}
        self.open = True

    # ---- what it is told ----

    def allocated(self, array: Array) -> None:
        """An array was allocated for an operation that is to come."""
        with self.lock:
            self._enter(array, "", "temporary")

    def named(self, array: Array, name: str, kind: str) -> None:
        """It has a name now."""
        with self.lock:
            buffer = self._find(_address(array))
            if buffer is not None:
                buffer.name, buffer.kind = self._once(name), kind

    def ran(self, operation: str, *arrays: Array, products: Sequence[Product] = (), is_new: bool = False) -> None:
        """An operation wrote the first array, and read or wrote the others."""
        with self.lock, self._packed(operation, products, arrays[0].dtype if arrays else None):
            if is_new and arrays[0].base is None and self._find(_address(arrays[0])) is None:
                self._enter(arrays[0], "", "temporary")
            self._step(operation, [_address(array) for array in arrays])

    def ran_pass(self, operation: str, workspace: one_pass.PassWorkspace) -> None:
        with self.lock:
            products = _products_of(workspace, operation.endswith("forward"))
            with self._packed(operation, products, workspace.chain.dtype):
                self._step_of_room(operation, workspace)

    def ran_plan(self, operation: str, made: plan.Plan) -> None:
        with self.lock:
            self._step_of_plan(operation, made)

    def close(self) -> None:
        with self.lock:
            self.book.close()
            self.open = False

    # ---- how it is entered ----

    @contextmanager
    def _packed(self, operation: str, products: Sequence[Product], dtype: Any) -> Iterator[None]:
        """Enters what the C core took to pack the products' operands, at most, and has given back."""
        nbytes = packed_bytes(products, dtype) if products else 0
        packed = self.book.make("packed operands", (nbytes,), "workspace", np.uint8) if nbytes else None
        yield
        if packed is not None:
            packed.made_by, packed.first_use, packed.last_use = operation, packed.made, packed.made
            self.book.free(packed)

    def _enter(self, array: Array, name: str, kind: str) -> None:
        owner: Any = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        at = _address(owner)
        self._gone(at)  # else somebody else's memory lies where ours did, and we were not told
        buffer = self.book.make(name, array.shape, kind, array.dtype, array.nbytes)
        self.known[at] = (owner.nbytes, buffer, weakref.ref(owner, partial(self._forget, at)))

    def _forget(self, at: int, reference: Any) -> None:
        """The array that owned this memory is no more."""
        if self.known.get(at, (0, None, None))[2] is reference:
            self._gone(at)

    def _gone(self, at: int) -> None:
        with self.lock:
            found = self.known.pop(at, None)
            if found is not None and self.open:
                if not found[1].name:
                    found[1].name = self._once("tensor")
                self.book.free(found[1])

    def _find(self, address: int) -> Buffer | None:
        found = self.known.get(address)
        if found is not None:
            return found[1]
        for at, (size, buffer, _) in self.known.items():
            if at <= address < at + size:
                return buffer
        return None

    def _step(self, operation: str, addresses: list[int]) -> None:
        """The first address is what was written, the others what was read or written too."""
        found = [self._find(address) for address in addresses]
        used = [buffer for buffer in found if buffer is not None]
        for buffer in found[:1]:
            if buffer is not None:
                used.append(self._role(operation, buffer))
        for buffer in used:
            buffer.name = buffer.name or self._once(operation)
        self.book.step(operation, *used)

    def _role(self, operation: str, buffer: Buffer) -> Buffer:
        """The value that an operation wrote there: the buffer itself, or another one in the same memory."""
        if buffer.made_by in ("", operation) or buffer.kind != "temporary":
            return buffer
        role = self.roles.get((id(buffer), operation))
        if role is None:
            role = self.book.share(self._once(operation), buffer.shape, buffer.kind, buffer)
            self.roles[id(buffer), operation] = role
        return role

    def _step_of_room(self, operation: str, room: one_pass.PassWorkspace) -> None:
        """A Model's pass in one call: the values that lie in its room are listed by their places."""
        whole = self._find(native.address_of(native.pointer(room.memory)))
        used = [] if whole is None else [whole, *self._values_in(room, whole)]
        for p in room.chain.parameters:
            for tensor in (p, p._g):
                found = None if tensor is None else self._find(_address(tensor._array))
                used += [] if found is None else [found]
        self.book.step(operation, *used)

    def _step_of_plan(self, operation: str, made: plan.Plan) -> None:
        arena, layout = made.arena, made.layout
        used = []
        for name, kind, array in (
            ("parameters", "parameters", arena.values),
            ("gradients", "gradients", arena.gradients),
            ("momentum", "momentum", arena.momentum),
            ("activations and their gradients", "activations", layout.values),
            ("workspace", "workspace", layout.workspace),
            ("a gathered batch", "workspace", layout.gathered),
        ):
            buffer = None if array is None else self._find(_address(array))
            if buffer is not None:
                buffer.name, buffer.kind = buffer.name or self._once(f"the plan's {name}"), kind
                used.append(buffer)
        self.book.step(operation, *used)

    def _values_in(self, room: one_pass.PassWorkspace, whole: Buffer) -> list[Buffer]:
        whole.name, whole.kind = whole.name or self._once("the room of a pass"), "activations"
        found = []
        for k, (stage, places) in enumerate(zip(room.chain.stages, room.places, strict=True), 1):
            shape = (room.n, stage.w.shape[1])
            for what, at in zip((f"l{k}", f"relu(l{k})", f"l{k}.g"), places, strict=True):
                if what.startswith("relu") and (stage.activation is None or at == places[0]):
                    continue
                key = (id(whole), f"{what} {shape}")
                if key not in self.roles:
                    self.roles[key] = self.book.share(self._once(what), shape, "activations", whole)
                found.append(self.roles[key])
        return found

    def _once(self, name: str) -> str:
        """name, or for a second one name 2."""
        count = self.names[name] = self.names.get(name, 0) + 1
        return name if count == 1 else f"{name} {count}"


def _products_of(room: one_pass.PassWorkspace, forward: bool) -> list[tuple[int, int, int]]:
    sizes = [stage.w.shape for stage in room.chain.stages]
    if forward:
        return [(room.n, m, h) for m, h in sizes]
    return [product for k, (m, h) in enumerate(sizes) for product in backward_products(room.n, m, h, k > 0)]


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
