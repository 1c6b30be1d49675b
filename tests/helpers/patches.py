"""Replacing functions of the library for a test."""

import sys
from typing import Any

import pytest
from PIL import Image

from prudent.report import style


def replace_everywhere(patch: pytest.MonkeyPatch, module: Any, name: str, replacement: Any) -> None:
    """``module.name`` becomes ``replacement`` there and in every module of the library that imported it by name.

    ``module`` may be a class too.
    """
    original = getattr(module, name)
    modules = [m for m in list(sys.modules.values()) if getattr(m, "__name__", "").startswith("prudent")]
    for place in [module, *modules]:
        if vars(place).get(name) is original:
            patch.setattr(place, name, replacement)


def leave_pictures_blank(patch: pytest.MonkeyPatch) -> None:
    """Pictures are composed but not drawn, for tests of a report's words: most of its time goes into drawing."""

    def save(figure, path, dpi=130):
        Image.new("RGB", tuple(int(dpi * inches) for inches in figure.get_size_inches())).save(path, format="PNG")
        return path

    patch.setattr(style, "save_png", save)
