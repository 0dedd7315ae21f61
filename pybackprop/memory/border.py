"""The border between Python and what computes, as an open ledger sees it.

While a ledger is open, each function of the C core that Python calls one operation at a time, and each step of a
Model, a plan and an optimizer, is replaced by one that tells the ledger, and then does the same. So it costs nothing
where no ledger is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pybackprop.core import native
from pybackprop.engine import one_pass, plan
from pybackprop.nn import optim

Tell = Callable[[str, tuple[Any, ...], Any], None]

OPERATIONS = {  # by their name in _native: what a reader calls it
    "linear_forward": "lin",
    "linear_backward_x": "lin_grad: inp.g",
    "linear_backward_w": "lin_grad: w.g",
    "linear_backward_b": "lin_grad: b.g",
    "linear_backward_wb": "lin_grad: w.g, b.g",
    "matmul": "@",
    "relu_forward": "relu",
    "relu_backward": "relu_grad",
    "mse_forward": "mse",
    "mse_backward": "mse_grad",
}
WHOLE = (  # methods that are one call into C for many operations
    (one_pass.PassWorkspace, "forward", "Model: forward"),
    (one_pass.PassWorkspace, "backward", "Model: backward"),
    (plan.Plan, "__init__", "compile"),
    (plan.Plan, "step", "plan.step"),
    (plan.Plan, "grads", "plan.grads"),
    (plan.Plan, "predict", "plan.predict"),
    (plan.Plan, "fit", "plan.fit"),
    (optim.SGD, "step", "SGD.step"),
)


@contextmanager
def watched(tell: Tell) -> Iterator[None]:
    """tell(operation, arguments, dtype) is called after each one; dtype: None for a method."""
    before: list[tuple[Any, Any, Any]] = []
    for name, operation in OPERATIONS.items():
        table: dict[Any, Any] = getattr(native, name)
        for dtype, call in list(table.items()):
            before.append((table, dtype, call))
            table[dtype] = _telling(call, operation, tell, dtype)
    methods = [(owner, name, vars(owner)[name]) for owner, name, _ in WHOLE]
    for (owner, name, method), (_, _, operation) in zip(methods, WHOLE, strict=True):
        setattr(owner, name, _telling(method, operation, tell))
    try:
        yield
    finally:
        for table, dtype, call in before:
            table[dtype] = call
        for owner, name, method in methods:
            setattr(owner, name, method)


def _telling(call: Callable[..., Any], operation: str, tell: Tell, dtype: Any = None) -> Callable[..., Any]:
    def told(*args: Any, **options: Any) -> Any:
        found = call(*args, **options)
        tell(operation, args, dtype)
        return found

    return told
