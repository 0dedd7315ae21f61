"""Checks the links of a built site: each page, part of a page, picture and script that it names is there.

There may be no network: of addresses elsewhere only the form is checked, and those of the repository by its files.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

EXTERNAL = re.compile(r"https://[\w.-]+\.[a-z]{2,}(/[^\s<>\"]*)?")


class Page(HTMLParser):
    """What a page links to, loads, and has names for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attributes if value is not None}
        self.names |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in ("img", "script", "iframe", "source") and "src" in given:
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload", "modulepreload"):
            self.loaded.append(given.get("href", ""))


def check(site: Path, repository: str, root: Path) -> None:
    """Raises SystemExit with a list of the links that lead nowhere, and of what is loaded from elsewhere."""
    faults = found(site, repository, root)
    if faults:
        raise SystemExit("\n".join([f"build_site: {len(faults)} links lead nowhere", *faults]))


def found(site: Path, repository: str, root: Path) -> list[str]:
    """What is wrong with the links of the site's pages, a line for each."""
    written = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]  # templates of the theme
    pages = {path.resolve(): Page(path.read_text("utf-8")) for path in written}
    faults = []
    for path, page in pages.items():
        where = path.relative_to(site.resolve()).as_posix()
        faults += [f"{where}: loads {target} from elsewhere" for target in page.loaded if _is_elsewhere(target)]
        for target in [*page.links, *(target for target in page.loaded if not _is_elsewhere(target))]:
            if not _leads_somewhere(path, target, pages, repository, root):
                faults.append(f"{where}: {target}")
    return faults


def _is_elsewhere(target: str) -> bool:
    return bool(urlsplit(target).netloc)


def _leads_somewhere(path: Path, target: str, pages: dict[Path, Page], repository: str, root: Path) -> bool:
    parts = urlsplit(target)
    if target.startswith(f"{repository}/"):
        return (root / unquote(target.removeprefix(f"{repository}/").partition("#")[0])).exists()
    if parts.scheme in ("mailto", "data") or not target:
        return bool(target)
    if parts.netloc:
        return EXTERNAL.fullmatch(target) is not None
    file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not file.is_file():
        return False
    anchor = unquote(parts.fragment)
    return not anchor or file not in pages or anchor in pages[file].names
