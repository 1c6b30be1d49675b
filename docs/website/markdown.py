"""What GitHub renders and Python-Markdown does not: links to the repository, lists after a line of text, formulas."""

import html
import os.path
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from docs.website import sources

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})(.*)$")
ITEM = re.compile(r"^([-*]|\d+\.) ")
INLINE = re.compile(r"\$`(.+?)`\$")
CODE = re.compile(r"(`+)(.+?)\1")
MARKER = re.compile(r"^<!-- (?:generated: .*|end) -->$")


class DeadLinkError(Exception):
    """A link of a page leads nowhere."""


def page(text: str, source: Path, name: str) -> str:
    """A page of the repository as the site needs it; ``name`` is the page's name there."""
    out: list[str] = []
    for is_code, line in lines(text):
        if is_code:
            out.append(line)
        elif MARKER.match(line):
            # It would swallow the table that follows.
            out.append("")
        else:
            # GitHub begins a list right below a line of text.
            if ITEM.match(line) and (text_above := [*_paragraph(out)]) and not any(map(ITEM.match, text_above)):
                out.append("")
            out.append(_table_row(line) if line.lstrip().startswith("|") else line)
            out[-1] = INLINE.sub(lambda found: formula(found[1]), links(out[-1], source, name))
    return formulas("\n".join(out) + "\n")


def _paragraph(out: list[str]) -> Iterator[str]:
    """The lines since the last empty one."""
    for line in reversed(out):
        if not line.strip():
            return
        yield line


def lines(text: str) -> Iterator[tuple[bool, str]]:
    """Every line, and whether it belongs to a block of code."""
    fence, after_empty, indented = "", True, False
    for line in text.splitlines():
        mark = FENCE.match(line)
        if fence:
            yield True, line
            if mark and mark[2].startswith(fence) and not mark[3].strip():
                fence = ""
        elif mark:
            fence = mark[2]
            yield True, line
        else:
            indented = line.startswith("    ") and (indented or after_empty)
            yield indented, line
        after_empty = not line.strip()


def _table_row(line: str) -> str:
    """GitHub wants ``\\|`` in the code of a table, Python-Markdown shows the backslash."""
    return CODE.sub(lambda found: found[0].replace("\\|", "|"), line)


def links(line: str, source: Path, name: str) -> str:
    """Links to files of the repository lead to their pages, else to the declared repository, else they are no links."""

    def instead(found: re.Match[str]) -> str:
        image, label, target = found[1], found[2], found[3]
        if "://" in target or target.startswith(("#", "mailto:")):
            return found[0]
        file, _, anchor = target.partition("#")
        path = (source.parent / file).resolve()
        if not path.exists():
            raise DeadLinkError(f"{source.relative_to(sources.ROOT)}: {target} does not exist")
        place = sources.page_of(path, anchor)
        if place is not None:
            there = os.path.relpath(place[0], os.path.dirname(name) or ".")
            return f"{image}[{label}]({there}{'#' + place[1] if place[1] else ''})"
        address = sources.repository()
        if address is None:
            return label
        return f"[{label}]({address}/blob/main/{path.relative_to(sources.ROOT).as_posix()})"

    return LINK.sub(instead, line)


def formula(latex: str, display: bool = False) -> str:
    """MathML, which browsers draw by themselves: no script, no font, nothing to fetch."""
    from latex2mathml.converter import convert

    # GitHub knows `aligned`, the converter knows the same under another name.
    latex = latex.strip().replace("{aligned}", "{split}")
    text = convert(latex, display="block" if display else "inline")
    # Two spaces at the end of a line, and the marks of Markdown, mean nothing inside a formula.
    return re.sub(r"[*_`\\]", lambda mark: f"&#{ord(mark[0])};", text)


def formulas(text: str) -> str:
    """Blocks of ``math`` as formulas; each of their lines that ends in ``\\\\`` is a line of one formula."""

    def drawn(found: re.Match[str]) -> str:
        return f'<div class="formula">{formula(found[1], display=True)}</div>\n'

    return re.sub(r"^```math\n(.*?)^```$", drawn, text, flags=re.DOTALL | re.MULTILINE)


def each_block(text: str, change: Callable[[str, str], str | None]) -> str:
    """``text`` with each fenced block replaced by ``change(information, code)``; None leaves it as it is."""

    def instead(found: re.Match[str]) -> str:
        changed = change(found[2].strip(), found[3])
        return found[0] if changed is None else changed

    return re.sub(r"^(`{3,})([^\n`]*)\n(.*?)^\1$", instead, text, flags=re.DOTALL | re.MULTILINE)


def escaped(text: str) -> str:
    """For HTML."""
    return html.escape(text, quote=False)
