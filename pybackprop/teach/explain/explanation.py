"""Explanation: why one element's gradient is what it is, in every form in which it can be shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from pybackprop.teach.explain.derivation import derivation
from pybackprop.teach.explain.element_text import document
from pybackprop.teach.explain.facts import Facts
from pybackprop.teach.render.document import Document
from pybackprop.teach.render.formula import Line
from pybackprop.teach.render.renderable import Renderable

if TYPE_CHECKING:
    from pybackprop.teach.page.scene import Scene


class Explanation(Facts, Renderable):
    """Why t.g[at] is what it is: print it, or read its parts.

    moves    which values move when the element moves, in words
    terms    each with .at .local .upstream .product (and .through, the tensor that .at is an index of), in the
             definition's order; len() and slices cost little however many there are
    total    their sum as csrc/reference.c adds them: t.g[at], bit for bit (agrees says so; g is what t.g holds)
    matmul   the gradient of the whole tensor: "x.T @ l1.g"
    check    relative error, signed, of total against a measured slope; NaN where nothing can be measured
    notes    what the reader must know: a .g that is not of this forward pass, a NaN and where it arose

    Also .name .at .shape .dtype .value (of the element), .element "w1[3,7]" and .gradient_name "w1.g[3,7]". On the
    way through an operation without a rule (is_measured) local derivatives were measured: total is then t.g[at] as
    closely as measuring allows.
    """

    def document(self) -> Document:
        """The text, in six steps, to be shown in a terminal or a notebook."""
        return document(self)

    def formulas(self) -> Sequence[Line]:
        """The derivation, a line each: the chain rule, with the known derivatives, with numbers, for all elements."""
        return derivation(self.name, self.walk.network, self.paths, str(self.dtype.type(self.total)))

    def plot(self, path: str | File | None = None) -> Any:
        """A matplotlib figure: the matrices as heat maps with the element, what it moves and the terms marked.

        path: where to save it too (.png, .svg, .pdf). Raises ImportError without matplotlib.
        """
        from pybackprop.teach.explain.heatmap import figure_of  # loaded when somebody draws

        return figure_of(self, path)

    def to_html(self, path: str | File | None = None) -> str:
        """The page to play with, the network's matrices on it and this element chosen; path: where to save it too.

        Raises GradientError and ValueError for a network that the page cannot show.
        """
        from pybackprop.teach.page import html  # loaded when somebody wants a page

        scene = self.scene()
        if path is not None:
            html.write(path, scene)
        return html.html_of(scene)

    def scene(self) -> Scene:
        """What the page shows. Raises GradientError and ValueError for a network that it cannot show."""
        from pybackprop.teach.page.from_graph import scene_of_walk

        return scene_of_walk(self.walk, self.tensor, self.at)
