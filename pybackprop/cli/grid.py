"""A grid as it is written on the command line: NAME=VALUE,VALUE ... of the settings of `pybackprop train`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from pybackprop.cli.arguments import whole_number
from pybackprop.core.suggestions import suggest
from pybackprop.train.contents import OPTIMIZER_NAMES
from pybackprop.train.trainer import SCHEDULES, Settings

NAMES = [field.name for field in fields(Settings)]
NONE = "none"


def axis(text: str) -> tuple[str, list[Any]]:
    """(a name of Settings, its values) of "lr=0.01,0.1"; hidden layers are separated by ":".

    Raises ArgumentTypeError, which says what is possible.
    """
    written, equals, values = text.partition("=")
    name = written.strip().lstrip("-").replace("-", "_")
    if name not in NAMES:
        known = ", ".join(map(option, NAMES))
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected NAME=VALUE,VALUE with a name among {known}{suggest(name, NAMES)}"
        )
    if not equals or not values.strip():
        raise argparse.ArgumentTypeError(f"found no value for {option(name)}, expected {option(name)}={EXPECTED[name]}")
    return name, [_value(name, part.strip()) for part in values.split(",")]


def _value(name: str, text: str) -> Any:
    try:
        return READ[name](text)
    except (ValueError, KeyError, argparse.ArgumentTypeError):
        among = EXPECTED[name].split(",") if name in CHOICES else ()
        raise argparse.ArgumentTypeError(
            f"{option(name)}: found {text!r}, expected {option(name)}={EXPECTED[name]}{suggest(text, among)}"
        ) from None


def option(name: str) -> str:
    """A setting's name as an option has it: weight-decay."""
    return name.replace("_", "-")


def value_text(value: Any) -> str:
    """A value as a grid has it: 20:20, true, none, 0.01."""
    if value is None or value == ():
        return NONE
    if isinstance(value, tuple):
        return ":".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def train_options(given: Mapping[str, Any]) -> list[str]:
    """The options with which `pybackprop train` trains with these settings."""
    words: list[str] = []
    for name, value in given.items():
        if value is True:
            words.append(f"--{option(name)}")
        elif value is not False and value is not None:
            words.append(f"--{option(name)}={','.join(map(str, value)) if isinstance(value, tuple) else value}")
    return words


def _hidden(text: str) -> tuple[int, ...]:
    return () if text == NONE else tuple(whole_number(part.strip()) for part in text.split(":"))


def _number(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError
    return float(text)


def _among(*names: str) -> Callable[[str], str]:
    return {name: name for name in names}.__getitem__


CHOICES = {
    "optimizer": (*OPTIMIZER_NAMES,),
    "schedule": (*SCHEDULES,),
    "dtype": ("float32", "float64"),
    "nesterov": ("true", "false"),
}
READ: dict[str, Callable[[str], Any]] = {
    **{name: _among(*known) for name, known in CHOICES.items()},
    "nesterov": {"true": True, "false": False}.__getitem__,
    "hidden": _hidden,
    "epochs": whole_number,
    "batch": whole_number,
    "seed": int,
    "lr": _number,
    "momentum": _number,
    "weight_decay": _number,
    "clip_norm": lambda text: None if text == NONE else _number(text),
}
EXPECTED = {  # values of each setting, as an example or all that there are
    **{name: ",".join(known) for name, known in CHOICES.items()},
    "hidden": "50,20:20,none (sizes from 1; a colon between layers)",
    "epochs": "10,20 (whole numbers from 1)",
    "batch": "8,64 (whole numbers from 1)",
    "seed": "0,1 (whole numbers from 0)",
    "lr": "0.01,0.1 (numbers above 0)",
    "momentum": "0,0.9 (numbers from 0, below 1)",
    "weight_decay": "0,0.01 (numbers from 0)",
    "clip_norm": "1,none (numbers above 0)",
}
