"""The settings that algorithms share: each stands in one place, and the order in which they are listed stays."""

import inspect
import re
from collections import defaultdict
from dataclasses import dataclass, fields

import pytest

from prudent import algorithms
from prudent.algorithms.shared import settings
from prudent.config import field_comments, group_fields, member_fields

ORDER = {
    "bc": (
        "top_fraction actor_lr max_grad_norm hidden orthogonal_init batch_size normalize_observations "
        "outside_range discount reward_scale reward_shift"
    ),
    "cal_ql": (
        "alpha alpha_final alpha_anneal_steps lagrange target_gap lagrange_lr n_actions proposals "
        "importance_sampling cql_temperature gap_clip gradient gradient_samples backup temperature "
        "learn_temperature target_entropy temperature_lr bc_warmup_steps bc_weight actor_period target_period "
        "value_init value_init_steps discount n_steps trace polyak critic_lr actor_lr max_grad_norm n_critics hidden "
        "layer_norm orthogonal_init batch_size normalize_observations outside_range reward_scale reward_shift"
    ),
    "ciql": (
        "alpha n_negatives negatives expectile beta value_init value_init_steps discount n_steps trace polyak "
        "value_lr critic_lr actor_lr actor_period target_period max_grad_norm n_critics hidden layer_norm "
        "orthogonal_init return_range batch_size normalize_observations outside_range reward_scale reward_shift"
    ),
    "cpql": (
        "alpha alpha_final alpha_anneal_steps lagrange target_gap lagrange_lr n_actions proposals "
        "importance_sampling cql_temperature gap_clip gradient gradient_samples backup temperature "
        "learn_temperature target_entropy temperature_lr bc_warmup_steps bc_weight actor_period target_period "
        "value_init value_init_steps discount n_steps trace polyak critic_lr actor_lr max_grad_norm n_critics hidden "
        "layer_norm orthogonal_init batch_size normalize_observations outside_range reward_scale reward_shift"
    ),
    "cql": (
        "alpha alpha_final alpha_anneal_steps lagrange target_gap lagrange_lr n_actions proposals "
        "importance_sampling cql_temperature gap_clip gradient gradient_samples backup temperature "
        "learn_temperature target_entropy temperature_lr bc_warmup_steps bc_weight actor_period target_period "
        "value_init value_init_steps discount n_steps trace polyak critic_lr actor_lr max_grad_norm n_critics hidden "
        "layer_norm orthogonal_init batch_size normalize_observations outside_range reward_scale reward_shift"
    ),
    "cql_redq": (
        "alpha alpha_final alpha_anneal_steps lagrange target_gap lagrange_lr n_actions proposals "
        "importance_sampling cql_temperature gap_clip gradient gradient_samples backup temperature "
        "learn_temperature target_entropy temperature_lr bc_warmup_steps bc_weight actor_period target_period "
        "value_init value_init_steps discount n_steps trace polyak critic_lr actor_lr max_grad_norm n_critics hidden "
        "layer_norm orthogonal_init batch_size normalize_observations outside_range reward_scale reward_shift "
        "subset_size"
    ),
    "discrete_bc": (
        "top_fraction actor_lr max_grad_norm hidden orthogonal_init batch_size normalize_observations "
        "outside_range discount reward_scale reward_shift"
    ),
    "discrete_cql": (
        "alpha n_quantiles huber_threshold value_init value_init_steps discount n_steps trace polyak critic_lr "
        "target_period max_grad_norm n_critics hidden layer_norm orthogonal_init batch_size "
        "normalize_observations outside_range reward_scale reward_shift"
    ),
    "discrete_iql": (
        "expectile beta max_weight value_init value_init_steps discount n_steps trace polyak value_lr critic_lr "
        "actor_lr actor_period target_period max_grad_norm n_critics hidden layer_norm orthogonal_init "
        "return_range batch_size normalize_observations outside_range reward_scale reward_shift"
    ),
    "iql": (
        "expectile beta max_weight value_init value_init_steps discount n_steps trace polyak value_lr critic_lr "
        "actor_lr actor_period target_period max_grad_norm n_critics hidden layer_norm orthogonal_init "
        "return_range batch_size normalize_observations outside_range reward_scale reward_shift"
    ),
    "rebrac": (
        "actor_penalty critic_penalty policy_noise noise_clip value_init value_init_steps discount n_steps trace "
        "polyak critic_lr actor_lr actor_period target_period max_grad_norm n_critics hidden layer_norm "
        "orthogonal_init batch_size normalize_observations outside_range reward_scale reward_shift"
    ),
    "sac": (
        "temperature learn_temperature target_entropy temperature_lr value_init value_init_steps discount n_steps "
        "trace polyak critic_lr actor_lr actor_period target_period max_grad_norm n_critics hidden layer_norm "
        "orthogonal_init batch_size normalize_observations outside_range reward_scale reward_shift"
    ),
    "sparse_ql": (
        "alpha max_weight value_init value_init_steps discount n_steps trace polyak value_lr critic_lr actor_lr "
        "actor_period target_period max_grad_norm n_critics hidden layer_norm orthogonal_init return_range "
        "batch_size normalize_observations outside_range reward_scale reward_shift"
    ),
    "td3_bc": (
        "alpha policy_noise noise_clip value_init value_init_steps discount n_steps trace polyak critic_lr "
        "actor_lr actor_period target_period max_grad_norm n_critics hidden layer_norm orthogonal_init batch_size "
        "normalize_observations outside_range reward_scale reward_shift"
    ),
}
"""Members' names, flags, config.json and get_params list the settings in this order."""


@pytest.mark.parametrize("name", algorithms.names())
def test_settings_are_listed_in_the_order_they_always_had(name):
    config_type = algorithms.get(name).Config
    assert [f.name for f in fields(config_type)] == ORDER[name].split()


@pytest.mark.parametrize("name", algorithms.names())
def test_inherited_settings_keep_their_comments_and_kinds(name):
    config_type = algorithms.get(name).Config
    assert list(field_comments(config_type)) == ORDER[name].split()
    assert {"discount", "reward_scale", "max_grad_norm"} <= member_fields(config_type)
    assert "batch_size" in group_fields(config_type)


def test_no_two_algorithms_write_the_same_setting():
    files = defaultdict(list)
    for name in algorithms.names():
        config_type = algorithms.get(name).Config
        (base,) = config_type.__bases__
        inherited = {f.name for f in fields(base)}
        for line in inspect.getsource(config_type).splitlines():
            setting = re.match(r"    (\w+): .* = .*#", line)
            if setting and setting[1] not in inherited:
                files[line.strip()].append(name)
    assert {line: names for line, names in files.items() if len(names) > 1} == {}


@settings.own_first("late", "b")
@dataclass(frozen=True, kw_only=True)
class Derived(settings.Shared):
    """Own settings, one of them named among the inherited ones."""

    mine: int = 1  # the first
    late: int = 2  # after the other own ones
    hidden: tuple[int, ...] = (8,)  # another default


def test_own_settings_come_first_then_those_named_then_the_inherited_ones():
    inherited = [f.name for f in fields(settings.Shared)]
    assert [f.name for f in fields(Derived)] == ["mine", "late", *inherited]
    assert Derived(mine=3).mine == 3
    assert Derived().hidden == (8,)


def test_own_settings_come_last_where_an_algorithm_extends_another():
    @settings.own_last
    @dataclass(frozen=True, kw_only=True)
    class Extended(Derived):
        more: float = 0.5

    assert [f.name for f in fields(Extended)] == [*(f.name for f in fields(Derived)), "more"]
