"""A ledger of a real run: what this library allocated, used and freed, as reported by core/observer.py."""

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
from pybackprop.engine.one_pass import PassWorkspace
from pybackprop.engine.placement import backward_products, packed_bytes
from pybackprop.engine.plan import Plan
from pybackprop.memory.buffers import PASS, Buffer, BufferLog
from pybackprop.memory.predict_plan import kept_name
from pybackprop.memory.views import Ledger


@contextmanager
def ledger(title: str = "what our code made") -> Iterator[Ledger]:
    """`with bp.ledger() as led:` counts the arrays that this library allocates in the block, in any thread.

    Its buffers are results, gradients and a plan's memory that are allocated in the block; not what existed before, and
    not what numpy allocates and frees within one operation. So the `.g` of a first backward pass count, but a second
    pass reuses them. Views are not buffers; a value written into another one's memory is listed as sharing it.
    led is complete after the block. Several ledgers can be open at once: each records everything.
    """
    recorder = Recorder()
    _open.join(recorder)
    try:
        yield Ledger(title, recorder.log)
    finally:
        _open.leave(recorder)
        recorder.close()


class OpenRecorders:
    """All open recorders; they may be opened and closed in any order and thread. While there are any, the observer."""

    lock: threading.Lock

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

    def ran_pass(self, operation: str, workspace: PassWorkspace) -> None:
        for recorder in self.recorders:
            recorder.ran_pass(operation, workspace)

    def ran_plan(self, operation: str, plan: Plan) -> None:
        for recorder in self.recorders:
            recorder.ran_plan(operation, plan)


_open = OpenRecorders()


