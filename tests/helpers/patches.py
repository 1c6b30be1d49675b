"""Replacing a function of the library for a test, wherever it was imported to."""

import sys
from typing import Any

import pytest


def replace_everywhere(patch: pytest.MonkeyPatch, module: Any, name: str, replacement: Any) -> None:
    """``module.name`` becomes ``replacement`` there and in every module of the library that imported it by name.

    ``module`` may be a class too.
    """
    original = getattr(module, name)
    modules = [m for m in list(sys.modules.values()) if getattr(m, "__name__", "").startswith("prudent")]
    for place in [module, *modules]:
        if vars(place).get(name) is original:
            patch.setattr(place, name, replacement)
