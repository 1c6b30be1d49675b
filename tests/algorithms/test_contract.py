"""What every file in ``algorithms/`` promises, checked by walking the folder."""

import inspect
from dataclasses import fields, is_dataclass

import pytest
import torch

from helpers.cases import Case
from prudent import algorithms, nn
from prudent.config import field_comments, from_json, to_json
from prudent.engine.population import training_step
from prudent.errors import ConfigError

NAMES = algorithms.names()
CONSTANTS = ("TITLE", "POLICY", "NEEDS")
FUNCTIONS = ("Config", "init", "draw", "update_critic", "update_actor", "update_target", "act")


def snapshot(state) -> dict[str, torch.Tensor]:
    found = {f"{n}.{k}": v.clone() for n, p in state.networks.items() for k, v in p.items()}
    for name, own in state.optimizers.items():
        for moments in ("mean", "square"):
            found |= {f"optimizer.{name}.{moments}.{k}": v.clone() for k, v in own[moments].items()}
    return found


def changed(before, after) -> set[str]:
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def copies(*tensors_of) -> list:
    return [
        {k: v.clone() for k, v in vars(x).items() if isinstance(v, torch.Tensor)} for x in tensors_of if x is not None
    ]


def test_the_registry_finds_the_files():
    assert {"bc", "cql", "sac"} <= set(NAMES)
    assert "shared" not in NAMES
    with pytest.raises(ConfigError, match=r"unknown algorithm 'cqll'; did you mean cql\?"):
        algorithms.get("cqll")
    for odd in ("shared", "os", "", "../cql"):
        with pytest.raises(ConfigError, match="unknown algorithm"):
            algorithms.get(odd)


@pytest.mark.parametrize("name", NAMES)
def test_it_exports_what_every_algorithm_exports(name):
    module = algorithms.get(name)
    for export in (*CONSTANTS, *FUNCTIONS, "q_value"):
        assert hasattr(module, export), f"{name} does not export {export}"
    assert module.POLICY in ("gaussian", "deterministic", "categorical", "greedy"), f"{name}: policy {module.POLICY!r}"
    assert set(module.NEEDS) <= {"return_to_go", "next_action"}, f"{name} needs {module.NEEDS}"
    assert module.__doc__, f"{name} has no docstring"
    if module.q_value is not None:
        assert inspect.getdoc(module.q_value), f"{name}.q_value has no docstring"
    for export in FUNCTIONS:
        assert callable(getattr(module, export)), f"{name}.{export} cannot be called"
        assert inspect.getdoc(getattr(module, export)), f"{name}.{export} has no docstring"


@pytest.mark.parametrize("name", NAMES)
def test_its_config_is_frozen_commented_and_survives_json(name):
    config_type = algorithms.get(name).Config
    assert is_dataclass(config_type)
    assert config_type.__dataclass_params__.frozen, f"{name}.Config is not frozen"
    comments = field_comments(config_type)
    for f in fields(config_type):
        comment = comments.get(f.name, "")
        assert len(comment) > 8, f"{name}: no comment stands beside {f.name} on its line: {comment!r}"
    assert set(comments) == {f.name for f in fields(config_type)}, f"{name}: comments for what is no field"
    assert from_json(config_type, to_json(config_type())) == config_type()


@pytest.mark.parametrize("name", NAMES)
def test_one_update_changes_what_it_should_and_nothing_else(name):
    case = Case(name, 11)
    module, state = case.algorithm, case.state
    inputs = copies(case.batch, case.noise)
    before = snapshot(state)
    metrics = training_step(module, state, case.batch, case.noise, case.hyper)
    assert state.step == 1, "a step is not counted"
    assert metrics, "an update reports nothing"
    for key, value in metrics.items():
        assert value.shape == (2,), f"metric {key} has shape {tuple(value.shape)}, not (P,)"
        assert value.isfinite().all(), f"metric {key} is not finite"
        assert not value.requires_grad, f"metric {key} still carries its graph"
    for key, value in snapshot(state).items():
        assert value.isfinite().all(), f"{key} is not finite after one update"
    touched = {key.removeprefix("optimizer.").split(".")[0] for key in changed(before, snapshot(state))}
    assert touched == set(state.networks) - {"lagrange"}, "not all networks learn, or the resting multiplier moves"
    for old, new in zip(inputs, copies(case.batch, case.noise), strict=True):
        for key, value in old.items():
            assert torch.equal(value, new[key]), f"an update overwrites the {key} it was given"


@pytest.mark.parametrize("name", NAMES)
def test_each_part_changes_its_own_networks(name):
    expected = {
        "update_critic": {"critic", "value"},
        "update_actor": {"actor", "temperature"},
        "update_target": {"target_critic", "target_actor"},
    }
    for part, allowed in expected.items():
        case = Case(name, 13)
        before = snapshot(case.state)
        if part == "update_target":
            case.algorithm.update_target(case.state, case.hyper)
        else:
            getattr(case.algorithm, part)(case.state, case.batch, case.noise, case.hyper)
        touched = {key.removeprefix("optimizer.").split(".")[0] for key in changed(before, snapshot(case.state))}
        assert touched == allowed & set(case.networks), f"{name}.{part} changes {sorted(touched)}"
        assert case.state.step == 0, f"{name}.{part} counts a step; only training_step does"


