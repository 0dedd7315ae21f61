"""A ledger of a real run: what our code made, used and let go, as it happened."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np

from pybackprop.core import arrays as convert
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.engine import one_pass, plan
from pybackprop.memory import border
from pybackprop.memory.buffers import PASS, Buffer, BufferLog
from pybackprop.memory.views import Ledger
from pybackprop.nn.network import backward_products, packed_bytes


@contextmanager
def ledger(title: str = "what our code made") -> Iterator[Ledger]:
    """`with bp.ledger() as led:` counts the arrays that our code makes in the block, in any thread.

    Buffers are what was made in there: results, gradients, a plan's memory; not what was there before, and not what
    numpy or the C core take and give back within one operation. So a first backward's `.g` count, a second one finds
    them there. Views are no buffers; what is written into the memory of another value is listed as sharing it.
    led is complete after the block. Ledgers may be open at the same time: each hears of everything.
    """
    watch = Watch()
    _crowd.join(watch)
    try:
        yield Ledger(title, watch.log)
    finally:
        _crowd.leave(watch)
        watch.close()


class Crowd:
    """All ledgers that are open, in whatever order and thread they come and go."""

    def __init__(self) -> None:
        self.watches: list[Watch] = []
        self.lock = threading.Lock()
        self.border = ExitStack()

    def join(self, watch: Watch) -> None:
        with self.lock:
            if not self.watches:
                self.border.enter_context(border.watched(self.told))
            self.watches = [*self.watches, watch]
            convert.watcher = self

    def leave(self, watch: Watch) -> None:
        with self.lock:
            self.watches = [one for one in self.watches if one is not watch]
            if not self.watches:
                convert.watcher = None
                self.border.close()

    def made(self, array: Array) -> None:
        for watch in self.watches:
            watch.made(array)

    def called(self, array: Array, name: str, kind: str) -> None:
        for watch in self.watches:
            watch.called(array, name, kind)

    def computed(self, operation: str, out: Any, inputs: Sequence[Any]) -> None:
        for watch in self.watches:
            watch.computed(operation, out, inputs)

    def told(self, operation: str, args: tuple[Any, ...], dtype: Any) -> None:
        for watch in self.watches:
            watch.told(operation, args, dtype)


_crowd = Crowd()


class Watch:
    """Hears of arrays when they are made (convert.py), of operations, and of arrays that go.

    A buffer is known by the address of the array that owns its memory.
    """

    def __init__(self) -> None:
        self.log = BufferLog(counts_held=True)
        self.lock = threading.RLock()  # an array may go at any moment, also while another one is entered
        self.known: dict[int, tuple[int, Buffer, Any]] = {}  # by address: size, buffer, weak reference to its owner
        self.roles: dict[tuple[int, str], Buffer] = {}  # values by their buffer and who wrote them
        self.names: dict[str, int] = {}
        self.open = True

    # ---- what convert, tape and tensors tell ----

    def made(self, array: Array) -> None:
        """An array was made for an operation that is to come."""
        with self.lock:
            self._enter(array, "", "temporary")

    def called(self, array: Array, name: str, kind: str) -> None:
        """It has a name now."""
        with self.lock:
            buffer = self._find(_address(array))
            if buffer is not None:
                buffer.name, buffer.kind = self._once(name), kind

    def computed(self, operation: str, out: Any, inputs: Sequence[Any]) -> None:
        """numpy computed out from inputs; if the C core did, it has been told already."""
        with self.lock:
            arrays = [value for value in (_array_of(part) for part in (out, *inputs)) if value is not None]
            if arrays and not self._was_told(arrays[0]):
                if arrays[0].base is None and self._find(_address(arrays[0])) is None:
                    self._enter(arrays[0], "", "temporary")
                self._step(operation, [_address(array) for array in arrays], views=arrays[0].base is not None)

    def told(self, operation: str, args: tuple[Any, ...], dtype: Any) -> None:
        """An operation was done: see border.py."""
        with self.lock:
            room = self._packed(operation, args, dtype)
            if args and isinstance(args[0], one_pass.Room):
                self._step_of_room(operation, args[0])
            elif args and isinstance(args[0], plan.Plan):
                self._step_of_plan(operation, args[0])
            else:
                self._step(operation, [native.address_of(arg) for arg in args if native.is_pointer(arg)])
            if room is not None:
                room.made_by, room.first_use, room.last_use = operation, room.made, room.made
                self.log.free(room)

    def close(self) -> None:
        with self.lock:
            self.log.close()
            self.open = False

    # ---- how it is entered ----

    def _packed(self, operation: str, args: tuple[Any, ...], dtype: Any) -> Buffer | None:
        """What the C core took to pack a product's operands, at most, and has given back."""
        if args and isinstance(args[0], one_pass.Room):
            nbytes = packed_bytes(_products_of(args[0], operation.endswith("forward")), args[0].chain.dtype)
        elif dtype is not None and operation.startswith(("lin", "@")):
            sizes = [arg for arg in args if isinstance(arg, int) and not isinstance(arg, bool)]
            nbytes = packed_bytes([_product(operation, *sizes[-3:])], dtype) if len(sizes) >= 3 else 0
        else:
            nbytes = 0
        return self.log.make("packed operands", (nbytes,), "workspace", np.uint8) if nbytes else None

    def _enter(self, array: Array, name: str, kind: str) -> None:
        owner: Any = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        at = _address(owner)
        self._gone(at)  # else somebody else's memory lies where ours did, and we were not told
        buffer = self.log.make(name, array.shape, kind, array.dtype, array.nbytes)
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
                self.log.free(found[1])

    def _find(self, address: int) -> Buffer | None:
        found = self.known.get(address)
        if found is not None:
            return found[1]
        for at, (size, buffer, _) in self.known.items():
            if at <= address < at + size:
                return buffer
        return None

    def _was_told(self, array: Array) -> bool:
        """Whether the last step wrote this."""
        buffer, steps = self._find(_address(array)), self.log.steps
        return buffer is not None and bool(steps) and buffer.last_use == steps[-1].number

    def _step(self, operation: str, addresses: list[int], views: bool = False) -> None:
        """The first address is what was written, the others what was read or written too."""
        found = [self._find(address) for address in addresses]
        used = [buffer for buffer in found if buffer is not None]
        if views:
            return
        for buffer in found[:1]:
            if buffer is not None:
                used.append(self._role(operation, buffer))
        for buffer in used:
            buffer.name = buffer.name or self._once(operation)
        self.log.step(operation, *used)

    def _role(self, operation: str, buffer: Buffer) -> Buffer:
        """The value that an operation wrote there: the buffer itself, or another one in the same memory."""
        if buffer.made_by in ("", operation) or buffer.kind != "temporary":
            return buffer
        role = self.roles.get((id(buffer), operation))
        if role is None:
            role = self.log.share(self._once(operation), buffer.shape, buffer.kind, buffer)
            self.roles[id(buffer), operation] = role
        return role

    def _step_of_room(self, operation: str, room: one_pass.Room) -> None:
        """A Model's pass in one call: the values that lie in its room are listed by their places."""
        whole = self._find(native.address_of(native.pointer(room.memory)))
        used = [] if whole is None else [whole, *self._values_in(room, whole)]
        for p in room.chain.parameters:
            for tensor in (p, p._g):
                found = None if tensor is None else self._find(_address(tensor._array))
                used += [] if found is None else [found]
        self.log.step(operation, *used)

    def _step_of_plan(self, operation: str, made: plan.Plan) -> None:
        arena, layout = made.arena, made.layout
        used = []
        for name, kind, array in (
            ("parameters", "parameters", arena.values),
            ("gradients", "gradients", arena.gradients),
            ("momentum", "momentum", arena.momentum),
            ("activations and their gradients", "activations", layout.memory),
            ("workspace", "workspace", layout.scratch),
            ("a gathered batch", "workspace", layout.gathered),
        ):
            buffer = None if array is None else self._find(_address(array))
            if buffer is not None:
                buffer.name, buffer.kind = buffer.name or self._once(f"the plan's {name}"), kind
                used.append(buffer)
        self.log.step(operation, *used)

    def _values_in(self, room: one_pass.Room, whole: Buffer) -> list[Buffer]:
        whole.name, whole.kind = whole.name or self._once(PASS), "activations"
        found = []
        for k, (stage, places) in enumerate(zip(room.chain.stages, room.places, strict=True), 1):
            shape = (room.n, stage.w.shape[1])
            for what, at in zip((f"l{k}", f"relu(l{k})", f"l{k}.g"), places, strict=True):
                if what.startswith("relu") and (stage.relu is None or at == places[0]):
                    continue
                key = (id(whole), f"{what} {shape}")
                if key not in self.roles:
                    self.roles[key] = self.log.share(self._once(what), shape, "activations", whole)
                found.append(self.roles[key])
        return found

    def _once(self, name: str) -> str:
        """name, or for a second one name 2."""
        count = self.names[name] = self.names.get(name, 0) + 1
        return name if count == 1 else f"{name} {count}"


def _products_of(room: one_pass.Room, forward: bool) -> list[tuple[int, int, int]]:
    sizes = [stage.w.shape for stage in room.chain.stages]
    if forward:
        return [(room.n, m, h) for m, h in sizes]
    return [product for k, (m, h) in enumerate(sizes) for product in backward_products(room.n, m, h, k > 0)]


def _product(operation: str, n: int, m: int, h: int) -> tuple[int, int, int]:
    """(rows, inner, cols) of what an operation multiplies, from the sizes that C was given."""
    if operation == "lin_grad: inp.g":
        return n, h, m
    return (m, n, h) if operation.startswith("lin_grad") else (n, m, h)


def _array_of(value: Any) -> Array | None:
    array = getattr(value, "_array", getattr(value, "data", None))
    return array if isinstance(array, np.ndarray) else None


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
