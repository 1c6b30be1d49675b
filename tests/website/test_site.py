"""The whole site is built, strictly, without its tutorials, and opened in a browser as phone and as desktop."""

import sys

import pytest
from docs.website import __main__ as website
from docs.website import built

from helpers.browser import DESKTOP, PHONE, PROGRAM, Browser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A built site."""
    folder = tmp_path_factory.mktemp("build")
    website.stage(folder, run=False)
    assert website.mkdocs(folder) == [], "MkDocs complains"
    return folder / "site"


def test_the_site_has_no_fault(site):
    assert built.faults(site) == []


def test_code_of_tutorials_is_shown_and_formulas_are_drawn(site):
    tutorial = (site / "tutorials" / "csv.html").read_text(encoding="utf-8")
    assert "four_weeks" in tutorial
    assert "<math" in (site / "algorithms.html").read_text(encoding="utf-8")


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine: apt install chromium")
def test_pages_open_in_a_browser(site, tmp_path):
    too_wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    with Browser(tmp_path / "profile") as browser:
        for name in ("index", "algorithms", "questions", "gallery", "tutorials/masks", "api/index", "api/data"):
            for size in (DESKTOP, PHONE):
                shown = browser.show(site / f"{name}.html", size, ask={"too wide": too_wide})
                assert shown.complaints == [], name
                assert [url for url in shown.requests if not url.startswith(("file:", "blob:"))] == [], name
                assert shown.facts == {"too wide": False}, f"{name} at {size}"


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine: apt install chromium")
def test_search_works_without_a_server(site, tmp_path):
    ask = """new Promise(done => {
        const box = document.querySelector("input[name=query]"); box.focus(); box.value = "truncation"
        for (const event of [new KeyboardEvent("keyup", {bubbles: true}), new Event("input", {bubbles: true})])
            box.dispatchEvent(event)
        const wait = n => { const found = document.querySelectorAll(".md-search-result__item").length
            found || !n ? done(found) : setTimeout(wait, 100, n - 1) }
        wait(100) })"""
    with Browser(tmp_path / "profile") as browser:
        browser.show(site / "index.html")
        answer = browser.call(
            "Runtime.evaluate", browser._session, expression=ask, awaitPromise=True, returnByValue=True
        )
        assert answer["result"]["value"] > 0


def test_without_its_tools_it_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(website, "find_spec", lambda name: None if name == "material" else sys)
    assert website.main(["--out", str(tmp_path / "build")]) == 2
    error = capsys.readouterr().err
    assert error == "make site needs mkdocs-material: pip install -c constraints.txt -e '.[docs]'\n"
    assert not (tmp_path / "build").exists()


def test_a_fault_ends_in_exit_code_1(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(website, "find_spec", lambda _: sys)
    monkeypatch.setattr(website, "stage", lambda *_, **__: None)
    monkeypatch.setattr(website, "mkdocs", lambda _: ["WARNING -  a link is dead"])
    assert website.main(["--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "WARNING -  a link is dead\n"