@pytest.mark.parametrize("name", [n for n in NAMES if hasattr(algorithms.get(n).Config, "value_init")])
def test_the_supervised_step_fits_actor_and_critics_and_leaves_the_rest(name):
    case = Case(name, 12)
    before = snapshot(case.state)
    metrics = case.algorithm.update_supervised(case.state, case.batch, case.noise, case.hyper)
    touched = {key.removeprefix("optimizer.").split(".")[0] for key in changed(before, snapshot(case.state))}
    learns = set(case.networks) & {"critic", "value", "actor", "temperature"}
    assert touched == learns, f"a supervised step changes {sorted(touched)}"
    assert case.state.step == 0, "a supervised step counts as a training step"
    assert all(v.isfinite().all() for v in metrics.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_make_the_whole(name):
    whole, parts = Case(name, 13), Case(name, 13)
    training_step(whole.algorithm, whole.state, whole.batch, whole.noise, whole.hyper)
    parts.algorithm.update_critic(parts.state, parts.batch, parts.noise, parts.hyper)
    parts.algorithm.update_actor(parts.state, parts.batch, parts.noise, parts.hyper)
    parts.algorithm.update_target(parts.state, parts.hyper)
    assert not changed(snapshot(whole.state), snapshot(parts.state)), f"{name}: a step is not critic, actor, target"


CONTINUOUS = [n for n in NAMES if not algorithms.is_discrete(n)]
DISCRETE = [n for n in NAMES if algorithms.is_discrete(n)]


@pytest.mark.parametrize("name", CONTINUOUS)
def test_acting(name):
    case = Case(name, 14, rows=4)
    act, networks, s = case.algorithm.act, case.networks, case.batch.observation
    noise = torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    action, log_prob = act(networks, s)
    sampled, sampled_log_prob = act(networks, s, noise)
    for a, logp in ((action, log_prob), (sampled, sampled_log_prob)):
        assert a.shape == (2, 4, 2)
        assert a.abs().max() <= 1, "an action outside [-1, 1]"
        assert logp.shape == (2, 4)
        assert logp.isfinite().all()
    assert torch.equal(act(networks, s)[0], action), "the deterministic action changes from call to call"
    if case.algorithm.POLICY == "deterministic":
        assert torch.equal(sampled, action), "a deterministic policy heeds noise"
        assert (log_prob == 0).all(), "the only action has probability 1"
    else:
        assert not torch.equal(sampled, action), "noise makes no difference"
    _check_q_value(case, action, lambda: nn.critic(networks["critic"], s, action))


@pytest.mark.parametrize("name", DISCRETE)
def test_acting_with_discrete_actions(name):
    case = Case(name, 14, rows=40, action_size=5, masked=True)
    act, networks, s, mask = case.algorithm.act, case.networks, case.batch.observation, case.batch.mask
    noise = torch.rand(2, 40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    action, log_prob = act(networks, s, None, mask)
    sampled, sampled_log_prob = act(networks, s, noise, mask)
    for a, logp in ((action, log_prob), (sampled, sampled_log_prob)):
        assert a.shape == logp.shape == (2, 40)
        assert a.dtype == torch.int64
        assert mask.gather(-1, a.unsqueeze(-1)).all(), "a forbidden action was taken"
        assert (logp <= 0).all()
        assert logp.isfinite().all()
    free, _ = act(networks, s)
    assert not mask.gather(-1, free.unsqueeze(-1)).all(), "masks change nothing here, so this test says nothing"
    if case.algorithm.POLICY == "greedy":
        assert torch.equal(sampled, action), "a greedy policy heeds noise"
        assert (log_prob == 0).all(), "the only action has probability 1"
    else:
        assert not torch.equal(sampled, action), "noise makes no difference"


@pytest.mark.parametrize("name", [n for n in DISCRETE if algorithms.get(n).POLICY == "categorical"])
def test_discrete_draws_have_the_frequencies_of_their_probabilities(name):
    case = Case(name, 14, rows=1, members=1, action_size=4, masked=True)
    s, mask = case.batch.observation.expand(1, 20_000, -1), case.batch.mask.expand(1, 20_000, -1)
    noise = torch.rand(1, 20_000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    action, log_prob = case.algorithm.act(case.networks, s, noise, mask)
    for a in range(4):
        taken = action == a
        expected = float(log_prob[taken][0].exp()) if taken.any() else 0.0
        assert abs(float(taken.double().mean()) - expected) < 0.02, f"action {a} of {name} is drawn too often or rarely"
        assert taken.any() == mask[0, 0, a], f"action {a} of {name}: forbidden and drawn, or allowed and never drawn"


def _check_q_value(case, action, each_critic):
    if case.algorithm.q_value is None:
        assert "critic" not in case.networks, "a critic without q_value"
        return
    q = case.algorithm.q_value(case.networks, case.batch.observation, action)
    assert q.shape == action.shape[:2]
    assert torch.allclose(q, each_critic().amin(1), atol=1e-12), "q_value is not the minimum over the critics"


@pytest.mark.parametrize("name", NAMES)
def test_noise_depends_on_the_generators_alone(name):
    first, second, other = Case(name, 15), Case(name, 15), Case(name, 16)
    if first.noise is None:
        assert name in ("bc", "discrete_bc", "iql", "discrete_cql", "discrete_iql", "sparse_ql"), (
            f"{name} draws nothing"
        )
        return
    for key, value in vars(first.noise).items():
        if value is None:
            continue
        assert torch.equal(value, getattr(second.noise, key)), f"{name}: noise {key} is not reproducible"
        assert not torch.equal(value, getattr(other.noise, key)), f"{name}: noise {key} ignores the seed"
