"""The pages of the API: every public module and name, docstrings as Markdown."""

from types import SimpleNamespace

from docs.website import api, docstrings, sources

import prudent

SOURCE = sources.ROOT / "src" / "prudent"


def test_every_public_module_has_one_place():
    shown = [module for modules in api.rooms().values() for module in modules]
    there = {
        ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCE.rglob("*.py")
    }
    public = {module for module in there if not any(part.startswith("_") for part in module.split("."))}
    assert sorted(shown) == sorted(public)


def test_every_module_stands_on_its_page():
    for room, modules in api.rooms().items():
        text = api.pages()[api.page_name(room)]
        if room != "prudent":
            assert [f"::: {module}" in text for module in modules] == [True] * len(modules)


def test_every_public_name_is_linked():
    face = api.face()
    for name in [*prudent.__all__, *api.agent_names()]:
        assert f"| [`prudent.{name}`][" in face, name
    assert "### `prudent.CQL` { #prudent.CQL }" in face
    assert "alpha=5," in face
    assert api.public()["load_dataset"] == "prudent.data.load.load_dataset"


def test_the_navigation_has_every_page():
    assert sorted(page for _, page in api.navigation()) == sorted(api.pages())


def named(path, **more):
    return SimpleNamespace(path=path, canonical_path=path, **more)


class Package(dict):
    path = "prudent"


SCOPE = named(
    "prudent.data.load.load_dataset",
    parent=named("prudent.data.load"),
    module=named("prudent.data.load", parent=named("prudent.data")),
    package=Package(
        {
            "data.Dataset": named("prudent.data.dataset.Dataset"),
            "data.load.read": named("prudent.data.load.read"),
            "data.readers._ends": named("prudent.data.readers._ends"),
        }
    ),
)
"""What the docstring of ``prudent.data.load.load_dataset`` sees, as Griffe has it."""


def test_roles_become_links():
    text = "See :class:`Dataset`, :func:`~prudent.data.load.read`, :mod:`prudent.data.readers._ends`, :func:`gone`."
    assert docstrings.markdown(text, SCOPE) == (
        "See [`Dataset`][prudent.data.dataset.Dataset], [`prudent.data.load.read`][prudent.data.load.read], "
        "`prudent.data.readers._ends`, `gone`."
    )


def test_examples_become_blocks():
    text = "Text.\n\n>>> a = 1\n>>> def f():\n...     return a\n\nMore."
    assert docstrings.examples(text) == "Text.\n\n\n```python\na = 1\ndef f():\n    return a\n```\n\nMore."


def test_tables_become_tables():
    text = "=====  ========\nname   meaning\n=====  ========\n``a``  one | two\n=====  ========"
    assert docstrings.tables(text) == "| name | meaning |\n| --- | --- |\n| ``a`` | one \\| two |"


def test_the_name_of_a_package_is_its_page():
    assert api.place_of("prudent.data") == ("api/data.md", "")
    assert api.place_of("prudent.data.load") == ("api/data.md", "prudent.data.load")
    assert api.place_of("prudent.nothing") is None
