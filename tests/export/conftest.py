"""Two exports that many tests look at: making one takes seconds."""

import pytest

from helpers.exports import choices_log, made, shop_log


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """CQL on :func:`shop_log`: acts by its mode and flags what is outside."""
    return made(tmp_path_factory.mktemp("shop"), "cql", shop_log(), "onnx", "mode", "flag", license="CC-BY-4.0")


@pytest.fixture(scope="session")
def choices(tmp_path_factory):
    """Discrete IQL on :func:`choices_log`: samples, and takes the nearest logged action outside the data."""
    return made(tmp_path_factory.mktemp("choices"), "discrete_iql", choices_log(), "onnx", "sample", "nearest")
