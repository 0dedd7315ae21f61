"""Notation: how elements, index ranges and shapes are written in every text."""

from __future__ import annotations

from typing import TypeAlias

from pybackprop.autograd.tensor import Tensor

Index: TypeAlias = "tuple[int, ...]"


def element(name: str, at: Index) -> str:
    """w1[3,7]; for a single number, only its name."""
    return f"{name}[{','.join(map(str, at))}]" if at else name


def other_at(at: Index, ndim: int) -> Index:
    """The index in the target for an element of the output, or the reverse, if one is (n) and the other (n,1)."""
    return (*at, *(0,) * ndim)[:ndim]


def upto(letter: str, count: int) -> str:
    """i = 0 .. 5"""
    if not count:
        return f"no {letter}"
    return f"{letter} = 0" if count == 1 else f"{letter} = 0 .. {count - 1}"


def among(term: str, position: int, count: int) -> str:
    """A term in a sum of count: … + term + …"""
    return "… + " * (position > 0) + term + " + …" * (position < count - 1)


def every(noun: str, count: int) -> str:
    """in every row; in the only row"""
    return f"in the only {noun}" if count == 1 else f"in every {noun}"


def shape(array: Tensor) -> str:
    """(4,3), and (8) for a vector."""
    return f"({','.join(map(str, array.shape))})"
