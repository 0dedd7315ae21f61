"""Training an mlp on a split of data, epoch by epoch, so that it can be stopped and resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array, float_type
from pybackprop.core.checks import check_seed, is_whole, whole
from pybackprop.core.errors import CheckpointError
from pybackprop.core.suggestions import suggest_among
from pybackprop.data import Description, Split, StoredSplit
from pybackprop.engine.compile import compile
from pybackprop.engine.model import Model, mlp
from pybackprop.engine.records import Moment
from pybackprop.nn.clip import check_max_norm
from pybackprop.nn.optim import Optimizer, optimizer_of, rate
from pybackprop.nn.schedules import CosineLR, OneCycleLR, Schedule, StepLR, WarmupLR
from pybackprop.ops import mse
from pybackprop.train import checkpoint, contents, scores
from pybackprop.train.model_file import copy_arrays
from pybackprop.train.parts import Parts, parts_of

MOST_ASKED = 10_000  # samples that tell whether a unit is alive
RATE_OF_ADAM, DECAY_OF_ADAMW = 1e-3, 1e-2
RATE_OF_CLASSES, RATE_OF_NUMBERS = 0.2, 0.005  # learning rate, times features, where those are standardised


SCHEDULES: dict[str, Callable[[float, int], Schedule] | None] = {  # of a rate and the number of all steps
    "constant": None,
    "step": lambda lr, steps: StepLR(lr, step_size=-(-steps // 3)),
    "cosine": CosineLR,
    "one-cycle": OneCycleLR,
    "warmup": lambda lr, steps: WarmupLR(lr, warmup_steps=-(-steps // 10)),
}


@dataclass(frozen=True)
class Settings:
    """What determines the bits of the trained parameters, besides the data."""

    hidden: tuple[int, ...] = (50,)
    epochs: int = 40
    batch: int = 8
    lr: float = 0.05
    momentum: float = 0.9
    seed: int = 0
    dtype: str = "float32"
    optimizer: str = "sgd"
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: str = "constant"
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            whole(name, getattr(self, name))
        for units in self.hidden:
            whole("hidden", units)
        rate("lr", self.lr)
        rate("momentum", self.momentum, 1)
        check_seed(self.seed)
        float_type(self.dtype)
        for name, known in (("optimizer", contents.OPTIMIZER_NAMES), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                found = getattr(self, name)
                suggestion = suggest_among(str(found), known)
                raise ValueError(f"{name}: found {found!r}, expected one of {', '.join(known)}{suggestion}")
        if self.clip_norm is not None:
            check_max_norm("clip_norm", "clip_norm", self.clip_norm)
        self.new_optimizer(None)

    def new_optimizer(self, parameters: Any) -> Optimizer:
        """The optimizer of these settings. Raises ValueError for those that it does not take."""
        told = contents.optimizer_of_settings(asdict(self))
        return optimizer_of(told.pop("kind"), parameters, told)

    def schedule_of(self, steps: int) -> Schedule | None:
        """The schedule of so many steps; None: the rate stays as it is."""
        make = SCHEDULES[self.schedule]
        return None if make is None else make(self.lr, steps)


class Trainer:
    """An mlp, its optimizer, its data, and its progress.

    split     x (n,m) and labels y (n,) of integers, which become rows of the identity matrix, or targets (n,h); or rows
              on disk
    description  of the data, for whoever is to predict with a checkpoint; None if nothing is known
    epoch     epochs done;  losses: the mean loss of each;  accuracies: after each, on the validation part
    seconds   spent in training steps;  samples: seen by them
    comm      an MPI communicator whose ranks train together, see pybackprop.engine.compile

    Raises DataError for NaN or infinity in the data, and for labels that cannot be classes.
    """

    settings: Settings
    description: Description | None
    parts: Parts
    optimizer: Optimizer
    plan: Any
    seconds: float
    samples: int
    epoch: int

    def __init__(
        self,
        settings: Settings,
        split: Split | StoredSplit,
        description: Description | None = None,
        comm: Any = None,
    ) -> None:
        self.settings, self.description = settings, description
        labelled = description is not None and description.classifies
        self.parts = parts_of(split, float_type(settings.dtype), labelled)
        sizes = [self.parts.features, *settings.hidden, self.parts.outputs]
        self.model: Model = mlp(sizes, settings.seed, settings.dtype)
        self.optimizer = settings.new_optimizer(self.model)
        batch = min(settings.batch, self.parts.rows)
        self.plan = compile(self.model, batch=batch, optimizer=self.optimizer, clip_norm=settings.clip_norm, comm=comm)
        self.epoch = self.samples = 0
        self.seconds = 0.0
        self.losses: list[float] = []
        self.accuracies: list[float | None] = []

    @property
    def steps(self) -> int:
        """Steps in an epoch; the last one takes the samples that are left."""
        return -(-self.parts.rows // self.settings.batch)

    def run_epoch(self, callback: Callable[[Moment], Any] | None = None) -> float:
        """One pass over the shuffled training samples; the mean loss over them. callback: see Plan.fit.

        Raises DivergedError as soon as a loss, or at the end a parameter, is not finite.
        """
        s = self.settings
        options = {"seed": s.seed, "callback": callback, "schedule": s.schedule_of(s.epochs * self.steps)}
        (done,) = self.plan.fit(*self.parts.to_fit, epochs=self.epoch + 1, done=self.epoch, **options)
        self.epoch += 1
        self.seconds += done.seconds
        self.samples += self.parts.rows
        self.losses.append(done.loss)
        self.accuracies.append(self.accuracy())
        return self.losses[-1]

    def accuracy(self) -> float | None:
        """The fraction of validation samples whose largest output is that of their label; None without labels."""
        if not self.parts.classifies or not self.parts.valid_rows:
            return None
        return scores.accuracy(self.plan.predict(self.parts.x_valid).data, self.parts.y_valid)

    def r2(self) -> float | None:
        """R², the share of the targets' variance that is explained, on the validation part; None for labels."""
        if self.parts.classifies or not self.parts.valid_rows:
            return None
        return scores.r2(self.plan.predict(self.parts.x_valid).data, self.parts.y_valid)

    def silent_layers(self) -> list[int]:
        """The hidden layers, counted from 1, of which no unit is alive: relu gives 0 for all samples that are asked."""
        out, silent = self.parts.first(MOST_ASKED), []
        parameters = [p.data for p in self.model.parameters()]
        for k, (w, b) in enumerate(zip(parameters[:-2:2], parameters[1:-2:2], strict=True), 1):
            out = np.maximum(out @ w + b, 0)
            if not out.any():
                silent.append(k)
        return silent

    def valid_loss(self) -> float | None:
        """The loss on the validation samples; None if there are none."""
        if not self.parts.valid_rows:
            return None
        return float(mse(self.plan.predict(self.parts.x_valid), self.parts.targets_valid))

    # ---- what a checkpoint holds ----

    def parameters(self) -> dict[str, Array]:
        """The parameters by name."""
        return {str(p.name): p.data for p in self.model.parameters()}

    def digest(self) -> str:
        """sha256 of the parameters: the same on every machine."""
        return checkpoint.digest(self.parameters())

    def _state(self) -> dict[str, Array]:
        """The parameters, and what the optimizer keeps of each: its momentum as velocity.NAME."""
        kinds = self.optimizer.STATE
        kept = {
            f"{kind}.{p.name}": tensor.data
            for p in self.model.parameters()
            for kind, tensor in zip(kinds, self.optimizer.kept(p), strict=True)
        }
        return {**self.parameters(), **kept}

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint; see pybackprop.checkpoint.save."""
        checkpoint.save(path, *self.contents())

    def contents(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """What a checkpoint of this holds: its arrays, which are the trainer's own memory, and its meta."""
        meta: dict[str, Any] = {
            "kind": "mlp",
            "classifies": self.parts.classifies,
            "settings": asdict(self.settings),
            "steps": self.optimizer.steps,
            "epoch": self.epoch,
            "losses": self.losses,
            "accuracies": self.accuracies,
            "data": self._data_digest,
        }
        if self.description is not None:
            meta["description"] = self.description.to_json()
        return self._state(), meta

    def restore(self, path: str | Path) -> None:
        """Restores the state from a checkpoint of the same network and data. Raises CheckpointError."""
        arrays, meta = checkpoint.load(path)
        if meta.get("data") != self._data_digest:
            raise CheckpointError(
                f"{path}: was trained on other data than this; resume with the same data{self.parts.other}"
            )
        progress = contents.check_progress(path, meta)
        steps = meta.get("steps", progress[0] * self.steps)
        if not is_whole(steps, 0, 2**63):
            raise contents.unusable(path, f"steps: found {steps!r}, expected a whole number from 0")
        copy_arrays(path, self._state(), arrays)
        self.optimizer.steps = int(steps)
        self.epoch, self.losses, self.accuracies = progress

    @cached_property
    def _data_digest(self) -> str:
        return self.parts.digest


