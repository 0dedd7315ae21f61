"""The page in a notebook, linked to Python: what its reader changes is written to the tensors, and back.

The page stands in a frame and speaks with widget.js around it, which anywidget connects with this process. Tensors are
held by weak references, because a notebook keeps its widgets for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import RLock
from typing import Any
from weakref import WeakSet, ref

import anywidget
import numpy as np
import traitlets
from IPython import get_ipython

from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.teach.page.html import Frame, folded, html_of, part
from pybackprop.teach.page.scene import Scene
from pybackprop.teach.render.json_numbers import shortest
from pybackprop.teach.trace.notation import element

__all__ = ["LivePage"]

_lock = RLock()  # JupyterLab lets messages be read in a thread of their own, while a cell runs

VIEWS = 8  # that a page may have at once; the one that was shown first is forgotten


class _View:
    """One showing of the page: the numbers of the leaves that it has, and how many of its messages were answered."""

    def __init__(self, scene: Scene) -> None:
        self.known = {name: np.ascontiguousarray(scene.tensors[name][0]).copy() for name in scene.leaves()}
        self.answered = 0

    def news(self, name: str, now: Array) -> dict[str, Any] | None:
        """Which numbers of a leaf differ from those the page has: flat indices and values. From now on it has them."""
        now = np.ascontiguousarray(now)
        bits = f"u{now.itemsize}"
        known = self.known[name].reshape(-1)
        at = np.flatnonzero(now.reshape(-1).view(bits) != known.view(bits))
        if not at.size:
            return None
        known[at] = now.reshape(-1)[at]
        return {"at": at.tolist(), "values": shortest(known[at])}


class LivePage(anywidget.AnyWidget):  # type: ignore[misc]
    """The page of explanations in a notebook's cell, linked to the tensors that it shows.

    A change of an element of the data, a weight, a bias or a target in the page is written to `.data` of its tensor,
    as `w1.data[3, 7] = 0.5` writes it: in the tensor's dtype, without the tape, and without a new `.g`. Only the rows
    that are shown can change. Values that an operation computes are nudged in the page alone. Where memory is
    read-only, or a tensor is gone or has another shape, the page says so.

    chosen   name and indices of the chosen element, ("w1", (3, 7)); can be set, and observed as any trait. Raises
             KeyError and IndexError for an element that does not exist
    height   of the frame, in pixels
    refresh  sends the page what changed in the tensors; by itself after every cell

    It does not keep the tensors alive. close() ends the link.
    """

    _esm = part("widget.js")
    html = traitlets.Unicode().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int().tag(sync=True)
    chosen = traitlets.Tuple(traitlets.Unicode(), traitlets.Tuple()).tag(sync=True)

    def __init__(self, scene: Scene, leaves: Mapping[str, Tensor], height: int = 760, text: str = "") -> None:
        """leaves: the tensors behind the scene's leaves; text: HTML that is folded below the page."""
        self._scene, self._views, self._events = scene, dict[str, _View](), None
        self._leaves = {name: (ref(t), t.shape) for name, t in leaves.items()}
        super().__init__(html=html_of(scene, linked=True), text=text, height=height, chosen=scene.selected)
        self.on_msg(self._received)
        self._events = _follow(self)

    @traitlets.validate("chosen")  # type: ignore[untyped-decorator]
    def _exists(self, proposal: Any) -> tuple[str, tuple[int, ...]]:
        name, at = self._scene.choose(*proposal["value"]).selected
        if name == self._scene.layers[-1]["out"]:
            raise KeyError(f"page: {name} is where the backward pass began; choose an element it was computed from")
        return name, at

    def __repr__(self) -> str:
        return f"<the live page of explain at {element(*self.chosen)}; a notebook shows it>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget; for what shows no widgets the page as it is now, in a frame of its own."""
        data, metadata = super()._repr_mimebundle_(**options)
        frame = Frame(self._scene.choose(*self.chosen), self.height)
        return {**data, "text/html": frame._repr_html_() + (folded(self.text) if self.text else "")}, metadata

    def close(self) -> None:
        """Ends the link, and takes the page out of the notebook."""
        _leave(self, self._events)
        super().close()

    def refresh(self) -> bool:
        """Sends the page the numbers that changed in the tensors; whether there were any. Nothing once closed."""
        if self.comm is None:
            return False
        with _lock:
            now = {name: values for name in self._leaves if (values := self._now(name)) is not None}
            told = [self._tell(key, view, now) for key, view in self._views.items()]
        return any(told)

    def _tell(self, key: str, view: _View, now: Mapping[str, Array]) -> bool:
        news = {name: found for name, values in now.items() if (found := view.news(name, values))}
        if news:
            self.send({"kind": "values", "view": key, "answered": view.answered, "tensors": news})
        return bool(news)

    def _now(self, name: str) -> Array | None:
        """The numbers of a leaf in the page's shape; None if it has none any more."""
        tensor, shape = self._tensor(name), self._scene.tensors[name][0].shape
        return None if isinstance(tensor, str) else tensor.data[: shape[0]].reshape(shape)

    def _tensor(self, name: str) -> Tensor | str:
        """The tensor behind a leaf, or why there is none."""
        reference, shape = self._leaves[name]
        tensor = reference()
        if tensor is None:
            return f"{name} no longer exists in Python"
        if tensor.shape != shape or tensor.dtype != self._scene.dtype:
            return f"{name} is {tensor.dtype} of shape {tensor.shape} now, and was {self._scene.dtype} of shape {shape}"
        return tensor

    # ---- what the page says ----

    def _received(self, _: Any, message: dict[str, Any], buffers: Any) -> None:
        with _lock:
            self._heed(str(message["view"]), message)

    def _heed(self, key: str, message: dict[str, Any]) -> None:
        if message["kind"] == "gone":
            self._views.pop(key, None)
        elif message["kind"] == "ready":
            self._views.pop(key, None)
            self._view(key)
            self.refresh()
        elif message["kind"] == "write":
            self._write_all(key, self._view(key), message)

    def _view(self, key: str) -> _View:
        if key not in self._views:
            self._views[key] = _View(self._scene)
            if len(self._views) > VIEWS:
                del self._views[next(iter(self._views))]
        return self._views[key]

    def _write_all(self, key: str, view: _View, message: dict[str, Any]) -> None:
        """Writes what the reader changed, and answers with a sentence."""
        changes = [(name, self._scene.choose(name, at).selected[1], value) for name, at, value in message["changes"]]
        problems = [self._write(view, name, at, float(value)) for name, at, value in changes]
        view.answered = int(message["count"])
        text = next(filter(None, problems), "") or self._written(*changes[-1][:2], len(changes))
        self.send({"kind": "answer", "view": key, "answered": view.answered, "text": text})
        for page in list(_open):  # others may show the same tensors
            page.refresh()

    def _write(self, view: _View, name: str, at: tuple[int, ...], value: float) -> str:
        """Writes one element; why it could not be written, or nothing."""
        tensor = self._tensor(name)
        if isinstance(tensor, str):
            return f"Only on this page: {tensor}."
        place = at[: tensor.ndim]  # targets (n,) are shown as (n,1)
        try:
            with np.errstate(over="ignore"):  # beyond float32 it is infinite, as on the page
                tensor.data[place] = value
        except ValueError:
            return f"Only on this page: {name} is read-only memory in Python."
        view.known[name][at] = tensor.data[place]
        return ""

    def _written(self, name: str, at: tuple[int, ...], count: int) -> str:
        now = self._now(name)
        if count > 1 or now is None:
            return f"{count} numbers are in Python what they are here."
        return f"{element(name, at)} is {now[at]!s} in Python too."


# ---- after each cell ----

_open: WeakSet[LivePage] = WeakSet()


def _refresh_all(*_: Any) -> None:
    for page in list(_open):
        page.refresh()


def _follow(page: LivePage) -> Any:
    """From now on the page is refreshed after each cell; the events of IPython's shell, or None without one."""
    _open.add(page)
    shell = get_ipython()
    if shell is None:
        return None
    shell.events.register("post_run_cell", _refresh_all)  # once, however often
    return shell.events


def _leave(page: LivePage, events: Any) -> None:
    """Ends that; with the last page, the cells are left alone."""
    _open.discard(page)
    if events is not None and not _open and _refresh_all in events.callbacks["post_run_cell"]:
        events.unregister("post_run_cell", _refresh_all)
