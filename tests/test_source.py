"""The source keeps to the limits that CONTRIBUTING.md sets."""

import ast
from pathlib import Path

SOURCE = sorted((Path(__file__).resolve().parents[1] / "src" / "prudent").rglob("*.py"))


def test_no_file_is_longer_than_350_lines():
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE}
    assert len(lengths) > 150
    assert {path: length for path, length in lengths.items() if length > 350} == {}, "look for the missing noun"


def test_no_class_is_longer_than_250_lines():
    long = {}
    for path in SOURCE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno >= 250:
                long[f"{path}: {node.name}"] = node.lineno
    assert long == {}, "look for the missing noun"


def test_every_package_has_a_face():
    faceless = [
        path for path in SOURCE if path.name == "__init__.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert faceless == []
