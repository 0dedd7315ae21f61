"""The exception for data that cannot be used."""

from __future__ import annotations


class DataError(ValueError):
    """Raised for a file or array that is not what it should be. Names the file, the field, what was found and expected.

    A ValueError.
    """
