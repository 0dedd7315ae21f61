"""An explanation in a notebook: the page in its cell, live where it can be, and the text where it cannot be shown."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from pybackprop.core.errors import GradientError
from pybackprop.engine.text_bar import in_notebook
from pybackprop.teach.page.from_graph import leaves_of_walk
from pybackprop.teach.page.html import Frame, folded
from pybackprop.teach.page.scene import Scene
from pybackprop.teach.trace.gradients import Walk

if TYPE_CHECKING:
    from pybackprop.teach.page.live import LivePage

__all__ = ["html_of", "live_bundle", "page_of"]

NOT_SHOWN = (GradientError, ValueError, TypeError)  # what scene() raises for a network that the page cannot show


class Explained(Protocol):
    """What an Explanation has that is needed here."""

    walk: Walk

    def scene(self) -> Scene:
        """What the page shows."""
        ...


def page_of(explained: Explained, height: int, live: bool | None) -> Frame | LivePage:
    """See Explanation.page."""
    scene = explained.scene()
    if live or (live is None and _can_live()):
        return _live(explained, scene, height)
    return Frame(scene, height)


def html_of(explained: Explained, text: str) -> str:
    """The page in a frame, and below it the text, folded; the text alone where the page cannot show the network."""
    try:
        frame = Frame(explained.scene())
    except NOT_SHOWN:
        return text
    return frame._repr_html_() + folded(text)


def live_bundle(explained: Explained, text: Callable[[], str]) -> Any:
    """What a notebook shows of the live page, or None where there is none; text gives that of html_of."""
    if not _can_live():
        return None
    try:
        page = _live(explained, explained.scene(), text=text())
    except NOT_SHOWN:
        return None
    data, metadata = page._repr_mimebundle_()
    return {**data, "text/plain": str(explained)}, metadata


def _can_live() -> bool:
    return in_notebook() and find_spec("anywidget") is not None


def _live(explained: Explained, scene: Scene, height: int = 760, text: str = "") -> LivePage:
    try:
        from pybackprop.teach.page.live import LivePage
    except ModuleNotFoundError as error:
        raise ImportError(
            "explain: a live page needs anywidget: pip install 'pybackprop[notebook]'; page(live=False) does without"
        ) from error
    return LivePage(scene, leaves_of_walk(explained.walk, scene), height, text)
