"""The exceptions. A message names the operation, the operands with their shapes, and what to do."""

from __future__ import annotations


class ShapeError(ValueError):
    """Raised for shapes that do not fit together, that an operation does not take, or that would broadcast by accident.

    A ValueError.
    """


class DTypeError(TypeError):
    """Raised for elements that are not real numbers (complex, text, objects), and where float32 and float64 are mixed.

    A TypeError.
    """


class GradientError(RuntimeError):
    """Raised for a gradient that is missing, out of date or unknown.

    That is: before a backward, after a value that it needs was overwritten, or where an operation has no derivative
    here. A RuntimeError.
    """


class CheckpointError(ValueError):
    """Raised for a file that is not a checkpoint, is damaged or does not fit the model, or that cannot be written.

    A ValueError.
    """


class DivergedError(ArithmeticError):
    """Raised by fit when the loss is not finite. The parameters are those from before that step.

    An ArithmeticError.
    """


class OutOfMemoryError(MemoryError):
    """Raised for an array that does not fit into memory, before any of it is allocated. A MemoryError.

    needed     bytes
    available  bytes
    largest    how many rows of the batch would fit; None where there is no batch
    """

    needed: int
    available: int
    largest: int | None

    def __init__(self, message: str, needed: int, available: int, largest: int | None = None) -> None:
        super().__init__(message)
        self.needed, self.available, self.largest = needed, available, largest

    def __reduce__(self) -> tuple[type[OutOfMemoryError], tuple[str, int, int, int | None]]:
        return type(self), (str(self), self.needed, self.available, self.largest)
