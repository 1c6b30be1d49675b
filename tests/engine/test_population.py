"""Members keep to themselves; grids, scaling and storage."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.data_logs import logged
from helpers.threads import one_thread  # noqa: F401
from oracles import optimisers as oracle
from prudent import ReBRAC
from prudent.algorithms import bc, cql, rebrac, sac, td3_bc
from prudent.algorithms.shared import lagrange
from prudent.data import Dataset
from prudent.engine.batches import TrainingData, network_batch
from prudent.engine.members import Member, grid, split_settings
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.errors import ConfigError, DataError
from prudent.nn.rng import MemberRng
from prudent.types import Hyper

MODULES = {"bc": bc, "cql": cql, "rebrac": rebrac, "sac": sac, "td3_bc": td3_bc}


def trained(algorithm, members, data, steps) -> tuple[Population, list]:
    population = Population(algorithm, members, data.spec, Scaling.fit(data, True))
    training, first = population.prepare(data)
    return population, [first, *(population.step(training) for _ in range(steps))]


# --- a member alone and in company ------------------------------------------------------------------------------------

VARIANTS = {
    "cql": ("cql", {}, {"alpha": [1.0, 10.0]}),
    "cql, layer norm": ("cql", {"layer_norm": True}, {"alpha": [1.0, 10.0]}),
    "cql, one critic": ("cql", {"n_critics": 1}, {"alpha": [1.0, 10.0]}),
    "cql, one critic, layer norm": ("cql", {"n_critics": 1, "layer_norm": True}, {"alpha": [1.0, 10.0]}),
    "cql, clipped gradients": ("cql", {}, {"max_grad_norm": [0.5, 5.0]}),
    "cql, constant start": ("cql", {"value_init": "constant"}, {"discount": [0.9, 0.99]}),
    "cql, supervised start": ("cql", {"value_init": "regression", "value_init_steps": 20}, {"discount": [0.9, 0.99]}),
    "cql, lagrange": ("cql", {"lagrange": True, "lagrange_lr": 0.01}, {"target_gap": [0.5, 5.0]}),
    "cql, soft backup": ("cql", {"backup": "soft"}, {"cql_temperature": [0.5, 2.0]}),
    "cql, max backup, orthogonal": ("cql", {"backup": "max", "orthogonal_init": True}, {"alpha": [1.0, 10.0]}),
    "cql, sampled gradient": ("cql", {"gradient": "sampled"}, {"alpha": [1.0, 10.0]}),
    "cql, periods, warm-up": (
        "cql",
        {"actor_period": 2, "target_period": 3, "bc_warmup_steps": 25, "alpha_final": 0.5, "alpha_anneal_steps": 30},
        {"alpha": [1.0, 10.0]},
    ),
    "cql, rates": ("cql", {"reward_shift": -1.0}, {"critic_lr": [1e-4, 1e-2], "reward_scale": [1.0, 10.0]}),
    "sac": ("sac", {}, {"temperature": [0.1, 1.0]}),
    "bc": ("bc", {}, {"actor_lr": [1e-4, 1e-2]}),
    "td3_bc": ("td3_bc", {}, {"alpha": [0.5, 5.0]}),
    "td3_bc, supervised start": ("td3_bc", {"value_init": "regression", "value_init_steps": 20}, {"alpha": [0.5, 5.0]}),
    "rebrac": ("rebrac", {}, {"critic_penalty": [0.0, 1.0]}),
}


def assert_alone_as_in_company(algorithm, options, varied, steps):
    config = MODULES[algorithm].Config(**options)
    members = grid(config, varied, seeds=[3, 8])
    assert len(members) >= 4
    data = logged()
    together, history = trained(algorithm, members, data, steps)
    assert together.state.step == steps
    for p, member in enumerate(members):
        alone, own = trained(algorithm, [member], data, steps)
        expected = together.member(p).tensors()
        for name, value in alone.tensors().items():
            assert torch.equal(value, expected[name]), f"{member.name}: {name} differs from the same run in company"
        for step, (mine, all_of_them) in enumerate(zip(own, history, strict=True)):
            for name, value in mine.items():
                if value.dim():
                    close = torch.allclose(value[0], all_of_them[name][p], rtol=1e-4, atol=1e-4)
                    assert close, f"{member.name}: metric {name} differs at step {step}"


@pytest.mark.parametrize("name", VARIANTS)
def test_a_member_equals_its_solo_run_bit_for_bit(name):
    algorithm, options, varied = VARIANTS[name]
    # No power of two anywhere. Widths and batches that are no multiples of 4 put members at addresses that the matrix
    # library rounds differently for: those are left out of the promise.
    small = {"hidden": (36, 20), "batch_size": 20}
    if algorithm == "cql":
        small["n_actions"] = 3
    steps = 50 if "alpha_anneal_steps" in options else 20  # past the end of a schedule
    assert_alone_as_in_company(algorithm, {**small, **options}, varied, steps)


def test_a_member_equals_its_solo_run_bit_for_bit_at_full_size():
    """The default widths, batch and proposals: libraries choose other routines for other sizes."""
    assert_alone_as_in_company("cql", {}, {"alpha": [1.0, 10.0]}, steps=1)


@pytest.mark.parametrize(("state_size", "action_size"), [(1, 1), (3, 1), (11, 3)])
@pytest.mark.parametrize("n_critics", [1, 2])
def test_a_member_equals_its_solo_run_whatever_the_spaces(state_size, action_size, n_critics):
    """One-feature spaces make matrices with a side of one, for which libraries have routines of their own."""
    data = logged(state_size=state_size, action_size=action_size)
    config = cql.Config(hidden=(20,), batch_size=12, n_actions=2, n_critics=n_critics)
    members = grid(config, {}, seeds=[0, 1, 2])
    together, _ = trained("cql", members, data, 5)
    for p, member in enumerate(members):
        alone, _ = trained("cql", [member], data, 5)
        expected = together.member(p).tensors()
        for name, value in alone.tensors().items():
            assert torch.equal(value, expected[name]), f"member {p}: {name} differs from the same run in company"


def test_the_same_member_twice_is_the_same_twice():
    config = cql.Config(hidden=(16,), batch_size=8, n_actions=2)
    population, _ = trained("cql", [Member("a", 5, config), Member("b", 5, config)], logged(), 20)
    for name, value in population.tensors().items():
        if value.dim():
            assert torch.equal(value[0], value[1]), f"two members with one seed and one setting differ in {name}"


@pytest.mark.parametrize("algorithm", MODULES)
def test_members_never_mix(algorithm):
    config = MODULES[algorithm].Config(hidden=(16, 16), batch_size=8, max_grad_norm=1.0)
    members, data = grid(config, {}, seeds=[0, 1, 2]), logged()
    runs = []
    for disturbed in (False, True):
        population = Population(algorithm, members, data.spec, Scaling.fit(data, True))
        training, _ = population.prepare(data)
        if disturbed:
            for params in population.state.networks.values():
                for value in params.values():
                    value[1] += 0.5
            for rng in population.rngs.values():
                rng.generators[1].manual_seed(99)
        for _ in range(10):
            population.step(training)
        runs.append(population.tensors())
    for name, value in runs[0].items():
        if value.dim():
            assert torch.equal(value[0], runs[1][name][0]), f"disturbing member 1 changes member 0: {name}"
            assert torch.equal(value[2], runs[1][name][2]), f"disturbing member 1 changes member 2: {name}"
            assert (
                name.startswith("networks.lagrange")
                or "lagrange" in name
                or not torch.equal(value[1], runs[1][name][1])
            ), f"the disturbance left member 1 as it was: {name}"


def test_a_member_that_diverges_does_not_spoil_the_others():
    config = cql.Config(hidden=(16,), batch_size=8, n_actions=2, max_grad_norm=1.0)
    data = logged()
    population = Population("cql", grid(config, {}, [0, 1]), data.spec, Scaling.fit(data, True))
    training, _ = population.prepare(data)
    population.state.networks["critic"]["w0"][1] = math.nan
    for _ in range(3):
        population.step(training)
    for name, value in population.tensors().items():
        assert not value.dim() or value[0].isfinite().all(), f"member 1's nan reached member 0: {name}"


# --- acting -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_population():
    data = logged(action_low=[-2.0, 0.0], action_high=[2.0, 1.0], action=np.full((400, 2), 0.5, np.float32))
    config = cql.Config(hidden=(16,), batch_size=8, n_actions=2)
    return Population("cql", grid(config, {"alpha": [1.0, 2.0]}, [0, 1]), data.spec, Scaling.fit(data, True))


def test_actions_are_in_the_units_of_the_log_within_their_bounds(small_population):
    s = np.random.default_rng(0).normal(size=(4, 500, 3)) * 10
    for deterministic in (True, False):
        a, logp = small_population.act_with_log_prob(s, deterministic, torch.Generator().manual_seed(0))
        assert a.shape == (4, 500, 2)
        assert logp.shape == (4, 500)
        assert (a >= [-2, 0]).all()
        assert (a <= [2, 1]).all()


def test_members_share_the_noise_they_act_with(small_population):
    s = np.zeros((4, 5, 3))
    together = small_population.act(s, False, torch.Generator().manual_seed(7))
    for p in range(4):
        alone = small_population.member(p).act(s[p : p + 1], False, torch.Generator().manual_seed(7))
        np.testing.assert_array_equal(alone[0], together[p], err_msg=f"member {p} acts otherwise alone")


def test_log_densities_are_per_unit_of_the_log(small_population):
    """The density integrates to 1 over the declared box [-2, 2] x [0, 1]."""
    solo = small_population.member(0)
    s = np.tile(np.array([[[0.3, -0.2, 0.9]]]), (1, 200_000, 1))
    rng = torch.Generator().manual_seed(0)
    _, logp = solo.act_with_log_prob(s, False, rng)
    # E over the policy of 1 / density is the volume where it lives: the box, 4 by 1.
    assert abs(float(np.exp(-logp.astype(np.float64)).mean()) - 4) < 0.2, "log-densities are not in the log's units"


def test_q_value_and_predicted_value(small_population):
    rng = np.random.default_rng(1)
    s, a = rng.normal(size=(4, 6, 3)), rng.uniform([-2, 0], [2, 1], size=(4, 6, 2))
    q = small_population.q_value(s, a)
    assert q.shape == (4, 6)
    scaled = torch.tensor((a - [0, 0.5]) / [2, 0.5], dtype=torch.float32)
    networks, scaling = small_population.state.networks, small_population.scaling
    expected = cql.q_value(networks, scaling.observation(torch.tensor(s, dtype=torch.float32)), scaled)
    np.testing.assert_allclose(q, expected.numpy(), rtol=1e-5, atol=1e-6)
    value = small_population.predicted_value(s, torch.Generator().manual_seed(0))
    assert value.shape == (4, 6)
    draws = [
        small_population.q_value(s, small_population.act(s, False, torch.Generator().manual_seed(k)))
        for k in range(200)
    ]
    assert np.abs(np.mean(draws, axis=0) - value).max() < 5 * np.std(draws, axis=0).max() / math.sqrt(10)


def test_bc_has_no_values():
    data = logged()
    population = Population("bc", grid(bc.Config(hidden=(8,)), {}, [0]), data.spec, Scaling.fit(data, True))
    s, a = np.zeros((1, 2, 3)), np.zeros((1, 2, 2))
    assert population.predicted_value(s) is None
    with pytest.raises(ConfigError, match="bc has no critic"):
        population.q_value(s, a)


def test_discrete_actions_are_refused():
    data = logged()
    spec = replace(data.spec, discrete=True)
    with pytest.raises(ConfigError, match="continuous actions"):
        Population("cql", grid(cql.Config(), {}, [0]), spec, Scaling.fit(data, True))


# --- grid -------------------------------------------------------------------------------------------------------------


def test_grid_is_every_combination_with_seeds_fastest():
    members = grid(cql.Config(), {"alpha": [1.0, 5.0], "actor_lr": [1e-4, 3e-5]}, seeds=[0, 7])
    assert [m.name for m in members] == [
        "alpha=1,actor_lr=0.0001,seed=0",
        "alpha=1,actor_lr=0.0001,seed=7",
        "alpha=1,actor_lr=3e-05,seed=0",
        "alpha=1,actor_lr=3e-05,seed=7",
        "alpha=5,actor_lr=0.0001,seed=0",
        "alpha=5,actor_lr=0.0001,seed=7",
        "alpha=5,actor_lr=3e-05,seed=0",
        "alpha=5,actor_lr=3e-05,seed=7",
    ]
    assert [(m.config.alpha, m.config.actor_lr, m.seed) for m in members[2:4]] == [(1.0, 3e-5, 0), (1.0, 3e-5, 7)]
    assert [m.name for m in grid(bc.Config(), {}, [4])] == ["seed=4"]


@pytest.mark.parametrize(
    ("varied", "seeds", "message"),
    [
        ({"aplha": [1.0]}, [0], "no setting is called 'aplha'; did you mean alpha"),
        ({"hidden": [(8,), (9,)]}, [0], "hidden must be the same for all members"),
        ({"backup": ["min", "max"]}, [0], "backup must be the same for all members"),
        ({"alpha": []}, [0], "alpha must be one or more different values"),
        ({"alpha": [1.0, 1.0]}, [0], "alpha must be one or more different values"),
        ({}, [], "seeds must be one or more different values"),
        ({}, [1, 1], "seeds must be one or more different values"),
        ({"alpha": [-1.0]}, [0], "alpha must not be negative"),
    ],
)
def test_grid_errors_are_one_line(varied, seeds, message):
    with pytest.raises(ConfigError, match=message) as error:
        grid(cql.Config(), varied, seeds)
    assert "\n" not in str(error.value)


def test_close_values_have_names_of_their_own():
    """Six significant digits are not always enough to tell two values apart."""
    names = [m.name for m in grid(cql.Config(), {"discount": [0.9999991, 0.9999992]}, [0])]
    assert len(set(names)) == 2, f"two members share a name: {names}"


# --- scaling ----------------------------------------------------------------------------------------------------------


def test_observations_are_standardised_and_constant_features_left_alone():
    observation = np.random.default_rng(0).normal([100.0, 0.0, 1e6], [5.0, 0.0, 0.0], size=(400, 3)).astype(np.float32)
    data = logged(observation=observation, next_observation=observation)
    scaling = Scaling.fit(data, True)
    scaled = scaling.observation(torch.from_numpy(observation))
    assert abs(float(scaled[:, 0].mean())) < 1e-3
    assert abs(float(scaled[:, 0].std()) - 1) < 1e-2
    assert scaling.observation_std[1:].tolist() == [1.0, 1e3], "a constant is divided by its rounding, or drift kills"
    assert scaled[:, 1:].abs().max() < 1
    off = Scaling.fit(data, False)
    assert torch.equal(off.observation(torch.from_numpy(observation)), torch.from_numpy(observation))


def test_declared_bounds_map_to_minus_one_and_one_and_back():
    action = np.tile(np.array([[-2.0, 3.0]], np.float32), (400, 1))
    data = logged(action=action, action_low=[-2.0, 1.0], action_high=[6.0, 3.0])
    scaling = Scaling.fit(data, True)
    assert scaling.action(torch.tensor([[-2.0, 1.0], [6.0, 3.0], [2.0, 2.0]])).tolist() == [[-1, -1], [1, 1], [0, 0]]
    assert scaling.action(torch.tensor([[9.0, 0.0]])).tolist() == [[1.0, -1.0]], "beyond the bounds is not clipped"
    a = torch.tensor([[0.5, 1.7]])
    assert torch.allclose(scaling.unscale_action(scaling.action(a)), a)


def test_undeclared_bounds_are_minus_one_to_one_and_violations_are_told():
    scaling = Scaling.fit(logged(), True)
    assert scaling.action_center.tolist() == [0, 0]
    assert scaling.action_half_range.tolist() == [1, 1]
    action = np.zeros((400, 2), np.float32)
    action[[7, 9], 1] = [1.5, -2.0]
    with pytest.raises(DataError, match=r"2 actions lie outside -1 to 1, the first in row 7: \[0.0, 1.5\]") as error:
        Scaling.fit(logged(action=action), True)
    assert "\n" not in str(error.value)


# --- training data ----------------------------------------------------------------------------------------------------


def training(data, *configs, needs=(), normalize=True):
    hyper = Hyper(configs)
    return TrainingData(data, Scaling.fit(data, normalize), hyper, torch.device("cpu"), needs)


def test_samples_keep_rows_together_and_transform_rewards_by_member():
    data = logged(extra={"dt": np.linspace(1, 2, 400)})
    configs = cql.Config(), cql.Config(reward_scale=10.0, reward_shift=-5.0)
    batch = training(data, *configs, normalize=False).sample(MemberRng([0, 1], "sample"), 50)
    for p, (scale, shift) in enumerate([(1, 0), (10, -5)]):
        rows = [int(np.flatnonzero((data.observation == o).all(1))[0]) for o in batch.observation[p].numpy()]
        assert len(set(rows)) > 40
        np.testing.assert_array_equal(batch.action[p], data.action[rows])
        np.testing.assert_array_equal(batch.next_observation[p], data.next_observation[rows])
        np.testing.assert_array_equal(batch.terminated[p], data.terminated[rows])
        np.testing.assert_allclose(batch.dt[p], data.extra["dt"][rows], rtol=1e-6)
        np.testing.assert_allclose(batch.reward[p], data.reward[rows] * scale + shift, rtol=1e-5, atol=1e-5)


def test_sampling_is_with_replacement_and_reaches_every_row():
    batch = training(logged(rows=40), cql.Config(), normalize=False).sample(MemberRng([0], "sample"), 2000)
    _, counts = np.unique(batch.observation[0].numpy(), axis=0, return_counts=True)
    assert len(counts) == 40
    assert counts.max() < 100


def test_returns_to_go_equal_the_oracle_per_member():
    data = logged(rows=60)
    configs = cql.Config(discount=0.9), cql.Config(discount=0.5, reward_scale=2.0, reward_shift=1.0)
    found = training(data, *configs, needs=("return_to_go",)).return_to_go_PR
    for p, c in enumerate(configs):
        rewards = [float(r) * c.reward_scale + c.reward_shift for r in data.reward]
        expected = oracle.returns_to_go(rewards, data.terminated, data.truncated, c.discount)
        np.testing.assert_allclose(found[p], expected, rtol=1e-4, atol=1e-4)


def test_the_mean_of_returns_to_go_is_where_a_constant_start_puts_the_critics():
    data = logged()
    config = cql.Config(hidden=(8,), batch_size=8, value_init="constant", discount=0.9)
    population = Population("cql", grid(config, {}, [0]), data.spec, Scaling.fit(data, True))
    population.prepare(data)
    expected = float(data.returns_to_go(0.9).mean())
    np.testing.assert_allclose(population.state.networks["critic"]["b1"].numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(population.state.networks["target_critic"]["b1"].numpy(), expected, rtol=1e-5)


def test_values_start_once():
    """Going on with a run must not start the values again."""
    data = logged()
    config = cql.Config(hidden=(8,), batch_size=8, n_actions=2, value_init="constant")
    population, _ = trained("cql", grid(config, {}, [0]), data, 1)
    before = {k: v.clone() for k, v in population.tensors().items()}
    _, metrics = population.prepare(data)
    assert metrics == {}
    assert all(torch.equal(v, before[k]) for k, v in population.tensors().items())


# --- storage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", MODULES)
def test_restore_round_trip_continues_bit_for_bit(algorithm):
    config = MODULES[algorithm].Config(hidden=(16,), batch_size=8)
    members, data = grid(config, {}, seeds=[0, 1]), logged()
    population, _ = trained(algorithm, members, data, 5)
    kept = {name: t.clone() for name, t in sorted(population.tensors().items())}
    training_data, _ = population.prepare(data)
    for _ in range(5):
        population.step(training_data)
    resumed = Population(algorithm, members, data.spec, Scaling.fit(data, True))
    resumed.restore(kept, 5)
    for name, t in resumed.tensors().items():
        assert torch.equal(t, kept[name]), f"{name} does not survive storage"
    for _ in range(5):
        resumed.step(training_data)
    assert resumed.state.step == population.state.step == 10
    for name, t in population.tensors().items():
        assert torch.equal(resumed.tensors()[name], t), f"{name} differs after going on from storage"
    for name, t in kept.items():
        assert not t.dim() or t.data_ptr() != resumed.tensors()[name].data_ptr(), (
            f"{name} is shared with what was stored"
        )


def test_restore_refuses_what_does_not_fit():
    data = logged()

    def fresh(**options):
        config = cql.Config(**{"hidden": (8,), "batch_size": 8, **options})
        return Population("cql", grid(config, {}, [0]), data.spec, Scaling.fit(data, True))

    population = fresh()
    for other in (fresh(hidden=(9,)), fresh(hidden=(8, 8)), fresh(layer_norm=True), fresh(n_critics=3)):
        with pytest.raises(ConfigError, match="the stored state does not fit these settings"):
            population.restore(other.tensors(), 0)
    incomplete = dict(population.tensors())
    incomplete.pop("networks.actor.w0")
    with pytest.raises(ConfigError, match=r"networks\.actor\.w0"):
        population.restore(incomplete, 0)


def test_a_state_from_another_kind_of_device_acts_the_same_and_trains_on():
    """A generator's state is 5056 bytes on a CPU and 16 on CUDA: a run must move between them all the same."""
    data = logged()
    members = grid(cql.Config(hidden=(8, 8), n_actions=2, batch_size=8), {}, [0, 1])
    population, _ = trained("cql", members, data, 3)
    stored = population.tensors()
    foreign = {name: t[:, :16] if name.startswith("rng.") else t for name, t in stored.items()}
    moved = Population("cql", members, data.spec, Scaling.fit(data, True))
    moved.restore(foreign, population.state.step)
    observation = np.broadcast_to(data.observation[:5], (2, 5, 3))
    assert np.array_equal(moved.act(observation), population.act(observation)), "the policy changed on the way"
    training_data, _ = moved.prepare(data)
    assert all(torch.isfinite(value).all() for value in moved.step(training_data).values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_grad_norm": [1.0, None]}, "max_grad_norm takes one value or a list of numbers"),
        ({"hidden": (8.0,)}, "hidden cannot be"),
        ({"batch_size": 16.0}, "batch_size cannot be"),
        ({"lagrange": "no"}, "lagrange cannot be"),
        ({"proposals": "uniform"}, "proposals cannot be"),
        ({"alpha": float("inf")}, "alpha must be a finite number"),
        ({"target_gap": float("nan")}, "target_gap must be a finite number"),
        ({"bc_warmup_steps": -1}, "bc_warmup_steps must lie within"),
        ({"proposals": ("uniform", "uniform")}, "proposals must be some of"),
    ],
)
def test_settings_of_the_wrong_type_or_range_are_told(settings, message):
    with pytest.raises(ConfigError, match=message) as caught:
        grid(*split_settings(cql.Config(), settings), [0])
    assert "\n" not in str(caught.value)


