"""Version, CITATION.cff and CHANGELOG.md say the same, and it is noticed where they do not."""

import shutil

import pytest

from release import agreement


@pytest.fixture
def root(tmp_path):
    """A released state of version 0.2.0."""
    for name in ("CITATION.cff", "pyproject.toml"):
        shutil.copyfile(agreement.ROOT / name, tmp_path / name)
    (tmp_path / "src" / "prudent").mkdir(parents=True)
    (tmp_path / "src" / "prudent" / "version.py").write_text('"""The version."""\n\n__version__ = "0.2.0"\n')
    edit(
        tmp_path / "CITATION.cff",
        f"version: {agreement._found(tmp_path / 'CITATION.cff', '^version: (.+)$')}",
        "version: 0.2.0",
    )
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-11-28\n\n- New.\n\n## [0.1.0] - 2026-10-01\n\n- First.\n"
    )
    return tmp_path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_repository_agrees_with_itself():
    assert agreement.faults() == []


def test_a_released_state_agrees(root):
    assert agreement.faults(root) == []
    assert not agreement.unreleased(root)


def test_new_changes_are_seen(root):
    edit(root / "CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\n- More.\n")
    assert agreement.faults(root) == []
    assert agreement.unreleased(root)


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        (
            "CITATION.cff",
            "version: 0.2.0",
            "version: 0.1.0",
            "CITATION.cff is of 0.1.0, src/prudent/version.py says 0.2.0",
        ),
        ("CHANGELOG.md", "[0.2.0]", "[0.3.0]", "the newest release is 0.3.0, src/prudent/version.py says 0.2.0"),
        ("CHANGELOG.md", " - 2026-11-28", "", r"\[0.2.0\] has no date"),
        ("CHANGELOG.md", "[0.1.0]", "[0.2.1]", "not in order"),
        ("CHANGELOG.md", "## [0.1.0] - 2026-10-01", "## [Unreleased]", r"\[Unreleased\] does not come first"),
        ("pyproject.toml", 'requires-python = ">=3.11"', 'requires-python = ">=3.12"', "requires-python is >=3.12"),
        ("pyproject.toml", '  "Programming Language :: Python :: 3.12",\n', "", "skip a Python"),
    ],
)
def test_a_disagreement_is_found(root, file, old, new, fault):
    import re

    edit(root / file, old, new)
    (found,) = agreement.faults(root)
    assert re.search(fault, found)


def test_a_version_that_is_ahead_of_the_changelog(root):
    edit(root / "src" / "prudent" / "version.py", "0.2.0", "0.3.0")
    assert len(agreement.faults(root)) == 2
