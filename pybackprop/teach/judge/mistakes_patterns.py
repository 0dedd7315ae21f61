"""Mistakes that have no single formula, such as an update with any learning rate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.teach.judge.kind import Kind, Roles
from pybackprop.teach.judge.kinds import RIGHT, B, W, X
from pybackprop.teach.judge.mistake import MSE, RELU, TARG, Mistake, changed


def close(a: Array, b: Array) -> bool:
    """Whether two arrays hold the same numbers up to rounding; a NaN equals a NaN."""
    if a.shape != b.shape:
        return False
    with np.errstate(all="ignore"):
        finite = np.abs(b[np.isfinite(b)])
        limit = 1000 * np.finfo(b.dtype).eps * (finite.max() if finite.size else 0)
        same = (np.abs(a - b) <= limit) | (a == b) | (np.isnan(a) & np.isnan(b))
    return bool(same.all())


def factor(a: Array, b: Array, beside: Array | None = None) -> float | None:
    """The number c with a = c * b, up to rounding; None if there is no such c, or a or b is 0 everywhere.

    beside: if a was computed as a difference from these numbers, it has rounding errors of their size.
    """
    if a.shape != b.shape or not b.size or not np.isfinite(b).all() or not np.isfinite(a).all():
        return None
    at = np.unravel_index(np.argmax(np.abs(b)), b.shape)
    if b[at] == 0 or a[at] == 0:
        return None
    c = float(a[at] / b[at])
    noise = 0.0 if beside is None else 100 * float(np.finfo(b.dtype).eps * np.abs(beside).max(initial=0))
    agrees = close(a, b * c) or np.abs(a - b * c).max() <= noise < np.abs(a).max() / 20
    return c if agrees else None


def _own_value(kind: Kind, roles: Roles, right: Array) -> Array | None:
    value = roles.get(kind.role)
    return value if value is not None and value.shape == right.shape else None


def _update(sign: int) -> Callable[..., float | None]:
    def fits(kind: Kind, roles: Roles, right: Array, proposed: Array) -> float | None:
        value = _own_value(kind, roles, right)
        rate = None if value is None or proposed.shape != value.shape else factor(value - proposed, right, value)
        return abs(rate) if rate is not None and rate * sign > 0 else None

    return fits


def _decay(kind: Kind, roles: Roles, right: Array, proposed: Array) -> float | None:
    value = _own_value(kind, roles, right)
    return None if value is None or proposed.shape != value.shape else factor(proposed - right, value, right)


def _new_weights(kind: Kind, roles: Roles, right: Array, proposed: Array) -> float | None:
    if proposed.shape != right.shape or kind.name != X.name:
        return None
    return factor(right - proposed, roles["dz"] @ (roles["x"].T @ roles["dz"]).T, right)


def _constant(kind: Kind, roles: Roles, right: Array, proposed: Array) -> float | None:
    return None if proposed.shape != right.shape else factor(proposed - right, np.ones_like(right), right)


def _broadcast(kind: Kind, roles: Roles, right: Array, proposed: Array) -> float | None:
    if not {"out", "targ"} <= roles.keys():
        return None
    out, targ = roles["out"], roles["targ"]
    n = len(out)
    is_square = out.ndim != targ.ndim and n > 1 and proposed.shape == (n, n)
    return 1.0 if is_square and factor(proposed, out - targ) is not None else None


def _step(kind: Kind, roles: Roles, right: Array, proposed: Array) -> float | None:
    c = factor(proposed, right)
    return -c if c is not None and c < 0 else None


def _factor(kind: Kind, roles: Roles, right: Array, proposed: Array) -> float | None:
    return factor(proposed, right)


def _zero(kind: Kind, roles: Roles, right: Array, proposed: Array) -> float | None:
    return 0.0 if proposed.shape == right.shape and right.any() and not proposed.any() else None


def _whole(kind: Kind, roles: Roles, right: Array, proposed: Array) -> float | None:
    whole = roles.get("whole")
    return 1.0 if whole is not None and not close(whole, right) and close(proposed, whole) else None


def _reshaped(kind: Kind, roles: Roles, right: Array, proposed: Array) -> float | None:
    same = proposed.size == right.size and proposed.shape != right.shape
    return 1.0 if same and close(proposed.reshape(right.shape), right) else None


def _updates(pattern: str) -> dict[str, tuple[str, ...]]:
    return {kind.name: (pattern.format(value=kind.role, right=kind.right),) for kind in (W, B)}


PATTERNS = (
    Mistake(
        "updated-value",
        _updates("{value} - 0.1 * ({right})"),
        "This is the tensor after an update, its value minus {factor:.3g} times the gradient. The question is the "
        "gradient alone; the update is a separate step.",
        _update(1),
    ),
    Mistake(
        "updated-uphill",
        _updates("{value} + 0.1 * ({right})"),
        "This is the tensor after a step uphill: its value plus {factor:.3g} times the gradient. The question is the "
        "gradient alone; and an update subtracts it, because it points where the loss rises.",
        _update(-1),
    ),
    Mistake(
        "weight-decay-added",
        {"w": ("x.T @ dz + 0.01 * w",), "b": ("dz.sum(0) + 0.01 * b",)},
        "The gradient is right, plus {factor:.3g} times the tensor itself: weight decay. The loss here has no such "
        "term.",
        _decay,
    ),
    Mistake(
        "weights-already-updated",
        {"x": ("dz @ (w - 0.1 * (x.T @ dz)).T",)},
        "It uses the weights after an update by {factor:.3g} times their gradient. The loss was computed with the old "
        "ones: all gradients first, then all updates.",
        _new_weights,
    ),
    Mistake(
        "reshaped",
        changed("({})[None]", "w", "x", RELU, MSE, TARG),
        "The numbers are right, but the shape is not. A gradient has the shape of its tensor.",
        _reshaped,
    ),
    Mistake(
        "all-zero",
        changed("0 * ({})"),
        "Everything is 0, as if the loss did not depend on this tensor at all.",
        _zero,
    ),
    Mistake(
        "constant-added",
        changed("{} + 0.5"),
        "The gradient is right, plus {factor:.3g} everywhere.",
        _constant,
    ),
    Mistake(
        "step-for-gradient",
        changed("-0.1 * ({})"),
        "This is -{factor:.3g} times the gradient: the step that an update with this learning rate makes.",
        _step,
    ),
    Mistake(
        "constant-factor",
        changed("0.37 * ({})"),
        "Every number is {factor:.6g} times the right one: there is a factor too many or too few. Count the factors "
        "along one path, and note where each comes from.",
        _factor,
    ),
)
WHOLE = Mistake(
    "all-uses",
    {},
    "These are the numbers of {answer} itself, the sum over all uses of the tensor. The question here is the share "
    "of one use only, the one that you named.",
    _whole,
)
BROADCAST = Mistake(
    "broadcast-by-accident",
    {MSE: (RIGHT[MSE],), TARG: (RIGHT[TARG],)},
    "A column ({n},1) and a row of {n} numbers broadcast to ({n},{n}), every output with every target. Make the "
    "shapes equal first, with [:,None].",
    _broadcast,
)
SIZE_FACTOR = Mistake(
    "size-factor",
    {"w": ("x.T @ dz * h / 3",), "x": ("dz @ w.T * h * 0.7",), "b": ("dz.sum(0) * h",)},
    "Every number is the right one times {factor:.6g}, and on networks of other shapes times another number, which "
    "changes with {sizes}: a size is missing, or there is one too many.",
    by_repair=True,
)