def test_seeds_are_whole_numbers():
    with pytest.raises(ConfigError, match="seeds must be whole numbers"):
        grid(cql.Config(), {}, [0.5])


def test_the_multiplier_comes_back_from_its_bound():
    """Past the clamp the exponential has no gradient: the logarithm itself has to stay at the bound."""
    data = logged()
    config = cql.Config(hidden=(8, 8), n_actions=2, batch_size=8, lagrange=True, target_gap=1e3, lagrange_lr=0.1)
    population, _ = trained("cql", grid(config, {}, [0]), data, 1)
    population.state.networks["lagrange"]["log"].fill_(20.0)
    training_data, _ = population.prepare(data)
    for _ in range(3):
        population.step(training_data)
    assert float(population.state.networks["lagrange"]["log"]) < math.log(lagrange.MULTIPLIER_MAX), (
        "it is stuck at the bound"
    )


# --- next actions -----------------------------------------------------------------------------------------------------


def numbered(rows=120) -> Dataset:
    """Rows whose action and observation say which row they are; episodes of 20, ended in turn by either flag."""
    number = np.arange(rows, dtype=np.float32)
    return logged(
        rows,
        1,
        1,
        observation=number[:, None],
        next_observation=number[:, None] + 1.0,
        action=(number[:, None] / rows).astype(np.float32),
    )


