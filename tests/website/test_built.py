"""The check of the built site finds what it should."""

import zlib

import pytest
from docs.website import api, built


def inventory(names):
    lines = "".join(f"{name} py:class 1 api.html#{name} -\n" for name in names)
    return b"# Sphinx inventory version 2\n# Project: p\n# Version: 1\n# zlib\n" + zlib.compress(lines.encode())


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A sound site of two pages."""
    monkeypatch.setattr(api, "public", lambda: {"CQL": "prudent.CQL", "load": "prudent.agents.load"})
    (tmp_path / "api").mkdir()
    (tmp_path / "a.css").write_text("p { background: url('dot.png') }")
    (tmp_path / "index.html").write_text(
        '<link rel="stylesheet" href="a.css"><h1 id="top">A</h1><a href="api/index.html#prudent.CQL">b</a>'
        '<a href="#top">c</a><a href="https://example.org">d</a><a href="mailto:a@b.c">e</a>'
    )
    (tmp_path / "api" / "index.html").write_text('<h2 id="prudent.CQL">CQL</h2><a href="../index.html">a</a>')
    (tmp_path / "objects.inv").write_bytes(inventory(["prudent.agents.load"]))
    return tmp_path


def add(site, html):
    page = site / "index.html"
    page.write_text(page.read_text() + html)


def test_a_sound_site_has_no_fault(site):
    assert built.faults(site) == []


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ('<a href="gone.html">x</a>', "index.html: dead link gone.html"),
        ('<img src="gone.png">', "index.html: dead link gone.png"),
        ('<a href="#nowhere">x</a>', "index.html: dead anchor #nowhere"),
        ('<a href="api/index.html#nowhere">x</a>', "index.html: dead anchor api/index.html#nowhere"),
        ('<script src="https://cdn.example.org/a.js"></script>', "index.html: fetches https://cdn.example.org/a.js"),
        ('<link rel="preconnect" href="https://fonts.example.org">', "index.html: fetches https://fonts.example.org"),
        ('<img src="//example.org/a.png">', "index.html: fetches //example.org/a.png"),
    ],
)
def test_faults_of_a_page(site, html, fault):
    add(site, html)
    assert built.faults(site) == [fault]


def test_a_style_that_fetches(site):
    (site / "a.css").write_text("@font-face { src: url(https://example.org/a.woff2) }")
    assert built.faults(site) == ["a.css: fetches https://example.org/a.woff2"]


def test_a_public_name_that_is_missing(site):
    (site / "objects.inv").write_bytes(inventory([]))
    assert built.faults(site) == ["prudent.load is not in the API (prudent.agents.load)"]
