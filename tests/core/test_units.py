"""How bytes and seconds are written: one way for the whole project."""

import re
from pathlib import Path

import pytest

import pybackprop
from pybackprop.core import units


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (2560, "2.56 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (999_600, "1 MB"),
        (7_840_000_000, "7.84 GB"),
        (10**18, "1 EB"),
        (10**21, "1 ZB"),
        (10**34, "10,000 QB"),
    ],
)
def test_bytes(count, text):
    assert units.bytes_text(count) == text


def test_no_number_of_bytes_has_an_exponent():
    for power in range(60):
        for digits in (1, 994, 995, 999, 9994, 9995, 9996, 9999, 99949, 99951):
            text = units.bytes_text(digits * 10**power)
            assert re.fullmatch(r"[\d.,]+ (byte|bytes|[kMGTPEZYRQ]B)", text), text


def test_what_is_written_can_be_read():
    for count in (7, 42_000, 157_000_000, 7_840_000_000):
        assert units.parse_bytes(units.bytes_text(count)) == count


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2.0, "2.00 s"),
        (0.99999, "1.00 s"),
        (0.0123, "12.3 ms"),
        (0.123, "123 ms"),
        (4.56e-7, "0.456 µs"),
        (99.96, "100 s"),
    ],
)
def test_seconds(seconds, text):
    assert units.seconds_text(seconds) == text


def test_nobody_else_divides_bytes_into_megabytes():
    """A second way to print bytes was once here, and said 1e+03 KB."""
    folder = Path(pybackprop.__file__).parent
    for path in folder.rglob("*.py"):
        if path.name != "units.py":
            assert not re.search(r"/ 1e6:|/ 1e9:|\bKB\b", path.read_text("utf-8")), path
