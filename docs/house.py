"""The map of the source for docs/architecture.md: a picture and a table, from import contracts and docstrings.

``make docs`` draws ``docs/images/house.svg``. Each layer of the import contract is a row. Each package or module is a
box with the first sentence of its docstring. An arrow means that the upper box imports the lower one. Arrows that
follow from other arrows are left out.
"""

import ast
import html
import re
import textwrap
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "prudent"
PICTURE = ROOT / "docs" / "images" / "house.svg"

WIDTH, ROW, BOX, GAP = 1120, 116, 72, 24
COLOURS = ("#e8f1fb", "#e9f6ec", "#fdf3e1", "#f3ecf9", "#fbeaea", "#e6f5f5", "#f4f4f4")


def layers() -> list[list[str]]:
    """The rooms of each layer, from the top; rooms that do not exist yet are left out."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    contract = next(contract for contract in contracts if contract["type"] == "layers")
    rooms = [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]
    there = [[name for name in layer if not name.startswith("(")] for layer in rooms]
    return [layer for layer in there if layer]


def face(room: str) -> Path:
    """The file whose docstring says what a room is."""
    package = SOURCE / room / "__init__.py"
    return package if package.is_file() else SOURCE / f"{room}.py"


def purpose(room: str) -> str:
    """The first sentence of a room's docstring."""
    docstring = ast.get_docstring(ast.parse(face(room).read_text(encoding="utf-8"))) or ""
    first_paragraph = " ".join(docstring.split("\n\n")[0].split())
    first_paragraph = re.sub(r":\w+:`~?([^`]+)`", r"``\1``", first_paragraph)
    return re.split(r"(?<=[.:]) (?=[A-Z])", first_paragraph)[0].rstrip(".:")


def imports() -> dict[str, set[str]]:
    """The rooms that each room imports."""
    rooms = [room for layer in layers() for room in layer]
    arrows: dict[str, set[str]] = {room: set() for room in rooms}
    for room in rooms:
        files = sorted((SOURCE / room).rglob("*.py")) if (SOURCE / room).is_dir() else [face(room)]
        for file in files:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module == "prudent":
                    arrows[room] |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prudent."):
                    arrows[room].add((node.module or "").split(".")[1])
    return {room: {other for other in found if other in arrows and other != room} for room, found in arrows.items()}


def direct(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows without those that follow from a longer way."""

    def reach(room: str) -> set[str]:
        return set().union(*({other} | reach(other) for other in arrows[room]))

    return {
        room: {other for other in others if not any(other in reach(via) for via in others if via != other)}
        for room, others in arrows.items()
    }


def picture() -> str:
    """The map as SVG."""
    rows = layers()
    places: dict[str, tuple[float, float, float]] = {}  # left, top, width of each box
    for row, rooms in enumerate(rows):
        width = min(250, (WIDTH - 2 * GAP - (len(rooms) - 1) * GAP) / len(rooms))
        left = (WIDTH - len(rooms) * width - (len(rooms) - 1) * GAP) / 2
        for column, room in enumerate(rooms):
            places[room] = (left + column * (width + GAP), 16 + row * ROW, width)
    height = 16 + len(rows) * ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="Helvetica, Arial, sans-serif">',
        "<title>The rooms of src/prudent; imports go down only</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#8a94a6"/></marker></defs>',
    ]
    for room, others in direct(imports()).items():
        parts += [_arrow(places[room], places[other]) for other in sorted(others)]
    for row, rooms in enumerate(rows):
        for room in rooms:
            parts += _box(room, *places[room], COLOURS[row % len(COLOURS)])
    return "\n".join([*parts, "</svg>"]) + "\n"


def _arrow(upper: tuple[float, float, float], lower: tuple[float, float, float]) -> str:
    start, end = upper[0] + upper[2] / 2, lower[0] + lower[2] / 2
    top, bottom = upper[1] + BOX, lower[1] - 3
    bend = max(24.0, (bottom - top) / 2)
    path = f"M{start:.0f} {top}C{start:.0f} {top + bend:.0f} {end:.0f} {bottom - bend:.0f} {end:.0f} {bottom}"
    return f'<path d="{path}" fill="none" stroke="#b6bfcc" stroke-width="1.3" marker-end="url(#tip)"/>'


def _box(room: str, left: float, top: float, width: float, colour: str) -> list[str]:
    is_package = (SOURCE / room).is_dir()
    middle = left + width / 2
    lines = textwrap.wrap(purpose(room).replace("``", ""), int(width / 5.6))
    if len(lines) > 3:
        lines = [*lines[:2], textwrap.shorten(" ".join(lines[2:]), int(width / 5.6), placeholder=" …")]
    parts = [
        f'<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="{BOX}" rx="8" fill="{colour}" stroke="#7d8797"/>',
        f'<text x="{middle:.0f}" y="{top + 18}" font-size="14" font-weight="bold" text-anchor="middle">'
        f"{room}{'/' if is_package else '.py'}</text>",
    ]
    parts += [
        f'<text x="{middle:.0f}" y="{top + 35 + 13 * number}" font-size="10.5" fill="#333" text-anchor="middle">'
        f"{html.escape(line)}</text>"
        for number, line in enumerate(lines)
    ]
    return parts


def rooms_table() -> str:
    """A row per room, from the top of the house to its ground."""
    rows = ["| room | what it is | files |", "| --- | --- | --- |"]
    for layer in layers():
        for room in layer:
            folder = SOURCE / room
            files = sorted(p.stem for p in folder.glob("*.py") if p.stem != "__init__") if folder.is_dir() else []
            folders = sorted(p.name for p in folder.iterdir() if (p / "__init__.py").is_file()) if files else []
            listed = ", ".join([f"`{name}`" for name in files] + [f"`{name}/`" for name in folders])
            name = f"{room}/" if files else f"{room}.py"
            rows.append(f"| [`{name}`](../src/prudent/{name}) | {purpose(room)} | {listed} |")
    return "\n".join(rows) + "\n"


def draw() -> bool:
    """Write the picture; whether it changed."""
    fresh = picture()
    if PICTURE.is_file() and PICTURE.read_text(encoding="utf-8") == fresh:
        return False
    PICTURE.write_text(fresh, encoding="utf-8")
    return True
