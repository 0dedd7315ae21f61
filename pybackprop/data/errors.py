"""The exception for data that cannot be used."""

from __future__ import annotations


class DataError(ValueError):
    """Raised for an invalid file or array. Names the file, the field, what was found and expected.

    A ValueError.
    """