class Recorder:
    """Logs the arrays and operations that the observer reports, and when arrays are freed.

    A buffer is identified by the address of the array that owns its memory.
    """

    log: BufferLog
    lock: Any
    open: bool

    def __init__(self) -> None:
        self.log = BufferLog(counts_held=True)
        self.lock = (
            threading.RLock()
        )  # reentrant: an array may be freed at any moment, even while another one is being added
        self.known: dict[int, tuple[int, Buffer, Any]] = {}  # by address: size, buffer, weak reference to the owner
        self.roles: dict[tuple[int, str], Buffer] = {}  # values by their buffer and the operation that wrote them
        self.names: dict[str, int] = {}
        self.open = True

    # ---- reports from the observer ----

    def allocated(self, array: Array) -> None:
        """An array was allocated for the next operation."""
        with self.lock:
            self._enter(array, "", "temporary")

    def named(self, array: Array, name: str, kind: str) -> None:
        """An array was given a name."""
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

    def ran_pass(self, operation: str, workspace: PassWorkspace) -> None:
        with self.lock:
            products = _products_of(workspace, operation.endswith("forward"))
            with self._packed(operation, products, workspace.chain.dtype):
                self._step_of_pass(operation, workspace)

    def ran_plan(self, operation: str, plan: Plan) -> None:
        with self.lock:
            self._step_of_plan(operation, plan)

    def close(self) -> None:
        with self.lock:
            self.log.close()
            self.open = False

    # ---- logging ----

    @contextmanager
    def _packed(self, operation: str, products: Sequence[Product], dtype: Any) -> Iterator[None]:
        """Logs the workspace in which the C core packed the products' operands, at its largest; it is already freed."""
        nbytes = packed_bytes(products, dtype) if products else 0
        packed = self.log.make("packed operands", (nbytes,), "workspace", np.uint8) if nbytes else None
        yield
        if packed is not None:
            packed.made_by, packed.first_use, packed.last_use = operation, packed.made, packed.made
            self.log.free(packed)

    def _enter(self, array: Array, name: str, kind: str) -> None:
        owner: Any = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        at = _address(owner)
        self._freed(at)  # an earlier buffer at this address must have been freed unnoticed
        buffer = self.log.make(name, array.shape, kind, array.dtype, array.nbytes)
        self.known[at] = (owner.nbytes, buffer, weakref.ref(owner, partial(self._forget, at)))

    def _forget(self, at: int, reference: Any) -> None:
        """The array that owned this memory was freed."""
        if self.known.get(at, (0, None, None))[2] is reference:
            self._freed(at)

    def _freed(self, at: int) -> None:
        with self.lock:
            _, buffer, _ = self.known.pop(at, (0, None, None))
            if buffer is not None and self.open:
                buffer.name = buffer.name or self._once("tensor")
                self.log.free(buffer)

    def _find(self, address: int) -> Buffer | None:
        if address in self.known:
            return self.known[address][1]
        for start, (size, buffer, _) in self.known.items():
            if start <= address < start + size:
                return buffer
        return None

    def _step(self, operation: str, addresses: list[int]) -> None:
        """The first address was written, the others were read or written."""
        buffers = [self._find(address) for address in addresses]
        used = [buffer for buffer in buffers if buffer is not None]
        if buffers and buffers[0] is not None:
            used.append(self._role(operation, buffers[0]))
        for buffer in used:
            buffer.name = buffer.name or self._once(operation)
        self.log.step(operation, *used)

    def _role(self, operation: str, buffer: Buffer) -> Buffer:
        """The value that an operation wrote there: the buffer itself, or another value in the same memory."""
        if buffer.made_by in ("", operation) or buffer.kind != "temporary":
            return buffer
        role = self.roles.get((id(buffer), operation))
        if role is None:
            role = self.log.share(self._once(operation), buffer.shape, buffer.kind, buffer)
            self.roles[id(buffer), operation] = role
        return role

    def _step_of_pass(self, operation: str, workspace: PassWorkspace) -> None:
        """A Model's pass in one call, with the values in its workspace."""
        owner = self._find(native.address_of(native.pointer(workspace.memory)))
        used = [] if owner is None else [owner, *self._values_in(workspace, owner)]
        tensors = [tensor for p in workspace.chain.parameters for tensor in (p, p._g) if tensor is not None]
        known = [self._find(_address(tensor._array)) for tensor in tensors]
        self.log.step(operation, *used, *(buffer for buffer in known if buffer is not None))

    def _step_of_plan(self, operation: str, plan: Plan) -> None:
        arena, layout = plan.arena, plan.layout
        used = []
        for name, kind, array in (
            ("parameters", "parameters", arena.values),
            ("gradients", "gradients", arena.gradients),
            *((kept_name(name), "momentum", array) for name, array in arena.kept.items()),
            ("activations and their gradients", "activations", layout.values),
            ("workspace", "workspace", layout.workspace),
            ("a gathered batch", "workspace", layout.gathered),
            ("copies of the parameters for fit", "workspace", layout.copies),
            *((name, "workspace", array) for name, array in plan.for_ranks.items()),
        ):
            buffer = self._find(_address(array))
            if buffer is not None:
                buffer.name, buffer.kind = buffer.name or self._once(f"the plan's {name.removeprefix('the ')}"), kind
                used.append(buffer)
        self.log.step(operation, *used)

    def _values_in(self, workspace: PassWorkspace, owner: Buffer) -> list[Buffer]:
        owner.name, owner.kind = owner.name or self._once(PASS), "activations"
        values = []
        for k, (stage, (z, a, _)) in enumerate(zip(workspace.chain.stages, workspace.places, strict=True), 1):
            names = [f"l{k}", f"l{k}.g"]
            if stage.activation is not None and a != z:
                names.insert(1, f"{stage.activation.name}(l{k})")
            values += [self._value(name, (workspace.n, stage.w.shape[1]), owner) for name in names]
        return values

    def _value(self, name: str, shape: tuple[int, ...], owner: Buffer) -> Buffer:
        """A value in the workspace of a pass: one buffer for all passes of the same shape."""
        key = (id(owner), f"{name} {shape}")
        if key not in self.roles:
            self.roles[key] = self.log.share(self._once(name), shape, "activations", owner)
        return self.roles[key]

    def _once(self, name: str) -> str:
        """A unique name: name, then "name 2", and so on."""
        count = self.names[name] = self.names.get(name, 0) + 1
        return name if count == 1 else f"{name} {count}"


def _products_of(workspace: PassWorkspace, forward: bool) -> list[Product]:
    n, sizes = workspace.n, [stage.w.shape for stage in workspace.chain.stages]
    if forward:
        return [(n, m, h) for m, h in sizes]
    return [product for k, (m, h) in enumerate(sizes) for product in backward_products(n, m, h, k > 0)]


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
