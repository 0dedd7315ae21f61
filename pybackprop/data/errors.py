"""The error for data that cannot be used."""

from __future__ import annotations


class DataError(ValueError):
    """A file or array that is not as it should be: names the file, the field, what was found and what was expected."""
