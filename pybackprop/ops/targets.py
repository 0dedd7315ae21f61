"""The targets of a classification: one label for each row, or a row of probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop.autograd.messages import describe
from pybackprop.autograd.tensor import Tensor, foreign
from pybackprop.core.arrays import Array, as_array
from pybackprop.core.errors import DTypeError, GradientError, ShapeError

NEAR_ONE = 1e-4  # how far from 1 the sum of a row of probabilities may be


def class_targets(operation: str, targ: Any, out: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
    """targ for outputs of shape out (n,h), as a tensor of their dtype: labels (n), or probabilities (n,h).

    Raises ShapeError for other shapes; ValueError for labels that are no whole numbers from 0 to h - 1, and for
    probabilities that are negative, not finite, or whose row does not add up to 1; DTypeError for probabilities of
    the other floating-point type; GradientError for targets with requires_g, as no gradient of theirs is computed.
    """
    if len(out) != 2:
        raise ShapeError(
            f"{operation}: out has shape {out}, expected (n,h), a row for each sample and a column for each class; "
            "one row is out[None]"
        )
    if 0 in out:
        raise ShapeError(f"{operation}: the mean of no rows is not defined; out has shape {out}")
    array = _array_of(operation, targ, dtype)
    if array.shape == out[:1]:
        _check_labels(operation, array, out, dtype)
        array = np.require(array, dtype, ["C", "A"])
    elif array.shape == out:
        _check_probabilities(operation, array, out, dtype)
    else:
        raise ShapeError(f"{operation}: found out {out} and targ {array.shape}{_hint(array.shape, out)}")
    return targ if isinstance(targ, Tensor) and targ._array is array else foreign(np.asarray(array))


def share_targets(operation: str, targ: Any, out: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
    """targ for outputs of shape out, as a tensor of their dtype and shape: numbers from 0 to 1, such as 0 and 1, or
    (n) where out is (n,1).

    Raises ShapeError for other shapes and for no elements, ValueError for other numbers and NaN, GradientError for
    targets with requires_g, as no gradient of theirs is computed.
    """
    if 0 in out:
        raise ShapeError(f"{operation}: the mean of no elements is not defined; out has shape {out}")
    array = _array_of(operation, targ, dtype)
    if array.shape != out and not (len(out) == 2 and out[1] == 1 and array.shape == out[:1]):
        hint = ": targ.T would fit" if array.shape == out[::-1] else ""
        raise ShapeError(f"{operation}: found out {out} and targ {array.shape}{hint}; each output has a target")
    fits = (array >= 0) & (array <= 1)
    if not fits.all():
        at = np.unravel_index(int(np.argmin(fits)), array.shape)
        place = ",".join(map(str, at))
        raise ValueError(
            f"{operation}: targ[{place}] is {array[at]:.17g}, expected numbers from 0 to 1: 0 and 1 are no and yes"
        )
    if array.dtype != dtype or array.shape != out:
        array = np.require(array, dtype, ["C", "A"]).reshape(out)
    return targ if isinstance(targ, Tensor) and targ._array is array else foreign(np.asarray(array))


def _array_of(operation: str, targ: Any, dtype: np.dtype[Any]) -> Array:
    """The numbers of targets. Raises GradientError for those with requires_g."""
    if isinstance(targ, Tensor) and targ.requires_g:
        raise GradientError(
            f"{operation}: {describe(targ)}, the targets, has requires_g, but no gradient of targets is computed; "
            "give targ.data"
        )
    return targ._array if isinstance(targ, Tensor) else as_array(targ, dtype, f"{operation}: targ")


def _hint(targ: tuple[int, ...], out: tuple[int, ...]) -> str:
    n, h = out
    if targ == (n, 1):
        return ": one label for each row is targ[:,0]"
    if targ == (h, n):
        return ": targ.T would fit"
    return f"; expected {n} labels, ({n},), or probabilities, {out}"


def _check_labels(operation: str, labels: Array, out: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    most = out[1] - 1
    if dtype.type(most) != most:
        raise ShapeError(f"{operation}: {out[1]:,} classes have no exact labels in {dtype}; use float64")
    fits = (labels >= 0) & (labels <= most)
    if not fits.all():
        at = int(np.argmin(fits))
        raise ValueError(
            f"{operation}: targ[{at}] is {labels[at]:.17g}, but out {out} has the classes 0 to {most}; labels are "
            "whole numbers from 0 on: np.unique(targ, return_inverse=True)[1] makes them of any values"
        )
    whole = labels == np.floor(labels)
    if not whole.all():
        at = int(np.argmin(whole))
        raise ValueError(
            f"{operation}: targ[{at}] is {labels[at]:.17g}, no whole number; targ ({len(labels)},) holds a label for "
            f"each row; probabilities have the shape of out, {out}"
        )


def _check_probabilities(operation: str, targ: Array, out: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if targ.dtype != dtype:
        raise DTypeError(
            f"{operation}: the dtypes differ: out {out} {dtype}, targ {targ.shape} {targ.dtype}. Convert with "
            ".float(), .double() or .astype()"
        )
    fits = targ >= 0
    if not fits.all():
        row, column = np.unravel_index(int(np.argmin(fits)), targ.shape)
        raise ValueError(
            f"{operation}: targ[{row},{column}] is {targ[row, column]:g}, expected probabilities from 0 to 1, "
            "or a label for each row"
        )
    sums = targ.sum(1, dtype=np.float64)
    fits = np.abs(sums - 1) <= NEAR_ONE
    if not fits.all():
        i = int(np.argmin(fits))
        raise ValueError(
            f"{operation}: row {i} of targ adds up to {sums[i]:g}, expected 1, as probabilities do; "
            "targ / targ.sum(1, keepdims=True) makes it so"
        )
