"""A page of the repository becomes a page of the site."""

import re

import pytest
from docs.website import markdown, sources

DOCS = sources.ROOT / "docs"


def page(text, name="data.md"):
    return markdown.page(text, DOCS / name, name)


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("[text](training.md#metrics)", "[text](training.md#metrics)"),
        ("[text](#npz)", "[text](#npz)"),
        ("[text](https://example.org/a.md)", "[text](https://example.org/a.md)"),
        ("![a picture](images/demo.png)", "![a picture](images/demo.png)"),
        ("[text](../SECURITY.md)", "[text](security.md)"),
        ("[text](../CHANGELOG.md#unreleased)", "[text](changelog.md#unreleased)"),
        ("[start](../README.md)", "[start](index.md)"),
        ("[serve](../examples/serve.py)", "[serve](examples.md#servepy)"),
        ("[`data/`](../src/prudent/data/)", "[`data/`](api/data.md)"),
        ("[load](../src/prudent/data/load.py)", "[load](api/data.md#prudent.data.load)"),
        ("[`config.py`](../src/prudent/config.py)", "[`config.py`](api/config.md)"),
    ],
)
def test_links_lead_to_pages(link, shown):
    assert page(link) == f"{shown}\n"


def test_links_from_a_folder_lead_out_of_it():
    text = page("[data](../data.md#npz) and [serve](../../examples/serve.py)", "guides/analyst.md")
    assert text == "[data](../data.md#npz) and [serve](../examples.md#servepy)\n"


def test_what_the_site_does_not_have_is_no_link(monkeypatch):
    monkeypatch.setattr(sources, "repository", lambda: None)
    assert page("see [the `style`](../benchmarks/peers/corl_style.py).") == "see the `style`.\n"


def test_it_leads_to_the_repository_where_one_is_declared(monkeypatch):
    monkeypatch.setattr(sources, "repository", lambda: "https://example.org/prudent")
    text = page("[the style](../benchmarks/peers/corl_style.py)")
    assert text == "[the style](https://example.org/prudent/blob/main/benchmarks/peers/corl_style.py)\n"


@pytest.mark.parametrize(
    ("urls", "address"),
    [('Repository = "https://a.b/c/"', "https://a.b/c"), ('Source = "https://a.b"', "https://a.b"), ("", None)],
)
def test_only_what_pyproject_declares_is_an_address(monkeypatch, tmp_path, urls, address):
    (tmp_path / "pyproject.toml").write_text(f"[project]\nname = 'x'\n[project.urls]\n{urls}\n")
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    assert sources.repository() == address


def test_a_link_to_nothing_is_an_error():
    with pytest.raises(markdown.DeadLinkError, match=r"docs/data.md: nowhere.md does not exist"):
        page("[text](nowhere.md)")


@pytest.mark.parametrize("code", ["```text\n[a](nowhere.md)\n- b\n```\n", "Text:\n\n    [a](nowhere.md)\n"])
def test_code_is_left_alone(code):
    assert page(code) == code


def test_a_list_below_a_line_of_text_becomes_one():
    assert page("Text:\n- one\n- two\n  more\n") == "Text:\n\n- one\n- two\n  more\n"
    assert page("- one\n- two\n\n1. first\n2. second\n") == "- one\n- two\n\n1. first\n2. second\n"


def test_a_pipe_in_the_code_of_a_table_loses_its_backslash():
    assert page("| `a \\| b` | c \\| d |") == "| `a | b` | c \\| d |\n"


def test_markers_of_generated_parts_are_gone():
    assert page("<!-- generated: usage -->\n| a |\n<!-- end -->\n") == "\n| a |\n\n"


def test_formulas_are_mathml():
    text = page("Inline $`\\alpha_1`$ and\n\n```math\ny = r + \\gamma V(s')\n```\n")
    assert text.count("<math ") == 2
    assert text.count('display="block"') == 1
    assert "\u03b1" in text or "&#x003B1;" in text
    assert not re.search(r"[`$\\_]", text), "nothing of LaTeX and Markdown is left"


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.stem)
def test_the_formulas_of_the_docs_are_understood(path):
    found = re.findall(r"^```math\n(.*?)^```$", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for latex in found:
        drawn = markdown.formula(latex, display=True)
        assert "&#92;" not in drawn, f"a command that nobody knows: {latex}"
        assert "merror" not in drawn
        assert "<mi>&</mi>" not in drawn
        assert drawn.count("<mtr>") == (latex.count("\\\\\n") + 1 if "aligned" in latex else 0)
    assert found or path.stem != "algorithms"


def test_every_page_has_a_place():
    staged = sources.staged()
    assert staged[sources.ROOT / "README.md"] == "index.md"
    assert len(set(staged.values())) == len(staged)
    assert all(path.is_file() for path in staged)
    for path in sorted((sources.ROOT / "examples").glob("*.py")):
        assert f"## {path.name}\n" in sources.examples()
