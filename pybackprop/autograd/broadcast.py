"""Broadcasting: refusing it where it is probably an accident."""

from __future__ import annotations

import numpy as np

from pybackprop.core.arrays import hint_at_fix
from pybackprop.core.errors import ShapeError

Shape = tuple[int, ...]


def check_broadcast(operation: str, left: Shape, right: Shape) -> None:
    """Raises ShapeError for shapes that do not broadcast, and for a column (n,1) with a row (n,)."""
    if left == right:
        return
    for column, row in ((left, right), (right, left)):
        if len(column) == 2 and column[1] == 1 and row == column[:1] and row[0] > 1:
            n = row[0]
            raise ShapeError(
                f"{operation}: {left} with {right} would broadcast to {(n, n)}, every row with every element. "
                f"Make the shapes equal: {column} to {row} with [:,0] or .squeeze(-1), "
                f"or {row} to {column} with [:,None]"
            )
    try:
        np.broadcast_shapes(left, right)
    except ValueError as error:
        backwards = zip(reversed(range(len(left))), reversed(left), reversed(right), strict=False)
        axis = next(axis for axis, a, b in backwards if a != b and 1 not in (a, b))
        raise ShapeError(
            f"{operation}: {left} and {right} do not fit: on axis {axis} of the first they differ, "
            "and neither is 1" + hint_at_fix(left, right)
        ) from error