def assert_next_actions_follow(batch, data):
    """Each known next action is that of the next row, in the same episode; unknown ones are just the last rows'."""
    rows = batch.observation[..., 0].round().long().flatten().numpy()
    known, following = batch.next_action_known.flatten().numpy(), batch.next_action.flatten().numpy()
    last = np.append(data.episode_of_row[1:] != data.episode_of_row[:-1], True)
    np.testing.assert_array_equal(known, ~last[rows], err_msg="a next action is taken across an episode's end")
    np.testing.assert_array_equal(data.episode_of_row[rows[known]], data.episode_of_row[rows[known] + 1])
    np.testing.assert_array_equal(following[known], data.action[rows[known] + 1, 0], err_msg="not the next row's")
    assert known.any()
    assert set(np.flatnonzero(last)) <= set(rows), "this batch misses an episode's end"


def test_next_actions_come_from_the_same_episode():
    data = numbered()
    assert data.terminated.any()
    assert data.truncated.any()
    source = training(data, rebrac.Config(), rebrac.Config(), needs=rebrac.NEEDS, normalize=False)
    assert_next_actions_follow(source.sample(MemberRng([0, 1], "sample"), 1000), data)
    assert_next_actions_follow(next(data.batches(1000)), data)
    source.followed = torch.ones_like(source.followed)
    with pytest.raises(AssertionError, match="across an episode's end"):
        assert_next_actions_follow(source.sample(MemberRng([0, 1], "sample"), 1000), data)


def test_next_actions_are_not_prepared_where_nobody_reads_them():
    batch = training(numbered(), cql.Config()).sample(MemberRng([0], "sample"), 5)
    assert batch.next_action is None
    assert batch.next_action_known is None


def test_an_agent_learns_from_own_batches_with_next_actions():
    """An agent's step on a batch of the log is the population's step on the same rows."""
    data = logged(action_low=-4.0, action_high=4.0)
    agent = ReBRAC(seeds=[0, 1], hidden=(8,), batch_size=6, actor_period=1)
    batch = next(data.batches(6))
    metrics = agent.update(batch)
    assert all(np.isfinite(value).all() for value in metrics.values())
    config = rebrac.Config(hidden=(8,), batch_size=6, actor_period=1)
    twin = Population("rebrac", grid(config, {}, [0, 1]), data.spec, Scaling.fit(data, True))
    placed = network_batch(twin, batch)
    np.testing.assert_allclose(placed.next_action[1], batch.next_action / 4, rtol=1e-6)
    expected = twin.update(placed)
    for name, value in expected.items():
        np.testing.assert_array_equal(metrics[name], value.numpy(), err_msg=f"{name} differs from the population's")
