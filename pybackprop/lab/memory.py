"""Arrays that end, or begin, at a page that nobody may touch."""

from __future__ import annotations

import mmap
from importlib import import_module
from math import prod
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.lab.operation import Argument, Operation, Sizes

FFI: Any = import_module("cffi").FFI
ffi = FFI()
ffi.cdef(
    """
    void *mmap(void *, size_t, int, int, int, intptr_t);
    int mprotect(void *, size_t, int);
    int munmap(void *, size_t);
    void *malloc(size_t);
    void free(void *);
    int fflush(void *);
    """
)
libc: Any = ffi.dlopen(None)
PAGE = mmap.PAGESIZE
GUARD = 256 * 1024  # bytes before and after: at least a page
END, START, HEAP = "end", "start", "heap"  # where an array touches its guard; HEAP: what AddressSanitizer guards
RUBBISH = 0xA5
READ, WRITE = 1, 2  # PROT_READ, PROT_WRITE


class Guarded:
    """An array of an argument, from mmap with guards, or from malloc.

    array     its elements
    address   of the first one
    """

    array: Array
    address: int

    def __init__(self, argument: Argument, sizes: Sizes, dtype: str, place: str) -> None:
        self.argument, self.place = argument, place
        shape = argument.of(sizes)
        self.nbytes = prod(shape) * np.dtype(dtype).itemsize
        self._allocate()
        memory = ffi.buffer(ffi.cast("char *", self.address), self.nbytes)
        self.array = np.frombuffer(memory, dtype).reshape(shape) if self.nbytes else np.empty(shape, dtype)

    def _allocate(self) -> None:
        if self.place == HEAP:
            self.base = libc.malloc(self.nbytes)
            self.address = int(ffi.cast("uintptr_t", self.base))
            if self.base == ffi.NULL:
                raise MemoryError(f"lab: no memory for {self.argument.name}: {self.nbytes:,} bytes")
            return
        self.pages = -(-max(self.nbytes, 1) // PAGE) * PAGE
        self.mapped = self.pages + 2 * GUARD
        self.base = libc.mmap(ffi.NULL, self.mapped, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        if int(ffi.cast("intptr_t", self.base)) == -1:
            raise MemoryError(f"lab: no memory for {self.argument.name}: {self.mapped:,} bytes")
        self.first = int(ffi.cast("uintptr_t", self.base)) + GUARD
        self._protect(READ | WRITE)
        ffi.memmove(ffi.cast("char *", self.first), bytes([RUBBISH]) * self.pages, self.pages)
        self.address = self.first + (self.pages - self.nbytes if self.place == END else 0)

    def _protect(self, allowed: int) -> None:
        if libc.mprotect(ffi.cast("void *", self.first), self.pages, allowed):
            raise OSError(f"lab: mprotect refused to protect {self.argument.name}")

    def read_only(self) -> None:
        """From now on a write ends the process, where there are guards."""
        if self.place != HEAP:
            self._protect(READ)

    def is_damaged(self) -> bool:
        """Whether the rest of its pages was written to."""
        if self.place == HEAP:
            return False
        rest = bytes(ffi.buffer(ffi.cast("char *", self.first), self.pages))
        before = self.address - self.first
        rest = rest[:before] + rest[before + self.nbytes :]
        return rest.count(RUBBISH) != len(rest)

    def free(self) -> None:
        """Gives the memory back; the array is gone."""
        if self.place == HEAP:
            libc.free(self.base)
        else:
            libc.munmap(self.base, self.mapped)


SECOND = 7.25  # what outputs are filled with in the second call


def fill(output: Array, number: int) -> None:
    """What an output holds before the call: a NaN that nobody computes, or SECOND."""
    output.view(f"u{output.dtype.itemsize}")[...] = pattern(output.dtype) if number == 0 else 0
    if number:
        output[...] = SECOND


def pattern(dtype: Any) -> int:
    """The bits of that NaN."""
    return 0x7FC5A5A5 if np.dtype(dtype).itemsize == 4 else 0x7FF8A5A5A5A5A5A5


def allocate(op: Operation, sizes: Sizes, dtype: str, place: str) -> dict[str, Guarded]:
    """All arrays of an operation, by name."""
    return {argument.name: Guarded(argument, sizes, dtype, place) for argument in op.arguments}
