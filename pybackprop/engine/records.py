"""What fit reports: an Epoch for each pass over the data, and Moments in between."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """The record of an epoch.

    epoch       its number, from 1
    loss        the mean over its samples, each computed before its step's update
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
    """The progress of a fit.

    epoch    the number of this epoch, from 1
    step     how many of its `steps` are done
    loss     the mean over its samples so far
    done     the epoch's record, once it has ended
    """

    epoch: int
    step: int
    steps: int
    loss: float
    done: Epoch | None = None
