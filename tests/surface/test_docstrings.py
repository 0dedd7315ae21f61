"""Every public name has a docstring: what `bp` has, the members of its classes, and the classes that those return."""

import dataclasses
import inspect
import re
import types
import typing

import pytest

import pybackprop as bp
from pybackprop.core.other_names import OtherName

LONGEST_LINE = 120


def public(names):
    return [name for name in names if not name.startswith("_")]


def is_ours(thing):
    return str(getattr(thing, "__module__", "")).split(".")[0] == "pybackprop"


def entrances():
    """(name, thing) for all that `bp` and its modules say they have."""
    for name in bp.__all__:
        thing = getattr(bp, name)
        yield f"bp.{name}", thing
        if isinstance(thing, types.ModuleType):
            yield from ((f"bp.{name}.{inner}", getattr(thing, inner)) for inner in thing.__all__)


def classes():
    """The classes among them, and those that their methods and functions take and return."""
    found, waiting = {}, [thing for _, thing in entrances()]
    while waiting:
        thing = waiting.pop()
        for kind in mentioned_in(thing) if not isinstance(thing, type) else [thing]:
            if is_ours(kind) and kind not in found and not getattr(kind, "_is_protocol", False):
                found[kind] = f"{kind.__module__}.{kind.__qualname__}"
                waiting += kind.__mro__[1:]
                waiting += [vars(kind)[name] for name in vars(kind) if name.endswith("__") or not name.startswith("_")]
    return found


def mentioned_in(thing):
    """The classes in the annotations of a function or a property."""
    thing = thing.fget if isinstance(thing, property) else getattr(thing, "__func__", thing)
    if isinstance(thing, types.FunctionType) and is_ours(thing):
        for hint in hints_of(thing):
            yield from classes_in(hint)


def classes_in(hint, depth=4):
    if isinstance(hint, type):
        yield typing.get_origin(hint) or hint
    inner = hint if isinstance(hint, list) else (*typing.get_args(hint), typing.get_origin(hint))
    for part in inner if depth else ():
        yield from classes_in(part, depth - 1)


def hints_of(thing):
    try:
        return list(typing.get_type_hints(thing).values())
    except NameError:  # a name that only type checkers import
        return []


def members(kind):
    """(name, what it is) of the public attributes that a class defines itself."""
    for name in public(vars(kind)):
        value = vars(kind)[name]
        if not isinstance(value, OtherName):
            yield name, value


def doc_of(value):
    value = getattr(value, "__func__", value)
    return inspect.getdoc(value) if not isinstance(value, types.FunctionType) else value.__doc__


def documented_in_class(kind, name):
    """Attributes that are no methods and no properties stand in the class's docstring."""
    text = " ".join(inspect.getdoc(base) or "" for base in kind.__mro__ if is_ours(base))
    return re.search(rf"(?<!\w){name}(?!\w)", text, re.IGNORECASE)


def missing_in(kind):
    if not kind.__doc__ or kind.__doc__.startswith(f"{kind.__name__}("):
        yield "the class"
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    for name, value in members(kind):
        method = name not in fields and isinstance(value, (types.FunctionType, classmethod, staticmethod, property))
        if method and not doc_of(value):
            yield name
        if not method and not documented_in_class(kind, name) and not inspect.getdoc(getattr(kind, name)):
            yield name
    yield from (name for name in public(fields - vars(kind).keys()) if not documented_in_class(kind, name))


def test_every_public_name_has_a_docstring():
    bare = [name for name, thing in entrances() if not inspect.getdoc(thing)]
    bare += [f"{place}: {name}" for kind, place in classes().items() for name in missing_in(kind)]
    assert not bare, "\n".join(sorted(bare))


def test_the_classes_that_others_return_are_among_them():
    names = {place.split(".")[-1] for place in classes().values()}
    assert {"Tensor", "Mask", "Model", "Plan", "Epoch", "Moment", "Ledger", "Explanation", "Verdict"} <= names


def test_the_check_notices_what_is_missing():
    class Bare:
        def method(self):
            pass

        @property
        def value(self):
            pass

    assert list(missing_in(Bare)) == ["the class", "method", "value"]


@pytest.mark.parametrize("name", [n for n in bp.__all__ if inspect.isroutine(getattr(bp, n))])
def test_every_function_has_a_signature_with_types(name):
    for parameter in inspect.signature(getattr(bp, name)).parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, f"{name}({parameter})"


def test_help_reads_like_one_class():
    text = inspect.cleandoc(bp.Tensor.__doc__)
    assert all(len(line) <= LONGEST_LINE for line in text.splitlines())
    assert [base.__name__ for base in bp.Tensor.__mro__] == ["Tensor", "object"]
