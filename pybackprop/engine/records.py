"""What a fit tells: an Epoch of each pass over the data, and a Moment in between."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """What an epoch was.

    epoch       its number, from 1
    loss        the mean over its samples, each as it was before its step's update
    validation  the loss on the validation part after the epoch; None without one
    lr          the learning rate
    seconds     spent in its steps
    """

    epoch: int
    loss: float
    validation: float | None
    lr: float
    seconds: float


@dataclass(frozen=True)
class Moment:
    """How far a fit has come.

    epoch    the number of this epoch, from 1
    step     its steps that are done, of `steps`
    loss     the mean over its samples so far
    done     the epoch's record, once it has ended
    """

    epoch: int
    step: int
    steps: int
    loss: float
    done: Epoch | None = None
