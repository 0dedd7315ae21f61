"""Calls of the C core without cffi's conversion of each argument: see csrc/call.c.

The extension is optional. Without it, or with PYBACKPROP_SHORT_CALLS=0, the same functions are called through cffi:
slower by a microsecond, with the same bits and the same errors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from pybackprop.core import native
from pybackprop.core.arrays import Array

VARIABLE = "PYBACKPROP_SHORT_CALLS"
Watched: TypeAlias = "tuple[tuple[Any, str, Any], ...]"  # (object, name, value)

try:
    from pybackprop._call import FUNCTIONS, Eager, Passes, Prepared, Watch, Writer
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
    watched: Watched,
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
            _probe(dtype),
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


def watch(items: tuple[Any, ...], watched: Watched) -> Callable[[Sequence[Any]], bool]:
    """A function that says whether a sequence still consists of these items, and nothing else has changed.

    watched: (object, name, value): attributes that must stay the same objects, lists and dicts equal ones; a value that
    is an int is the size of a dict.
    """
    return Watch(items, watched).same if on else partial(_is_same, items, watched)


def _is_same(items: tuple[Any, ...], watched: Watched, sequence: Sequence[Any]) -> bool:
    if len(sequence) != len(items) or any(now is not item for now, item in zip(sequence, items, strict=True)):
        return False
    for owner, name, value in watched:
        now = getattr(owner, name, _is_same)
        if now is value or (type(value) is int and isinstance(now, dict) and len(now) == value):
            continue
        if type(value) not in (list, dict) or type(now) is not type(value) or now != value:
            return False
    return True


def writer(
    name: str,
    call: tuple[np.dtype[Any], Any, int],
    watched: Watched,
    written: tuple[Any, ...],
    modules: tuple[dict[str, Any], dict[str, Any], dict[str, Any]],
    operation: str,
    kept: Any,
    moves: bool = False,
    tensors: tuple[Any, ...] = (),
    read: tuple[Any, ...] = (),
    used: list[int] | None = None,
    optimizer: Any = None,
) -> Any:
    """optimizer_step or chain_backward as a short call; None where there are none.

    The methods of the result are update(tensors, lr, momentum), which gives True, and backward(x, targ, n, accumulate),
    with the arrays that forward has read, which gives C's status. Both give None, with nothing done, if anything
    watched has changed; update also if the tensors are others, an array of theirs is read-only, momentum begins or
    ends, or a gradient was not written since the last update.

    name, call  of C's function; (dtype, what it takes, how many of these)
    watched     as for `prepared`
    written     versions, to which the call adds 1 and notes the operation
    modules     the variables of core.observer, autograd.versions and autograd.tape
    optimizer   an update's bp_optimizer
    read, used  versions of gradients; what they were at the last update, and then `walks` of the tape, kept up to date
    """
    if not on:
        return None
    dtype, takes, count = call
    function = native.function_address(f"bp_{name}_{'f32' if dtype == native.FLOAT32 else 'f64'}")
    numbers = 0 if optimizer is None else native.address_of(optimizer)
    given = function, native.address_of(takes), count, numbers, dtype == native.FLOAT64, moves
    arrays = tuple(tensor._array for tensor in tensors)
    counted = watched, written, read, [] if used is None else used
    try:
        return Writer(*given, tensors, arrays, *counted, *modules, operation, (takes, kept, optimizer))
    except TypeError:  # objects that are laid out otherwise than the extension can read
        return None


def passes(
    call: tuple[np.dtype[Any], Any, int],
    sizes: tuple[int, int],
    classes: tuple[tuple[type, ...], tuple[type, ...]],
    own: tuple[type, ...],
    model: tuple[tuple[Any, ...], Watched, tuple[Any, ...], Any, bool],
    modules: tuple[dict[str, Any], dict[str, Any], dict[str, Any]],
    tape: Any,
) -> Any:
    """A Model's forward and backward as short calls, methods of the result; None where there are none.

    forward(shortcut, model, layers, loss, inplace, x, targ) gives the loss, backward(loss, keep, accumulate) True.
    Both give None, with nothing done, if anything is not as expected: see csrc/passes.c.

    call       (dtype, the layers of a workspace, how many)
    sizes      inputs, outputs
    classes    as for `eager`
    own        Pass, PassWorkspace, Held, Shortcut
    model      its layers; watched, as for `prepared`; the weights whose versions count; loss; inplace
    modules    as for `writer`
    tape       has an attribute `recording`
    """
    if not on:
        return None
    dtype, layers, count = call
    function = native.function_address(f"bp_chain_forward_{'f32' if dtype == native.FLOAT32 else 'f64'}")
    given = (function, native.address_of(layers), count, dtype == native.FLOAT64), sizes
    arrays = np.ndarray, native.FLOAT32, native.FLOAT64
    read = *classes, arrays, _probe(native.FLOAT32), own
    try:
        return Passes(*given, *read, layers, *model, modules, tape, np.empty, native.check)
    except TypeError:  # objects that are laid out otherwise than the extension can read
        return None


def eager(
    classes: tuple[tuple[type, ...], tuple[type, ...]],
    most: tuple[float, float, int],
    op: Any,
    grad_name: str,
    modules: tuple[dict[str, Any], dict[str, Any]],
    tape: Any,
    no_params: Any,
) -> Any:
    """The operations of the lesson as short calls, methods of the result; None where there are none.

    classes    of tensors and what belongs to them, see csrc/tensors.h; then the further classes of versions
    most       bytes of an array that numpy allocates, work in a call that keeps the GIL, depth of origins
    op         the operation's record; grad_name: of its gradient function
    modules    the variables of core.observer and autograd.versions
    tape       has an attribute `recording`
    no_params  the further arguments of an operation that has none
    """
    if not on:
        return None
    addresses = tuple(native.function_address(f"{name}_{real}") for name in FUNCTIONS for real in ("f32", "f64"))
    arrays = np.ndarray, native.FLOAT32, native.FLOAT64
    try:
        read = *classes, arrays, _probe(native.FLOAT32)
        return Eager(*read, addresses, most, op, grad_name, *modules, tape, np.empty, no_params)
    except TypeError:  # objects that are laid out otherwise than the extension can read
        return None


def _probe(dtype: np.dtype[Any]) -> tuple[Array, int]:
    """An array and its address, by which the extension sees whether it can read arrays."""
    probe = np.zeros((2, 6), dtype)[:, ::2]
    return probe, probe.__array_interface__["data"][0]
