"""What is wrong with data."""

from __future__ import annotations


class DataError(ValueError):
    """A file or array that is not what it should be: names the file, the field, what was found and expected."""
