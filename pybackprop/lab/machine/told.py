"""What the system and the processor say about caches and address translation, where they do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pybackprop.core.native import cpuid

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
CPUINFO = Path("/proc/cpuinfo")
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
USUAL = ((1, 32 * 1024), (2, 1024 * 1024), (3, 16 * 1024 * 1024))  # where nobody says
KINDS = {1: "data", 2: "instruction", 3: "unified"}  # of a TLB, in cpuid
UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "": 1}


def caches(folder: Path = CACHES) -> list[dict[str, Any]]:
    """Data and unified caches: level, bytes, ways, line (bytes), processors that share it. Empty: the system is mum."""
    found = []
    for index in sorted(folder.glob("index*")):
        try:
            texts = {name: (index / name).read_text().strip() for name in ("level", "type", "size")}
            if texts["type"] != "Instruction":
                found.append({"level": int(texts["level"]), "bytes": size_of(texts["size"]), **_more(index)})
        except (OSError, ValueError):
            continue
    return sorted(found, key=lambda cache: int(cache["level"]))


def _more(index: Path) -> dict[str, Any]:
    names = {"ways": "ways_of_associativity", "line": "coherency_line_size", "shared": "shared_cpu_list"}
    found: dict[str, Any] = {}
    for name, file in names.items():
        try:
            text = (index / file).read_text().strip()
            found[name] = text if name == "shared" else int(text)
        except (OSError, ValueError):
            found[name] = None
    return found


def size_of(text: str) -> int:
    """Bytes of '48K' or '2M'. Raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    if not match or not int(match[1]):
        raise ValueError(f"found {text!r}, expected a size such as 48K")
    return int(match[1]) * UNITS[match[2]]


def level_bytes(level: int, known: list[dict[str, Any]] | None = None) -> int:
    """The size of a level's cache, or a usual one if nobody says."""
    sizes = {cache["level"]: int(cache["bytes"]) for cache in (caches() if known is None else known)}
    return sizes.get(level) or dict(USUAL)[level]


def tlbs() -> list[dict[str, Any]]:
    """Translation buffers: level, kind, pages ('4K' and so on), entries. From cpuid; empty where it does not tell."""
    return [*_intel_tlbs(), *_amd_tlbs()]


def _intel_tlbs() -> Iterator[dict[str, Any]]:
    first = cpuid(0x18)
    for subleaf in range(1, (first[0] if first else 0) + 1):
        _, b, c, d = cpuid(0x18, subleaf) or (0, 0, 0, 0)
        if d & 31 in KINDS:
            sizes = [name for bit, name in enumerate(("4K", "2M", "4M", "1G")) if b >> bit & 1]
            yield {"level": d >> 5 & 7, "kind": KINDS[d & 31], "pages": "/".join(sizes), "entries": (b >> 16) * c}


def _amd_tlbs() -> Iterator[dict[str, Any]]:
    for level, leaf, shift in ((1, 0x80000005, 16), (2, 0x80000006, 16)):
        _, b, _, _ = cpuid(leaf) or (0, 0, 0, 0)
        entries = b >> shift & (0xFF if level == 1 else 0xFFF)
        if entries:
            yield {"level": level, "kind": "data", "pages": "4K", "entries": entries}


def huge_pages(file: Path = HUGE_PAGES) -> str | None:
    """When Linux uses large pages: always, madvise or never; None: unknown."""
    try:
        match = re.search(r"\[(\w+)\]", file.read_text())
    except OSError:
        return None
    return match[1] if match else None


def is_virtual(file: Path = CPUINFO) -> bool:
    """Whether the processor says that it is a virtual machine's."""
    try:
        return " hypervisor" in file.read_text()
    except OSError:
        return False
