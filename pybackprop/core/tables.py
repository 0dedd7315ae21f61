"""Tables and columns of pandas and polars whose array is one of Python objects. Neither library is loaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pybackprop.core.errors import DTypeError

MOST_NAMED = 5  # columns in a message


def numbers_of(value: Any, array: npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
    """The numbers of a table or column with missing values, which become NaN; array for what is neither.

    Raises DTypeError, naming the columns, for a table with columns that hold no numbers.
    """
    columns, dtypes = getattr(value, "columns", None), getattr(value, "dtypes", None)
    if columns is not None and dtypes is not None:
        others = [f"{name!r} ({dtype})" for name, dtype in zip(columns, dtypes, strict=False) if not _is_real(dtype)]
        if others:
            more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
            raise DTypeError(
                f"{what}: the columns {', '.join(others[:MOST_NAMED])}{more} hold no numbers; select those that do, or "
                "encode them: bp.data.read does for files"
            )
    elif not _is_real(getattr(value, "dtype", None)) or not hasattr(value, "to_numpy"):
        return array
    try:
        return np.asarray(value.to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError):
        return array


def _is_real(dtype: Any) -> bool:
    """Whether a dtype of pandas or polars is of real numbers."""
    is_numeric = getattr(dtype, "is_numeric", None)
    if callable(is_numeric):  # polars, which counts truth values apart
        return bool(is_numeric()) or str(dtype) == "Boolean"
    return getattr(dtype, "kind", "") in tuple("fiub")
