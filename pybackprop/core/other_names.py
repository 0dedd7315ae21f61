"""Names that other libraries use for features of this one: using one raises an AttributeError with the name used here.

On classes they are descriptors, as a __getattr__ would slow down every attribute access.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NoReturn


class OtherName:
    """Takes the place of an attribute that a class does not have. A subclass or an instance may define it."""

    name: str
    hint: str

    def __init__(self, name: str, hint: str) -> None:
        self.name, self.hint = name, hint
        self.__doc__ = f"Not here: {hint}."

    def __get__(self, instance: Any, owner: type) -> NoReturn:
        raise AttributeError(_message(owner.__name__, self.name, self.hint))

    def __repr__(self) -> str:
        return f"<not here: {self.hint}>"


class OtherSlot(OtherName):
    """The same in a class with __slots__, whose instances can't take an attribute of this name either."""

    def __set__(self, instance: Any, value: Any) -> NoReturn:
        raise AttributeError(_message(type(instance).__name__, self.name, self.hint))


def _message(owner: str, name: str, hint: str) -> str:
    return f"{owner} has no attribute '{name}': {hint}"


def attach(kind: type, hints: Mapping[str, str]) -> None:
    """Adds hints to a class by name; dir() of its instances omits them. Raises ValueError for a name that is taken."""
    descriptor = OtherName if kind.__dictoffset__ else OtherSlot
    for name, hint in hints.items():
        if name in vars(kind):
            raise ValueError(f"{kind.__name__} already has an attribute '{name}'")
        setattr(kind, name, descriptor(name, hint))
    setattr(kind, "__dir__", _dir)  # noqa: B010


def _dir(self: Any) -> list[str]:
    """The names that an instance has."""
    own, kind = getattr(self, "__dict__", {}), type(self)
    names: list[str] = list(object.__dir__(self))
    return [n for n in names if n in own or not isinstance(inspect.getattr_static(kind, n, None), OtherName)]


def module_getattr(module: str, hints: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's __getattr__ that raises AttributeError, with a hint for the names that have one."""

    def missing(name: str) -> NoReturn:
        hint = f": {hints[name]}" if name in hints else ""
        raise AttributeError(f"module '{module}' has no attribute '{name}'{hint}")

    return missing
