"""Explanation: why one element's gradient is what it is, in every form it can be shown in."""

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
    from pybackprop.teach.page.html import Frame
    from pybackprop.teach.page.live import LivePage
    from pybackprop.teach.page.scene import Scene


class Explanation(Facts, Renderable):
    """Why t.g[at] is what it is: print it, or read its parts.

    moves    which values move when the element moves, in words
    terms    each with .at .local .upstream .product (and .through, the tensor that .at is an index of), in the
             definition's order; created on demand, so len() and slices are cheap
    total    their sum as csrc/reference.c adds them: t.g[at], bit for bit (see agrees; g is what t.g holds)
    matmul   the gradient of the whole tensor: "x.T @ l1.g"
    check    relative error, signed, of total against a measured slope; NaN where nothing can be measured
    notes    warnings: a .g that is not from this forward pass, a NaN and where it first appeared

    Also .name .at .shape .dtype .value (of the element), .element "w1[3,7]" and .gradient_name "w1.g[3,7]". For an
    operation without a rule, local derivatives are measured (is_measured): total is then t.g[at] as closely as
    measuring allows.
    """

    def document(self) -> Document:
        """The text, in six steps, for a terminal or a notebook."""
        return document(self)

    def formulas(self) -> Sequence[Line]:
        """The derivation, line by line: the chain rule, with the known derivatives, with numbers, for all elements."""
        return derivation(self.name, self.walk.network, self.paths, str(self.dtype.type(self.total)))

    def plot(self, path: str | File | None = None) -> Any:
        """A matplotlib figure: the matrices as heat maps with the element, what it moves and the terms marked.

        path: where to save it too (.png, .svg, .pdf). Raises ImportError without matplotlib.
        """
        from pybackprop.teach.explain.heatmap import figure_of  # matplotlib is optional

        return figure_of(self, path)

    def to_html(self, path: str | File | None = None) -> str:
        """The interactive page with the network's matrices and this element selected; path: where to save it too.

        Raises GradientError and ValueError for a network that the page cannot show.
        """
        from pybackprop.teach.page import html  # keeps import pybackprop fast

        scene = self.scene()
        if path is not None:
            html.write(path, scene)
        return html.html_of(scene)

    def page(self, height: int = 760, live: bool | None = None) -> Frame | LivePage:
        """The interactive page for a notebook's cell, in a frame of that many pixels.

        live: whether it is linked to Python, so that what is changed in it is written to the tensors, and what changes
        there is shown: see LivePage. By default it is in a notebook where anywidget is installed.
        Raises GradientError, ValueError and TypeError for a network that the page cannot show; ImportError for
        live=True without anywidget.
        """
        from pybackprop.teach.page import notebook  # keeps import pybackprop fast

        return notebook.page_of(self, height, live)

    def _repr_html_(self) -> str:
        """The page, and the text below it; the text alone for a network that the page cannot show."""
        from pybackprop.teach.page import notebook

        return notebook.html_of(self, super()._repr_html_())

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The live page, where there is one; anything else is left to the other forms."""
        from pybackprop.teach.page import notebook

        return notebook.live_bundle(self, super()._repr_html_)

    def scene(self) -> Scene:
        """What the page shows. Raises GradientError, ValueError and TypeError for a network that it cannot show."""
        from pybackprop.teach.page.from_graph import scene_of_walk

        return scene_of_walk(self.walk, self.tensor, self.at)
