"""Options: what a training run is asked to do, checked before anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pybackprop.core.checks import check_seed, whole
from pybackprop.core.row_blocks import RowBlocks
from pybackprop.engine.records import Epoch, Moment
from pybackprop.nn.clip import check_max_norm
from pybackprop.nn.schedules import Schedule

OnEpoch = Callable[[Epoch], Any]


@dataclass
class Options:
    """The checked options of Plan.fit. Raises ValueError and TypeError."""

    epochs: int
    seed: int = 0
    batch: int | None = None
    done: int = 0
    validation: tuple[Any, ...] | RowBlocks | None = None
    validation_data: tuple[Any, ...] | RowBlocks | None = None
    validation_split: float | None = None
    patience: int | None = None
    schedule: Schedule | Callable[[int], float] | None = None
    callback: Callable[[Moment], Any] | None = None
    on_epoch: OnEpoch | Iterable[OnEpoch] | None = None
    checkpoint: Callable[[Epoch], Any] | None = None
    progress: bool = False
    clip_norm: float | None = None
    sample_weight: Any = None

    def __post_init__(self) -> None:
        self.seed = check_seed(self.seed)
        for name in ("epochs", "done"):
            setattr(self, name, whole(f"plan.fit: {name}", getattr(self, name), 0))
        if self.batch is not None:
            whole("plan.fit: batch", self.batch)
        if self.clip_norm is not None:
            self.clip_norm = check_max_norm("plan.fit", "clip_norm", self.clip_norm)
        self.on_epoch = _functions(self.on_epoch)
        self._check_validation()

    def _check_validation(self) -> None:
        names = ("validation", "validation_data", "validation_split")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"plan.fit: found {' and '.join(given)}, expected one of them")
        if self.validation is None:
            self.validation = self.validation_data
        if self.validation_split is not None:
            self.validation_split = _share(self.validation_split)
        if self.patience is not None:
            whole("plan.fit: patience", self.patience)
            if not given:
                raise ValueError("plan.fit: patience needs a validation loss; give validation=(x, targ)")

    def after_epoch(self, epoch: Epoch) -> bool:
        """Calls all functions of on_epoch; whether one of them returned True."""
        functions: Any = self.on_epoch
        return True in [function(epoch) is True for function in functions]


def _functions(given: Any) -> list[OnEpoch]:
    listed = [] if given is None else [given] if callable(given) else given
    functions = list(listed) if isinstance(listed, Iterable) else [listed]
    for function in functions:
        if not callable(function):
            raise TypeError(
                f"plan.fit: on_epoch: found {type(function).__name__}, "
                "expected a function of an Epoch, or a list of them"
            )
    return functions


def _share(value: Any) -> float:
    """validation_split as a float between 0 and 1."""
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = -1.0
    if isinstance(value, (bool, str)) or not 0 < share < 1:
        raise ValueError(
            f"plan.fit: validation_split: found {value!r}, expected a share of the rows between 0 and 1, such as 0.2"
        )
    return share
