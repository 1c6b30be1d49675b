"""Presets are whole configs, and are found by name."""

import pytest

from prudent import algorithms, presets
from prudent.errors import ConfigError


@pytest.mark.parametrize("name", presets.PRESETS)
def test_presets_are_configs_of_their_algorithm(name):
    preset = presets.get(name)
    config_type = algorithms.get(preset.algorithm).Config
    assert type(preset.config) is config_type
    assert preset.eval_episodes >= 1
    assert presets.PRESETS[name].__name__ == name.replace("-", "_")


def test_published_figures():
    assert presets.get("antmaze").eval_episodes == 100
    assert presets.get("antmaze").config.lagrange
    assert presets.get("antmaze").config.backup == "max"
    assert presets.get("paper").config.bc_warmup_steps == 40_000
    assert not presets.get("kitchen").config.importance_sampling


def test_an_unknown_preset_is_told_with_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown preset 'antmase'; did you mean antmaze\? \(there are locomotion"):
        presets.get("antmase")
    with pytest.raises(ConfigError, match="unknown preset 'xyz' "):
        presets.get("xyz")
