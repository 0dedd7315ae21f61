"""Renderable: the forms in which explanations and comparisons can be shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from pybackprop.teach.render.document import Document
from pybackprop.teach.render.formula import Line, latex, mathml


class Renderable:
    """Can be shown as plain text (print), in colours (rich), in a notebook, as formulas and as JSON."""

    def document(self) -> Document:
        """The text as blocks, for terminals and notebooks."""
        raise NotImplementedError

    def formulas(self) -> Sequence[Line]:
        """The derivation, one formula per line."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain numbers and strings."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.document().plain().strip("\n")

    __repr__ = __str__

    def __rich__(self) -> Any:
        return self.document().rich()

    def _repr_html_(self) -> str:
        return self.document().html() + self.mathml()

    def latex(self) -> str:
        """The derivation, with this example's indices, as an aligned environment."""
        return latex(self.formulas())

    def mathml(self) -> str:
        """The derivation as a <math> element."""
        return mathml(self.formulas())

    def to_json(self) -> str:
        """to_dict as JSON; numbers that are not finite become the strings "nan", "inf", "-inf"."""
        return json.dumps(_plain(self.to_dict()), allow_nan=False)


def _plain(value: Any) -> Any:
    """The value with strings in place of NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
