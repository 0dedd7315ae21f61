"""Capacity: how much memory there still is, asked before a large piece of it is taken.

An operating system promises more than it has, and kills whoever takes the promise at its word. So a large array is
refused beforehand, with an error that can be caught and that says what would fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pybackprop.core.errors import OutOfMemoryError

LARGE = 2**26  # bytes from which it is worth asking; below, the answer would cost more than it tells
MEMINFO, STATUS = Path("/proc/meminfo"), Path("/proc/self/status")
CGROUP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
BINARY = {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def available() -> int | None:
    """Bytes that this process may still take: of the machine, its container, its own limit; None if nobody knows."""
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    meminfo = _table(MEMINFO)
    if "MemAvailable" in meminfo:
        yield meminfo["MemAvailable"]
    yield from _container()
    yield from _own_limit()


def _container() -> Iterator[int]:
    """What is left of the container's share, in either version of Linux's control groups, and of those around it."""
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
    """Pages of files that were read, which the system gives back when somebody needs them."""
    try:
        pairs = dict(line.split() for line in stat.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(pairs.get("inactive_file", 0))


def _own_limit() -> Iterator[int]:
    """What `ulimit -v` leaves."""
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
    except (OSError, ValueError):  # also "max": there is no limit
        return None


def check(what: str, needed: int, rows: int | None = None) -> None:
    """Raises OutOfMemoryError if so many bytes are more than there are; rows: in the batch that needs them."""
    if needed < LARGE:
        return
    found = available()
    if found is None or needed <= found:
        return
    largest, fits = None, ""
    if rows:
        largest = rows * found // needed
        fits = f"; of {rows:,} rows, {largest:,} would fit"
    raise OutOfMemoryError(
        f"{what}: needs {said(needed)} ({needed:,} bytes), and {said(found)} ({found:,} bytes) are available{fits}. "
        "Take fewer rows at a time; `pybackprop memory` shows what each way of computing a step needs",
        needed,
        found,
        largest,
    )


def said(count: int) -> str:
    """Bytes as people say them, in powers of ten: 7.84 GB."""
    size, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB", "PB", "EB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{count} bytes" if unit == "bytes" else f"{size:.3g} {unit}"


def read(text: int | str) -> int:
    """Bytes from a number or '2GB', '1.5 GiB', '512MB'. Raises ValueError for anything else, or fewer than 1."""
    if isinstance(text, str):
        word = text.strip().upper().replace("_", "")
        digits = word.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ").strip()
        factor = {**UNITS, **BINARY}.get(word[len(digits) :].strip())
        try:
            found = int(float(digits) * factor) if factor else 0
        except (ValueError, OverflowError):
            found = 0
    else:
        found = 0 if isinstance(text, bool) else int(text)
    if found < 1:
        raise ValueError(f"memory: found {text!r}, expected bytes: a whole number, or '2GB', '1.5GiB', '512MB'")
    return found
