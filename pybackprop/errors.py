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
