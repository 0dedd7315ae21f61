"""The Settings of a training of which only some are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pybackprop.data import Description
from pybackprop.train.trainer import DECAY_OF_ADAMW, Settings, usual_rate

OF_SGD = ("momentum", "nesterov")  # what no other optimizer has


def completed(given: Mapping[str, Any], description: Description, start: Settings | None = None) -> Settings:
    """Settings with what is given, by name, in place of what `start` has, or else of what is usual for the data.

    Raises ValueError for a setting that the optimizer does not have, and for values that are not possible.
    """
    optimizer = given.get("optimizer", (start or Settings()).optimizer)
    if optimizer != Settings.optimizer:
        for name in OF_SGD:
            if name in given:
                raise ValueError(f"--{name}: {optimizer} has none; leave it out, or train with --optimizer sgd")
    if start is None:
        decay = DECAY_OF_ADAMW if optimizer == "adamw" else Settings.weight_decay
        start = Settings(lr=usual_rate(description, optimizer), weight_decay=decay)
    return replace(start, **given)


__all__ = ["completed"]
