"""Presets are whole configs, and are found by name."""

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from helpers.cases import Case
from prudent import algorithms, presets
from prudent.algorithms import cql
from prudent.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", presets.PRESETS)
def test_presets_are_configs_of_their_algorithm(name):
    preset = presets.get(name)
    config_type = algorithms.get(preset.algorithm).Config
    assert type(preset.config) is config_type
    assert preset.eval_episodes >= 1
    assert presets.PRESETS[name].__name__ == name.replace("-", "_")


def published():
    return tomllib.loads((ROOT / "docs" / "preset_sources.toml").read_text(encoding="utf-8"))


# Settings that no source has: presets leave them alone.
OWN = {
    "value_init",
    "value_init_steps",
    "outside_range",
    "gradient",
    "gradient_samples",
    "alpha_final",
    "alpha_anneal_steps",
}


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_setting_is_the_published_one_or_says_why_not(name):
    preset, sources = presets.get(name), published()
    theirs = sources["shared"][preset.algorithm] | sources[name]["settings"]
    why = dict(sources[name]["why"])
    for field in fields(preset.config):
        ours = getattr(preset.config, field.name)
        if (field.name in OWN and field.name not in theirs) or (
            field.name == "target_gap" and not preset.config.lagrange
        ):
            assert ours == field.default, f"{field.name} is changed, and no source says so"
            continue
        value = theirs.pop(field.name)
        published_value = {"none": None}.get(value, value) if isinstance(value, str) else value
        equal = (list(ours) if isinstance(ours, tuple) else ours) == published_value
        assert equal or len(why.pop(field.name, "")) > 5, f"{field.name}: {ours} here, {value} there, and no reason"
        assert field.name not in why, f"{field.name} is equal and has a reason for a difference"
    assert not theirs, "the source is said to have settings that the algorithm does not have"
    assert not why


def test_the_temperature_of_cql_has_the_policys_rate_as_in_its_sources():
    for name in ("locomotion", "locomotion-fast", "antmaze", "kitchen", "paper"):
        config = presets.get(name).config
        assert config.temperature_lr == config.actor_lr, name
    assert presets.get("locomotion").config.temperature_lr == 3e-5


def test_the_gap_of_antmaze_is_the_published_one_in_the_normalised_convention():
    """0.8 is compared with the gap of 30 proposals without ``- log 30``; here the threshold is for the gap with it."""
    config = presets.get("antmaze").config
    assert config.target_gap == pytest.approx(-2.6012, abs=1e-4)
    case = Case("cql", 5, n_actions=10)
    q_PENB, log_density_PNB = cql.propose(case.networks, case.batch, case.noise, case.hyper)
    q_PEB = case.batch.reward.unsqueeze(1).expand(-1, 2, -1)
    plain, normalized = cql.conservative_gap(q_PEB, q_PENB, log_density_PNB, case.hyper)
    assert torch.allclose(normalized - config.target_gap, plain - 0.8)


def test_published_figures():
    assert presets.get("antmaze").eval_episodes == 100
    assert presets.get("antmaze").config.lagrange
    assert presets.get("antmaze").config.backup == "max"
    assert presets.get("paper").config.bc_warmup_steps == 40_000
    assert not presets.get("kitchen").config.importance_sampling
    iql = {name: presets.get(f"iql-{name}").config for name in ("locomotion", "antmaze", "adroit-kitchen")}
    assert [(c.expectile, c.beta) for c in iql.values()] == [(0.7, 3.0), (0.9, 10.0), (0.7, 0.5)]
    assert [(c.return_range, c.reward_shift) for c in iql.values()] == [(1000.0, 0.0), (None, -1.0), (None, 0.0)]
    penalties = published()["rebrac_penalties"]
    for name, data in {
        "locomotion": "hopper-medium-v2",
        "antmaze": "antmaze-large-diverse-v2",
        "adroit": "pen-human-v1",
    }.items():
        config = presets.get(f"rebrac-{name}").config
        assert [config.actor_penalty, config.critic_penalty] == penalties[data]


def test_an_unknown_preset_is_told_with_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown preset 'antmase'; did you mean antmaze\? \(there are locomotion"):
        presets.get("antmase")
    with pytest.raises(ConfigError, match="unknown preset 'xyz' "):
        presets.get("xyz")
