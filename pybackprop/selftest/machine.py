"""Settings of a case: kernel, threads, the work for which one is used, and blocks. They change speed, never bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pybackprop.core import settings
from pybackprop.selftest.draw import Draw

THREADS = (1, 1, 2, 2, 3)
WORK = (None, 1, 1, 40, 1000)  # operations for each thread
TILES = (
    (None, None), (None, None), (4096, 8), (5000, 25), (4096, 2048), (8191, 13), (65536, 65), (524288, 512),
    (4194304, 16), (4194304, 2048),
)  # fmt: skip


@contextmanager
def kept() -> Iterator[None]:
    """Leaves the settings as they were."""
    kernel, threads, work, tiles = settings.kernel(), settings.threads(), settings.thread_work(), settings.tiles()
    try:
        yield
    finally:
        settings.use_kernel(kernel)
        settings.set_threads(threads)
        settings.set_thread_work(work)
        settings.set_tiles()
        if settings.tiles() != tiles:  # they were not those that this kernel has by itself
            settings.set_tiles(*tiles)


def choose(draw: Draw) -> None:
    """Other settings: also in the middle of a case, where nothing may depend on them."""
    kernel, threads = draw.one_of(settings.kernels()), draw.one_of(THREADS)
    work, tiles = draw.one_of(WORK), draw.one_of(TILES)
    settings.use_kernel(kernel)
    settings.set_threads(threads)
    settings.set_thread_work(work)
    settings.set_tiles(*tiles)
    told = f"kernel {kernel}, threads {threads}"
    told += "" if work is None else f", a thread for {work} operations"
    told += "" if tiles == (None, None) else f", tiles {tiles[0]},{tiles[1]}"
    draw.notes["settings"] = f"{draw.notes['settings']}; then {told}" if "settings" in draw.notes else told
