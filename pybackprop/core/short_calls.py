"""Calls of the C core without cffi's conversion of each argument: see csrc/call.c.

The extension is optional. Without it, or with PYBACKPROP_SHORT_CALLS=0, the same functions are called through cffi:
slower by a microsecond, with the same bits and the same errors.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from pybackprop.core import native

VARIABLE = "PYBACKPROP_SHORT_CALLS"

try:
    from pybackprop._call import Prepared
except ImportError:  # PyPy, a build without a GIL, a compiler that could not build it
    Prepared = None  # type: ignore[assignment, misc]


def wanted() -> bool:
    """What the environment says. Raises ValueError for anything but 0 and 1."""
    setting = os.environ.get(VARIABLE, "")
    if setting not in ("", "0", "1"):
        raise ValueError(f"{VARIABLE}: found {setting!r}, expected 0 or 1")
    return setting != "0"


on: bool = Prepared is not None and wanted()


def prepared(
    name: str,
    plan: Any,
    moves: bool,
    sizes: tuple[int, int, int],
    types: tuple[type, np.dtype[Any]],
    watched: tuple[tuple[Any, str, Any], ...],
    refused: tuple[Any, ...],
    versions: tuple[Any, ...],
    kept: Any,
) -> Callable[..., float | None] | None:
    """plan_step or plan_grads of a bp_plan as a short call; None where there are none.

    The call takes (x, targ, lr, momentum) or (x, targ, accumulate) and gives the loss; or None, with nothing done, if
    x or targ is not exactly what C can read, or anything else is not as it is now.

    moves     whether momentum is not 0
    sizes     (most rows, inputs, outputs)
    types     (the type of tensors, the dtype of the data)
    watched   (object, name, value): attributes that must stay the same objects, lists and dicts equal ones
    refused   objects that x must not be
    versions  counters of writes, to which the call adds 1; a step also notes itself there as the last operation
    kept      what C's pointers point into
    """
    if not on:
        return None
    tensor, dtype = types[0], native.FLOAT32 if types[1] == native.FLOAT32 else native.FLOAT64
    probe = np.zeros((2, 6), dtype)[:, ::2]
    address = probe.__array_interface__["data"][0]
    function = native.function_address(f"bp_{name}_{'f32' if dtype == native.FLOAT32 else 'f64'}")
    try:
        call = Prepared(
            function,
            native.address_of(plan),
            name == "plan_step",
            dtype == native.FLOAT64,
            moves,
            sizes,
            (tensor, np.ndarray, dtype),
            (probe, address),
            watched,
            refused,
            versions,
            name.replace("_", "."),
            native.check,
            (plan, kept),
        )
    except TypeError:  # objects that are laid out otherwise than the extension can read
        return None
    run: Callable[..., float | None] = call.run
    return run
