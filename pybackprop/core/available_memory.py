"""How much memory is still available, and the check before a large array is allocated.

The operating system may grant more memory than it has, and kill the process that then uses it. So an array
that cannot fit is refused before it is allocated, with an error that can be caught and that states what would fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pybackprop.core.errors import OutOfMemoryError
from pybackprop.core.units import bytes_text

LARGE = 2**26  # bytes; smaller arrays are not checked, to save time
MEMINFO, STATUS = Path("/proc/meminfo"), Path("/proc/self/status")
CGROUP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def available() -> int | None:
    """Bytes that this process may still allocate, as limited by machine, container and ulimit; None if unknown."""
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    meminfo = _table(MEMINFO)
    if "MemAvailable" in meminfo:
        yield meminfo["MemAvailable"]
    yield from _container()
    yield from _own_limit()


def _container() -> Iterator[int]:
    """What is left under the limits of this process's control group and all above it, in cgroups v1 or v2."""
    try:
        lines = CGROUP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        version_2 = controllers == ""
        if not version_2 and "memory" not in controllers.split(","):
            continue
        root = CGROUPS if version_2 else CGROUPS / "memory"
        names = ("memory.max", "memory.current") if version_2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        here = root / path.lstrip("/")
        for folder in [here, *here.parents]:
            limit, used = (_number(folder / name) for name in names)
            if limit is not None and used is not None:
                yield max(0, limit - used + _reclaimable(folder / "memory.stat"))
            if folder == root:
                break


def _reclaimable(stat: Path) -> int:
    """Bytes of cached files, which the system frees when the memory is needed."""
    try:
        pairs = dict(line.split() for line in stat.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(pairs.get("inactive_file", 0))


def _own_limit() -> Iterator[int]:
    """What is left under `ulimit -v`."""
    try:
        import resource
    except ImportError:
        return
    limit, used = resource.getrlimit(resource.RLIMIT_AS)[0], _table(STATUS).get("VmSize")
    if limit != resource.RLIM_INFINITY and used is not None:
        yield max(0, limit - used)


def _table(path: Path) -> dict[str, int]:
    """The lines 'Name:  123 kB' of a file, in bytes."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    parts = (line.split() for line in lines if line.endswith(" kB"))
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in parts}


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # also where it is "max": no limit
        return None


def check(what: str, needed: int, rows: int | None = None) -> None:
    """Raises OutOfMemoryError if fewer than `needed` bytes are available. rows: in the batch that needs them."""
    if needed < LARGE:
        return
    free = available()
    if free is None or needed <= free:
        return
    largest, fits = None, ""
    if rows:
        largest = rows * free // needed
        fits = f"; of {rows:,} rows, {largest:,} would fit"
    raise OutOfMemoryError(
        f"{what}: needs {bytes_text(needed)} ({needed:,} bytes), "
        f"and {bytes_text(free)} ({free:,} bytes) are available{fits}. "
        "Take fewer rows at a time; `pybackprop memory` shows what each way of computing a step needs",
        needed,
        free,
        largest,
    )
