"""The command-line parser, which suggests corrections for misspelt words, and types of arguments."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from pybackprop.core.printable import printable
from pybackprop.core.suggestions import suggest

INVALID_CHOICE = re.compile(r"invalid choice: '?([^' ]*)'? \(choose from (.*)\)")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose error about an unknown command, option or value ends with the closest known one.

    Each command reports errors in its own options, so that the usage shown is the command's.
    """

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [word.partition("=")[0] for word in unknown if word.startswith("--")]
            known = [option for action in self._actions for option in action.option_strings]
            suggestion = suggest(options[0], known) if options else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{suggestion}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        choice = INVALID_CHOICE.search(message)
        super().error(printable(message) + (suggest(choice[1], re.findall(r"[\w-]+", choice[2])) if choice else ""))


def whole_number(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from 1")
    return int(text)


def amount(unit: str) -> Callable[[str], float]:
    """The type of an argument that is a number of these units, above 0."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value < 1e6:
            raise argparse.ArgumentTypeError(f"found {text!r}, expected {unit}, a number above 0")
        return value

    return number


def sizes(text: str) -> tuple[int, ...]:
    """Whole numbers of at least 1, separated by commas; an empty text gives an empty tuple."""
    return tuple(whole_number(part.strip()) for part in text.split(",")) if text.strip() else ()
