"""Wheel and sdist are looked at before anybody gets them."""

import io
import tarfile
import zipfile

import pytest

from release import contents

SOURCE = [
    path for path in sorted((contents.ROOT / "src").rglob("*")) if path.is_file() and "__pycache__" not in path.parts
]
NAMES = [path.relative_to(contents.ROOT / "src").as_posix() for path in SOURCE]
INFO = {
    "prudent-1.dist-info/METADATA": "Name: prudent\n\n# prudent\n",
    "prudent-1.dist-info/entry_points.txt": "[console_scripts]\nprudent = prudent.cli:main\n",
    "prudent-1.dist-info/licenses/LICENSE": "MIT",
}


def packed(folder, names=NAMES, info=INFO, extra=(), sdist=contents.SDIST):
    wheel, archive = folder / "p.whl", folder / "p.tar.gz"
    with zipfile.ZipFile(wheel, "w") as file:
        for name in (*names, *extra):
            file.writestr(name, "")
        for name, text in info.items():
            file.writestr(name, text)
    with tarfile.open(archive, "w:gz") as file:
        for name in (*sdist, *(f"src/{name}" for name in names), *extra):
            file.addfile(tarfile.TarInfo(f"prudent-1/{name}"), io.BytesIO())
    return wheel, archive


def test_a_sound_release(tmp_path):
    assert contents.faults(*packed(tmp_path)) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"names": [name for name in NAMES if not name.endswith("py.typed")]}, "p.whl lacks prudent/py.typed"),
        ({"names": [name for name in NAMES if not name.endswith("quick.toml")]}, "quick.toml"),
        ({"extra": ["prudent/old.py"]}, "p.whl has prudent/old.py, which is not in src/"),
        ({"extra": ["tests/__pycache__/a.pyc"]}, "has tests/__pycache__/a.pyc"),
        ({"info": INFO | {"prudent-1.dist-info/entry_points.txt": ""}}, "installs no program prudent"),
        ({"info": INFO | {"prudent-1.dist-info/METADATA": "Name: prudent\n"}}, "has no description"),
        ({"info": {name: text for name, text in INFO.items() if "LICENSE" not in name}}, "lacks the licence"),
        ({"sdist": [name for name in contents.SDIST if name != "CITATION.cff"]}, "p.tar.gz lacks CITATION.cff"),
    ],
)
def test_a_fault_is_found(tmp_path, changes, fault):
    assert any(fault in found for found in contents.faults(*packed(tmp_path, **changes)))
