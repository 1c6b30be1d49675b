"""Docstrings as Markdown: roles become links, examples and tables of reStructuredText what Markdown has for them.

An extension of Griffe, which reads the source for mkdocstrings; ``mkdocs.yml`` names it.
"""

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:mod|class|func|meth|attr|data|obj|exc):`~?([^`]+)`")


class Docstrings(griffe.Extension):
    """Rewrites every docstring of a package once it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Griffe calls this for each package."""
        for thing in every(pkg):
            if thing.docstring is not None:
                thing.docstring.value = markdown(thing.docstring.value, thing)


def every(thing: griffe.Object) -> list[griffe.Object]:
    """A module and all that it defines."""
    found = [thing]
    for member in thing.members.values():
        if not member.is_alias:
            found += every(member)  # type: ignore[arg-type]
    return found


def markdown(text: str, thing: griffe.Object) -> str:
    """A docstring of ``thing`` in Markdown."""
    return ROLE.sub(lambda role: link(role[1], thing), examples(tables(literal(text))))


def link(name: str, thing: griffe.Object) -> str:
    """A link to the name as ``thing`` understands it, or the name as code if it is private or unknown."""
    label = name.lstrip(".")
    path = resolved(label, thing)
    return f"`{label}`" if path is None else f"[`{label}`][{path}]"


def resolved(name: str, thing: griffe.Object) -> str | None:
    """The full path of a name: as it stands, or in the scope of ``thing``, or beside its module."""
    top = thing.package
    scopes = [thing.path, *([thing.parent.path] if thing.parent else []), thing.module.path]
    scopes += [thing.module.parent.path] if thing.module.parent else []
    for path in (name, *(f"{scope}.{name}" for scope in scopes)):
        if not path.startswith(f"{top.path}."):
            continue
        try:
            found = top[path.removeprefix(f"{top.path}.")]
            canonical = found.canonical_path
        except (KeyError, griffe.AliasResolutionError, griffe.CyclicAliasError):
            continue
        if not any(part.startswith("_") and part != "__version__" for part in canonical.split(".")):
            return canonical
    return None


def literal(text: str) -> str:
    """``text::`` and an indented block."""
    return re.sub(r"::\n(?=\n    )", ":\n", text)


def examples(text: str) -> str:
    """Lines after ``>>>`` become a block of Python."""
    block = re.compile(r"(?:^[ ]*(?:>>>|\.\.\.)[^\n]*\n?)+", re.MULTILINE)

    def fenced(found: re.Match[str]) -> str:
        code = "\n".join(line.strip().removeprefix(">>>").removeprefix("...")[1:] for line in found[0].splitlines())
        return f"\n```python\n{code}\n```\n"

    return block.sub(fenced, text)


def tables(text: str) -> str:
    """A simple table of reStructuredText: two columns between lines of ``=``."""

    def table(found: re.Match[str]) -> str:
        width = len(found[1])
        rows = [line for line in found[0].splitlines() if not line.startswith("=")]
        cells = [(row[:width].strip(), row[width:].strip()) for row in rows]
        head, *body = (f"| {left} | {right.replace('|', chr(92) + '|')} |" for left, right in cells)
        return "\n".join([head, "| --- | --- |", *body])

    return re.sub(r"^(=+) +=+\n.*?\n=+ +=+\n.*?^=+ +=+$", table, text, flags=re.DOTALL | re.MULTILINE)
