"""The page: a scene as one interactive, self-contained HTML file.

Its parts are beside this module: template.html, style sheets and small scripts. A Content-Security-Policy in the file
forbids it to load anything, or to run anything but these scripts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sys
from functools import cache
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl

from pybackprop.core.files import replace
from pybackprop.teach.page.judge_answer import Answers
from pybackprop.teach.page.packed import written
from pybackprop.teach.page.rows import limit_of
from pybackprop.teach.page.scene import Scene

__all__ = ["Frame", "folded", "html_of", "part", "serve", "server_of", "write"]

STYLES = ("page", "stage", "element", "media")  # the last sets anew what the others have set
SCRIPTS = (
    "numbers", "network", "explain", "training_step", "lives", "products", "verdicts", "fragment", "dom",
    "text_width", "grid_input", "grid", "cell_look", "room", "joins", "strip", "formula", "element", "slope",
    "step_bar", "step_panel", "steps", "panel", "falk", "elementwise", "product_drawing", "product_words",
    "product", "own_parse", "own_value", "own_compare", "own_formula", "equal_sizes", "copy", "questions", "unpack",
    "app",
)  # fmt: skip
SERVED = ("ask_judge",)  # what only the served page has
LINKED = ("linked",)  # what only the page that a notebook links to Python has
HOST = "127.0.0.1"


def html_of(scene: Scene, served: bool = False, linked: bool = False) -> str:
    """The page as one HTML document. Raises ValueError if it would be larger than rows.LIMIT bytes, for at most
    rows.FEW rows of data rows.LARGEST.

    served: whether it may ask the server it comes from what judge says. linked: whether it tells the page around it
    what its reader changes, and takes what that says.
    """
    style, script = _style(), _script(served, linked)
    numbers = _inert(scene.to_json(derived=False, write=written))
    parts = {"policy": _policy(style, script, served), "style": style, "script": script, "scene": numbers}
    html = part("template.html")
    for name, text in parts.items():
        html = html.replace("{{" + name + "}}", text, 1)
    size, limit = len(html.encode()), limit_of(scene.n)
    if size > limit:
        raise ValueError(f"page: found {size} bytes, expected at most {limit}. Show fewer rows or a smaller network")
    return html


class Frame:
    """The page in a notebook's cell: a frame that may run its own script, and reach nothing else."""

    def __init__(self, scene: Scene, height: int = 760) -> None:
        self.html, self.height = html_of(scene), height

    def __repr__(self) -> str:
        return f"<the page of explain, {len(self.html.encode())} bytes; a notebook shows it>"

    def _repr_html_(self) -> str:
        allowed = 'sandbox="allow-scripts allow-downloads" allow="clipboard-write"'
        size = f'width="100%" height="{self.height}" style="border: 0"'
        return f'<iframe title="Backpropagation" {allowed} {size} srcdoc="{escape(self.html)}"></iframe>'


def folded(text: str) -> str:
    """Text, as HTML, that is shown below a page once its reader asks for it."""
    return f"<details><summary>as text</summary>{text}</details>"


def write(path: str | Path, scene: Scene) -> None:
    """Writes the page to a file, completely or not at all. Raises OSError if that fails."""
    html = html_of(scene).encode()

    def write_to(stream: IO[bytes]) -> None:
        stream.write(html)

    replace(Path(os.path.realpath(path)), write_to)


def serve(scene: Scene, port: int = 0) -> None:
    """Serves the page on this machine's loopback address until Ctrl-C; port 0: any free port.

    Prints the address. Raises OSError for a port that is in use.
    """
    with server_of(scene, port) as server:
        print(f"The page is at http://{HOST}:{server.server_port}/ (Ctrl-C to stop)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def server_of(scene: Scene, port: int = 0) -> ThreadingHTTPServer:
    """A server of the page, bound to the loopback address; the caller runs and closes it."""
    page, answers = html_of(scene, served=True).encode(), Answers(scene)

    class Page(_Handler):
        body = page

        def judge(self, tensor: str, formula: str, names: dict[str, str]) -> dict[str, Any]:
            return answers.answer(tensor, formula, names)

    return _Server((HOST, port), Page)


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a browser that keeps its connection does not keep the command alive

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a client that left before it had its answer."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    body = b""
    timeout = 10  # seconds until a silent connection is closed

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        if not self._is_for_us():  # guards against DNS rebinding: no other site may read the numbers
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        path, _, query = self.path.partition("?")
        if path in ("/", "/index.html"):
            self._send(self.body, "text/html", with_body)
        elif path == "/judge":
            asked = dict(parse_qsl(query))
            said = self.judge(asked.get("tensor", ""), asked.get("formula", ""), asked)
            self._send(json.dumps(said).encode(), "application/json", with_body)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def judge(self, tensor: str, formula: str, names: dict[str, str]) -> dict[str, Any]:
        """What judge says of a formula, as plain types. names: what names in it mean, as Answers has them."""
        raise NotImplementedError

    def _send(self, body: bytes, kind: str, with_body: bool) -> None:
        self.send_response(HTTPStatus.OK)
        for name, value in _headers(len(body), kind).items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _is_for_us(self) -> bool:
        host = self.headers.get("Host", HOST).rpartition(":")[0] or self.headers.get("Host", HOST)
        return host in (HOST, "localhost")

    def log_message(self, format: str, *args: Any) -> None:
        """Prints nothing, so that the terminal shows only the address."""


def _headers(length: int, kind: str) -> dict[str, str]:
    return {
        "Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(length), "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "frame-ancestors 'none'",
    }  # fmt: skip


# ---- the parts ----


@cache
def part(name: str) -> str:
    """The text of a file beside this module."""
    return (resources.files("pybackprop.teach.page") / name).read_text(encoding="utf-8")


@cache
def _style() -> str:
    return _compact_style("\n".join(part(f"{name}.css") for name in STYLES))


@cache
def _script(served: bool, linked: bool) -> str:
    names = (SERVED if served else ()) + SCRIPTS + (LINKED if linked else ())
    return "\n".join(_compact(part(f"{name}.js")) for name in names)


def _compact(script: str) -> str:
    """Without comments, indentation and line ends that nothing needs; no string of ours goes over several lines."""
    without = re.sub(r"^\s*(//.*|/\*\*.*?\*/)\n", "", script, flags=re.MULTILINE)
    without = re.sub(r"^\s*/\*\*.*?\*/\n", "", without, flags=re.MULTILINE | re.DOTALL)
    without = re.sub(r"(?<=[;,{}(])[ ]+// .*$", "", without, flags=re.MULTILINE)
    return re.sub(r"(?<=[;,{(\[])\n+", "", re.sub(r"^\s+", "", without, flags=re.MULTILINE))


def _compact_style(style: str) -> str:
    """Without comments and space that separates nothing."""
    return re.sub(r"\s*([{};])\s*", r"\1", re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)).replace(": ", ":")


def _policy(style: str, script: str, served: bool) -> str:
    connect = "connect-src 'self'; " if served else ""
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; {connect}"
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _inert(text: str) -> str:
    """JSON escaped so that no name in it can close the surrounding script element."""
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
