"""Formatting and parsing numbers with units: bytes, seconds, rates."""

from __future__ import annotations

BYTE_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB", "RB", "QB")
DECIMAL = {"": 1, "B": 1, "BYTE": 1, "BYTES": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
BINARY = {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def bytes_text(count: int) -> str:
    """Bytes in powers of ten, with three digits: 80 bytes, 2.56 kB, 7.84 GB."""
    if count < 1000:
        return f"{count} byte{'s' * (count != 1)}"
    factor, unit = byte_unit(count)
    # beyond the last unit three digits are not enough, and an exponent would be hard to read
    number = count / factor
    return f"{number:.3g} {unit}" if number < 999.5 else f"{number:,.0f} {unit}"


def threads_text(count: int) -> str:
    """1 thread, 2 threads."""
    return f"{count} thread{'s' * (count > 1)}"


def byte_unit(count: int) -> tuple[int, str]:
    """(factor, unit) with count / factor from 1 to 999 when rounded to three digits."""
    factor, unit = 1, "bytes"
    for larger in BYTE_UNITS:
        if count < 999.5 * factor:
            break
        factor, unit = factor * 1000, larger
    return factor, unit


def parse_bytes(text: int | str) -> int:
    """Bytes from a number or '2GB', '1.5 GiB', '512MB'. Raises ValueError for anything else, or fewer than 1."""
    if isinstance(text, str):
        word = text.strip().upper().replace("_", "")
        digits = word.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ").strip()
        factor = {**DECIMAL, **BINARY}.get(word[len(digits) :].strip())
        try:
            count = int(float(digits) * factor) if factor else 0
        except (ValueError, OverflowError):
            count = 0
    else:
        count = 0 if isinstance(text, bool) else int(text)
    if count < 1:
        raise ValueError(f"memory: found {text!r}, expected bytes: a whole number, or '2GB', '1.5GiB', '512MB'")
    return count


def megabytes_text(count: int) -> str:
    """Bytes as a number of MB, for a table's column whose header names the unit."""
    return f"{count / 10**6:.1f}"


def seconds_text(seconds: float) -> str:
    """A time in the unit that fits: 2.50 s, 31.4 ms, 0.120 µs."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 0.9995 or unit == "µs":
            break
    return f"{three_digits(seconds * factor)} {unit}"


def three_digits(number: float) -> str:
    """A measured number with three significant digits, more only before the point: 0.0123, 1.00, 98.7, 12345."""
    return f"{number:.0f}" if number >= 99.95 else f"{number:#.3g}"
