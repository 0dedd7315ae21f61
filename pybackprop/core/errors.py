"""The exceptions. Each message names the operation, the operands with their shapes, and the fix."""

from __future__ import annotations


class ShapeError(ValueError):
    """Shapes that do not fit together, or that no operation here takes."""


class DTypeError(TypeError):
    """A type of element that would have to be guessed at: complex, object, or two that differ."""


class GradientError(RuntimeError):
    """A gradient that is missing, wrong, or asked for before there is one."""


class CheckpointError(ValueError):
    """A file that is no checkpoint, or not one of this model."""


class DivergedError(ArithmeticError):
    """Training whose loss is no longer a finite number."""


class OutOfMemoryError(MemoryError):
    """An array that cannot fit, refused before anything is taken.

    needed, available  bytes;  largest  rows of a batch that would fit, None where no batch is concerned
    """

    def __init__(self, message: str, needed: int, available: int, largest: int | None = None) -> None:
        super().__init__(message)
        self.needed, self.available, self.largest = needed, available, largest

    def __reduce__(self) -> tuple[type[OutOfMemoryError], tuple[str, int, int, int | None]]:
        return type(self), (str(self), self.needed, self.available, self.largest)
