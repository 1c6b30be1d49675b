"""What every page is made with: the templates, pictures as text, settings as they are shown."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from prudent.runs.read import NOTHING
from prudent.version import __version__


def render(template: str, **values: Any) -> str:
    """A page of ``*.html.j2``; whatever ``values`` hold is text in it."""
    import jinja2

    # The data's name and everything else may come from a stranger: escaping is on and a misspelt variable an error.
    loader = jinja2.FunctionLoader(lambda name: files("prudent.report").joinpath(name).read_text("utf-8"))
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(version=__version__, **values)


def links(folder: Path, names: Iterable[str]) -> list[dict[str, str]]:
    """Those that are there, by ``name`` and ``href``."""
    return [{"name": name, "href": quote(name)} for name in names if (folder / name).exists()]


def data_uri(path: Path, kind: str) -> str:
    """A file as the address of itself."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def setting_pairs(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings as they are shown: names without underscores, lists with commas, nothing hidden."""
    pairs: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            pairs += [(f"{name} {inner}", shown) for inner, shown in setting_pairs(value)]
        else:
            pairs.append((str(name).replace("_", " "), _shown(value)))
    return pairs


def _shown(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        # Sentences, such as the notes on the data, would run into each other with commas.
        separator = "; " if any(isinstance(item, str) and " " in item for item in value) else ", "
        return separator.join(_shown(item) for item in value) or NOTHING
    return str(value)
