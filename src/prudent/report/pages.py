"""What every page is made with: templates, embedded pictures, settings as text."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from prudent.errors import printable
from prudent.runs.read import NOTHING
from prudent.version import __version__


def render(template: str, **values: Any) -> str:
    """A page from a template ``*.html.j2``; all ``values`` are escaped."""
    import jinja2

    # Names and values may come from a stranger: escaping is on, and a misspelt variable is an error.
    loader = jinja2.FunctionLoader(lambda name: files("prudent.report").joinpath(name).read_text("utf-8"))
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(version=__version__, **values)


def encoded(page: str) -> bytes:
    """A page as the bytes of its file: names that are no UTF-8, and control characters, are spelled out."""
    return printable(page).encode("utf-8")


def links(folder: Path, names: Iterable[str]) -> list[dict[str, str]]:
    """``name`` and ``href`` of the files that exist in ``folder``."""
    return [{"name": name, "href": quote(name)} for name in names if (folder / name).exists()]


def figure(path: Path, style: str, alt: str, caption: str) -> dict[str, str]:
    """A PNG for the macro ``figure`` of the templates; ``style`` is its CSS class."""
    return {"style": style, "data": data_uri(path, "image/png"), "alt": alt, "caption": caption}


def data_uri(path: Path, media_type: str) -> str:
    """A file as a ``data:`` URI."""
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def setting_pairs(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values of all settings as text: no underscores, lists with commas."""
    pairs: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            pairs += [(f"{name} {key}", text) for key, text in setting_pairs(value)]
        else:
            pairs.append((str(name).replace("_", " "), _text(value)))
    return pairs


def _text(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        # Sentences, such as the notes on the data, contain commas themselves.
        separator = "; " if any(isinstance(item, str) and " " in item for item in value) else ", "
        return separator.join(_text(item) for item in value) or NOTHING
    return str(value)
