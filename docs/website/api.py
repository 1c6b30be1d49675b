"""The pages of the API: one for each room of the library, made of its docstrings by mkdocstrings."""

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

from docs.website.sources import ROOT

SOURCE = ROOT / "src" / "prudent"
OPTIONS = "\n    options:\n      heading_level: {level}\n"


def rooms() -> dict[str, list[str]]:
    """Page of each room (``prudent.data``), with the modules that it shows."""
    found: dict[str, list[str]] = {"prudent": ["prudent"]}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if len(parts) == 1 or any(part.startswith("_") for part in parts):
            continue
        is_package = path.name == "__init__.py"
        room = ".".join(parts if is_package or len(parts) == 2 else parts[:-1])
        modules = found.setdefault(room, [])
        modules.insert(0, room) if is_package else modules.append(".".join(parts))
    return found


def place_of(path: str) -> tuple[str, str] | None:
    """Page and anchor of a module such as ``prudent.data.load``."""
    return next(
        ((page_name(room), "" if path == room else path) for room, modules in rooms().items() if path in modules), None
    )


def page_name(room: str) -> str:
    """The file of a room's page."""
    return "api/index.md" if room == "prudent" else f"api/{room.removeprefix('prudent.')}.md"


def pages() -> dict[str, str]:
    """Every page of the API: its name, and its Markdown."""
    written = {page_name("prudent"): face()}
    for room, modules in rooms().items():
        if room == "prudent":
            continue
        first, *others = modules
        is_package = (SOURCE.parent / first.replace(".", "/") / "__init__.py").is_file()
        parts = [f"---\ntitle: {room}\n---\n", *(shown(module, 1 + (module != first)) for module in (first, *others))]
        if is_package and not others and first.count(".") == 1:
            parts.append("")
        written[page_name(room)] = "\n".join(parts)
    return written


def shown(path: str, level: int) -> str:
    """The docstrings of a module. What it imports from elsewhere is shown there."""
    return f"::: {path}{OPTIONS.format(level=level)}"


def public() -> dict[str, str]:
    """Every name that ``import prudent`` offers, and the full path that documents it."""
    import prudent

    agents = {name: f"prudent.{name}" for name in agent_names()}
    named = {name: path_of(getattr(prudent, name), name) for name in prudent.__all__}
    return dict(sorted((named | agents).items(), key=lambda pair: pair[0].lower()))


def path_of(thing: Any, name: str) -> str:
    """Where something is defined."""
    if name == "__version__":
        return "prudent.version.__version__"
    return f"{thing.__module__}.{thing.__qualname__}"


def agent_names() -> list[str]:
    """The agents, in the order of the names of their algorithms."""
    from prudent.agents import AGENTS

    return [agent.__name__ for agent in AGENTS.values()]


def face() -> str:
    """The page of what ``import prudent`` offers. Agents are made on demand, so it describes them itself."""
    from prudent import algorithms
    from prudent.agents import AGENTS

    parts = [
        "---\ntitle: prudent\n---\n",
        "# API",
        "Everything below is made from docstrings. `import prudent` offers these names; each room of the library has a "
        "page of its own, with all of its public names.",
        "| name | what it is |\n| --- | --- |",
    ]
    rows = [f"| [`prudent.{name}`][{path}] | {summary(name)} |" for name, path in public().items()]
    parts[-1] += "\n" + "\n".join(rows)
    parts += ["## The agents", "Each is a [`prudent.Agent`][prudent.agents.Agent] with the settings of its algorithm."]
    for name, agent in AGENTS.items():
        module = algorithms.get(name)
        settings = ", ".join(f"{f.name}={shown_default(f.default)}" for f in fields(module.Config))
        title = " ".join((inspect.getdoc(module) or "").split("\n\n")[0].split()).replace("``", "`")
        parts += [
            f"### `prudent.{agent.__name__}` {{ #prudent.{agent.__name__} }}",
            f"{title} Losses: [`prudent.algorithms.{name}`][prudent.algorithms.{name}].",
            f"```python\n{wrapped(agent.__name__, settings)}\n```",
        ]
    return "\n\n".join(parts) + "\n"


def summary(name: str) -> str:
    """The first sentence of a docstring."""
    import prudent

    if name == "__version__":
        return "The version."
    if (agent := getattr(prudent, name)).__name__ in agent_names():
        return f"Agent of [`{agent.algorithm}`][prudent.algorithms.{agent.algorithm}]."
    text = " ".join((inspect.getdoc(getattr(prudent, name)) or "").split("\n\n")[0].split())
    return text.replace("``", "`").replace("|", "\\|")


def shown_default(value: Any) -> str:
    """A default as Python code."""
    return f"{value:g}" if isinstance(value, float) else repr(value)


def wrapped(name: str, settings: str) -> str:
    """A constructor in lines of at most 100 characters."""
    import textwrap

    inside = f'*, seeds=(0,), preset=None, device="auto", {settings}'
    body = "\n".join(textwrap.wrap(inside, 96, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False))
    return f"prudent.{name}(\n{body}\n)"


def navigation() -> list[tuple[str, str]]:
    """Titles and pages of the API, for the site's navigation."""
    return [("prudent" if room == "prudent" else room, page_name(room)) for room in rooms()]


def stage(folder: Path) -> None:
    """Write every page."""
    for name, text in pages().items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