def usual_rate(description: Description, optimizer: str = Settings.optimizer) -> float:
    """The learning rate where none is asked for: the one of Settings, or less for many standardised features.
    Adam's does not depend on the data: its steps are as long for large gradients as for small ones.

    The more features there are, the larger is a row, and the earlier training diverges. A regression takes smaller
    steps than classes: noise in its targets would be learnt otherwise.
    """
    if optimizer != Settings.optimizer:
        return RATE_OF_ADAM
    if description.scaling.kind != "standard":
        return Settings.lr
    rate = RATE_OF_CLASSES if description.classifies else RATE_OF_NUMBERS
    return float(f"{min(Settings.lr, rate / description.features):.2g}")


def settings_of(path: str | Path) -> Settings:
    """The settings that a checkpoint was trained with. Raises CheckpointError."""
    arrays, meta = checkpoint.load(path)
    if "layers" in meta:
        raise CheckpointError(
            f"{path}: holds no settings to resume training with: bp.save writes the model and its optimizer only. "
            "Continue in Python: model, optimizer = bp.load(path, with_optimizer=True)"
        )
    try:
        settings = meta["settings"]
        found = Settings(**{**settings, "hidden": tuple(settings["hidden"])})
        contents.check_arrays(path, arrays, len(found.hidden) + 1)
    except contents.UNUSABLE as error:
        raise contents.unusable(path, f"holds no settings to resume training with ({error!r})") from error
    widths = tuple(arrays[f"w{k}"].shape[1] for k in range(1, len(found.hidden) + 1))
    if widths != found.hidden or str(arrays["w1"].dtype) != found.dtype:  # before a network of those sizes is allocated
        raise contents.unusable(
            path, f"its settings are of a network with {found.hidden} units of {found.dtype}, its arrays have {widths} "
            f"of {arrays['w1'].dtype}"
        )  # fmt: skip
    return found


__all__ = ["Settings", "Trainer", "settings_of", "usual_rate"]
