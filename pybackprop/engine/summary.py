"""Summary: a model's layers with their shapes and numbers of parameters, as a table for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pybackprop.autograd.tensor import Tensor
from pybackprop.core.units import bytes_text
from pybackprop.nn.layers import Lin
from pybackprop.nn.module import parameters_in, tensors_in

HEAD = ("layer", "output", "parameters", "count")


@dataclass(frozen=True)
class LayerRow:
    """A layer. output is n and its width, or empty where only a forward would tell; count is of its parameters."""

    layer: str
    output: str
    parameters: str
    count: int


@dataclass(frozen=True)
class Summary:
    """What `model.summary()` returns; print it, or leave it as the last line of a notebook's cell.

    rows       one LayerRow for each layer
    count      numbers in all parameters, each counted once;  trained: in those with requires_g
    nbytes     what all of them take
    loss       the loss, as text
    """

    rows: tuple[LayerRow, ...]
    count: int
    trained: int
    nbytes: int
    loss: str

    @property
    def total(self) -> str:
        """The last line: the number of parameters, their bytes, and the loss."""
        frozen = "" if self.trained == self.count else f", {self.trained:,} of them with requires_g"
        return f"{counted(self.count)}{frozen}, {bytes_text(self.nbytes)}; loss {self.loss}"

    def __str__(self) -> str:
        cells = [HEAD, *self._cells()]
        widths = [max(len(row[k]) for row in cells) for k in range(len(HEAD))]
        lines = ["  ".join(_aligned(row, widths)).rstrip() for row in cells]
        return "\n".join([*lines, self.total])

    __repr__ = __str__

    def _cells(self) -> Iterator[tuple[str, ...]]:
        for row in self.rows:
            yield row.layer, row.output, row.parameters, f"{row.count:,}"

    def _repr_html_(self) -> str:
        from html import escape  # which training does without

        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in HEAD)
        body = "".join(
            f"<tr>{''.join(f'<td style={chr(39)}text-align:left{chr(39)}>{escape(cell)}</td>' for cell in row)}</tr>"
            for row in self._cells()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{escape(self.total)}</p>"


def summary_of(layers: Sequence[Any], loss: Any) -> Summary:
    """The Summary of a sequence of layers."""
    rows, width = [], ""
    for layer in layers:
        tensors = _parameters(layer)
        width = f"(n, {layer.w.shape[1]})" if isinstance(layer, Lin) else width if not tensors else ""
        shapes = " ".join(f"{_name(layer, p)} {p.shape}".replace("None ", "") for p in tensors)
        rows.append(LayerRow(_said(layer), width, shapes, sum(p.size for p in tensors)))
    everything = _parameters([*layers, loss])
    trained = sum(p.size for p in everything if p.requires_g)
    nbytes = sum(p.nbytes for p in everything)
    return Summary(tuple(rows), sum(p.size for p in everything), trained, nbytes, _said(loss))


def counted(count: int) -> str:
    """A number of parameters."""
    return f"{count:,} parameter{'s' * (count != 1)}"


def _parameters(part: Any) -> list[Tensor]:
    """The tensors of a layer, with those that are not trained."""
    trained = parameters_in(part)
    return trained + [t for t in tensors_in(part) if not t.requires_g and all(t is not p for p in trained)]


def _name(layer: Any, p: Tensor) -> str:
    return p.name or next((name for name, value in getattr(layer, "__dict__", {}).items() if value is p), "")


def _said(layer: Any) -> str:
    """A layer as text: its repr, or the name of a function or of a class without a repr of its own."""
    if getattr(type(layer), "__repr__", None) is object.__repr__:
        return f"{type(layer).__name__}()"
    return str(getattr(layer, "__name__", None) or repr(layer))


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1].rjust(widths[-1])]
