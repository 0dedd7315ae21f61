"""Builds the site into build/site: python tools/build_site.py [--no-tests] [--fast]. Needs the extras dev and docs.

Runs the code of the pages (tests/docs; --no-tests leaves that out, where it has just been done), the notebooks and the
gallery; writes the reference from the docstrings; lets Sphinx build all of it, a warning being an error; and checks
every link and every picture of the result. --fast leaves out what is run: for a look at the text.

Open build/site/index.html, or serve the folder: python -m http.server -d build/site
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import make_docs
import nbformat
import site_links
import site_reference
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
SOURCES, SITE = ROOT / "build" / "site-sources", ROOT / "build" / "site"
REPOSITORY = "https://github.com/pybackprop/pybackprop/blob/main"
# Each section of the site: what it is about, and its pages in their order.
SECTIONS = {
    "Learn": (
        "What a gradient is, element by element.",
        ["tutorial", "why", "explanations", "notebooks/lesson", "notebooks/explain"],
    ),
    "Use": (
        "Train networks on your own data.",
        [
            "install",
            "table",
            "everyday",
            "layers-and-plans",
            "from-pytorch",
            "interchange",
            "scikit-learn",
            "command-line",
            "distributed",
            "gallery",
            "notebooks/everyday",
            "notebooks/table",
        ],
    ),
    "Laboratory": (
        "Write a kernel, check every bit of it, and time it.",
        ["lab", "lab-machine", "notebooks/kernel"],
    ),
    "How it works": (
        "How it is fast, why its bits are the same everywhere, and where the bytes go.",
        ["kernels", "plan", "threads", "bits", "memory", "inplace", "accuracy", "performance", "reliability"],
    ),
}
PAGE = """<iframe class="explanation" src="_static/explanation.html" title="The page of explanations"></iframe>
<p><a href="_static/explanation.html">In a window of its own</a></p>"""
WIDGET = "application/vnd.jupyter.widget-view+json"
OUTSIDE = re.compile(r"\]\(\.\./([^)\s]*)\)")
PICTURE = re.compile(r"[\w-]+\.png")
ALT = re.compile(
    r"\n*<!-- ([\w-]+\.png): (.*?) -->", re.DOTALL
)  # what is seen in a picture, after the block that draws it


class Kernel(AsyncKernelManager):
    """A kernel that is reached by files: ports may be taken by other programs."""

    def _transport_default(self) -> str:
        return "ipc"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-tests", action="store_true")
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    if not (options.no_tests or options.fast):
        _step("the code of the pages", lambda: _run("pytest", "-q", "tests/docs"))
    _step("the sources", lambda: stage(runs=not options.fast))
    if not options.fast:
        _step("the notebooks", _notebooks)
    _step("Sphinx", _sphinx)
    _step("the links", lambda: site_links.check(SITE, REPOSITORY, ROOT))
    print(f"the site is in {SITE.relative_to(ROOT)}")


def _step(name: str, do: Callable[[], None]) -> None:
    began = time.monotonic()
    print(f"-- {name}", flush=True)
    do()
    print(f"   {time.monotonic() - began:.0f} s", flush=True)


def stage(runs: bool) -> None:
    """The sources of the site: the pages of docs/, and those that are generated."""
    shutil.rmtree(SOURCES, ignore_errors=True)
    shutil.copytree(ROOT / "docs", SOURCES)
    shutil.copytree(ROOT / "examples", SOURCES / "notebooks", ignore=shutil.ignore_patterns("*.py", ".*"))
    for page in SOURCES.glob("*.md"):
        page.write_text(outside(page.read_text("utf-8")), "utf-8")
    _explanations()
    if runs:
        _gallery(SOURCES / "gallery.md")
    site_reference.write(SOURCES / "reference")
    _navigation()


def outside(text: str) -> str:
    """A page whose links to files outside docs/ lead to the repository; notebooks are pages of the site."""
    text = re.sub(r"\]\(\.\./examples/(\w+\.ipynb)\)", r"](notebooks/\1)", text)
    return OUTSIDE.sub(rf"]({REPOSITORY}/\1)", text)


def _explanations() -> None:
    """The page of explanations, in the place that explanations.md has for it."""
    written = SOURCES / "_static" / "explanation.html"
    _run("pybackprop", "explain", "--element", "w1[3,7]", "--html", str(written), quiet=True)
    page = SOURCES / "explanations.md"
    page.write_text(page.read_text("utf-8").replace("<!-- the page -->", PAGE), "utf-8")


def _gallery(page: Path) -> None:
    """Runs the page's code, and puts each picture after the block that draws it, with what the page says is seen."""
    text = page.read_text("utf-8")
    seen = seen_in(text)
    with make_docs.Session(str(SOURCES)) as session:

        def drawn(match: re.Match[str]) -> str:
            session.run(match[1], match[2])
            return match[0] + "".join(f"\n\n![{seen[name]}]({name})" for name in PICTURE.findall(match[2]))

        page.write_text(make_docs.BLOCK.sub(drawn, ALT.sub("", text)), "utf-8")


def seen_in(text: str) -> dict[str, str]:
    """What is seen in each picture of the gallery, by its file's name, as its comments say it."""
    return {name: " ".join(words.split()) for name, words in ALT.findall(text)}


def _navigation() -> None:
    """A page for each section, and all sections on the first page."""
    names = []
    for title, (about, pages) in SECTIONS.items():
        names.append(f"section-{title.lower().replace(' ', '-')}")
        listed = "\n".join(["```{toctree}", ":maxdepth: 1", "", *pages, "```"])
        (SOURCES / f"{names[-1]}.md").write_text(f"# {title}\n\n{about}\n\n{listed}\n", "utf-8")
    tree = "\n".join(["```{toctree}", ":hidden:", "", *names, "reference/index", "```"])
    index = SOURCES / "index.md"
    index.write_text(f"{index.read_text('utf-8')}\n{tree}\n", "utf-8")


def _notebooks() -> None:
    """Runs the notebooks one after another; what one writes to stderr, such as a warning, is an error."""
    for path in sorted((SOURCES / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        options = {"kernel_name": "python3", "timeout": 300, "store_widget_state": False}
        NotebookClient(notebook, kernel_manager_class=Kernel, **options).execute()
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                if output.output_type == "stream" and output.name == "stderr":
                    raise SystemExit(f"build_site: {path.name}: {output.text}")
                output.get("data", {}).pop(WIDGET, None)  # the site has no kernel, and shows the same as HTML
        nbformat.write(notebook, path)


def _sphinx() -> None:
    shutil.rmtree(SITE, ignore_errors=True)
    _run("sphinx", "-q", "-W", "--keep-going", "-b", "html", str(SOURCES), str(SITE))


def _run(module: str, *arguments: str, quiet: bool = False) -> None:
    environment = {**os.environ, "PYBACKPROP_ROOT": str(ROOT), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    command = [sys.executable, "-m", module, *arguments]
    output = subprocess.DEVNULL if quiet else None
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=output, check=False)
    if done.returncode:
        raise SystemExit(f"build_site: {module} failed")


if __name__ == "__main__":
    main()
