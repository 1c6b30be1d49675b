"""Checks the HTML of the site: no dead link, nothing fetched from elsewhere, every public name there."""

import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from docs.website import api

FETCHED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("object", "data")}
SHEETS = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "manifest"}


class Page(HTMLParser):
    """What a page has and what it points to."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for each element."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        self.fetched += [values[name] for place, name in FETCHED if place == tag and name in values]
        if tag == "link" and SHEETS & set(values.get("rel", "").split()):
            self.fetched.append(values.get("href", ""))


def faults(site: Path) -> list[str]:
    """One line for each fault of the site."""
    pages = {path.relative_to(site).as_posix(): Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    # Its links are absolute, for a server that shows it anywhere.
    pages.pop("404.html", None)
    return [*dead(site, pages), *foreign(site, pages), *undocumented(site)]


def dead(site: Path, pages: dict[str, Page]) -> list[str]:
    """Links to files or anchors that are not there."""
    found = []
    for name, page in pages.items():
        for link in {*page.links, *page.fetched}:
            target, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:|//", target):
                continue
            there = (site / name).parent / unquote(target.partition("?")[0]) if target else site / name
            inside = there.resolve()
            if not inside.is_file():
                found.append(f"{name}: dead link {link}")
            elif anchor and inside.suffix == ".html":
                shown = pages.get(inside.relative_to(site.resolve()).as_posix())
                if shown is not None and unquote(anchor) not in shown.anchors and not anchor.startswith("__"):
                    found.append(f"{name}: dead anchor {link}")
    return sorted(found)


def foreign(site: Path, pages: dict[str, Page]) -> list[str]:
    """What a browser would fetch from elsewhere when it opens a page."""
    found = [f"{name}: fetches {link}" for name, page in pages.items() for link in page.fetched if _elsewhere(link)]
    for sheet in site.rglob("*.css"):
        links = re.findall(r"url\(\s*['\"]?([^'\")]+)", sheet.read_text(encoding="utf-8"))
        found += [f"{sheet.relative_to(site)}: fetches {link}" for link in links if _elsewhere(link)]
    return sorted(set(found))


def _elsewhere(link: str) -> bool:
    return bool(re.match(r"https?:|//", link))


def undocumented(site: Path) -> list[str]:
    """Public names without an entry in the site's inventory, or a heading of their own."""
    there = inventory(site) | Page((site / "api" / "index.html").read_text(encoding="utf-8")).anchors
    return [f"prudent.{name} is not in the API ({path})" for name, path in api.public().items() if path not in there]


def inventory(site: Path) -> set[str]:
    """Every name in ``objects.inv``, by which the documentation of other projects links to this one."""
    _, _, _, _, packed = (site / "objects.inv").read_bytes().split(b"\n", 4)
    return {line.split(" ", 1)[0] for line in zlib.decompress(packed).decode("utf-8").splitlines()}
