"""Targets over several steps, of every algorithm, against loops along the log."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.cases import assert_values
from helpers.trajectories import LENGTHS, TrajectoryCase
from oracles import deterministic, discrete, losses
from oracles import multi_step as oracle
from oracles.networks import q, sample
from prudent.algorithms import cql, discrete_cql, rebrac, sac, td3_bc
from prudent.algorithms.shared import implicit as shared_implicit
from prudent.algorithms.shared import multi_step
from prudent.data import Dataset
from prudent.engine import windows
from prudent.engine.members import Member
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.nn import cpu
from prudent.types import Hyper

SOFT = {"n_critics": 3, "temperature": [0.3, 2.0]}


def cql_value(net, row, b, noise, c):
    return losses.next_value(net, row, b, noise, c)


def sac_value(net, row, b, noise, _c):
    action, log_prob = sample(net.actor, row.next_observation, noise.next_action[b])
    worst = min(q(critic, row.next_observation, action) for critic in net.target_critic)
    return worst - math.exp(net.log_tau) * log_prob


def td3_bc_value(net, row, b, noise, c):
    action = deterministic.next_action(net, row, noise.next_action[b], c)
    return min(q(critic, row.next_observation, action) for critic in net.target_critic)


def rebrac_value(net, row, b, noise, c):
    action = deterministic.next_action(net, row, noise.next_action[b], c)
    value = min(q(critic, row.next_observation, action) for critic in net.target_critic)
    known = row.next_action_known
    return value - (c.critic_penalty * deterministic.distance(action, row.next_action) if known else 0.0)


def implicit_value(net, row, _b, _noise, _c):
    return discrete.value(net, row.next_observation)


def discrete_value(net, row, _b, _noise, c):
    count = net.critic[0]["b2"].shape[-1] // c.n_quantiles
    best = discrete.greedy(net.critic, row.next_observation, row.next_mask, count)
    each = [discrete.quantiles(critic, row.next_observation, count)[best] for critic in net.target_critic]
    return min(each, key=losses.mean)


CASES = {
    "cql": (cql_value, {"backup": "min"}),
    "cql entropy": (cql_value, {"backup": "entropy", **SOFT}),
    "cql max": (cql_value, {"backup": "max"}),
    "cql soft": (cql_value, {"backup": "soft", "cql_temperature": [0.5, 2.0]}),
    "cal_ql": (cql_value, {}),
    "cql_redq": (cql_value, {"n_critics": 4}),
    "sac": (sac_value, SOFT),
    "td3_bc": (td3_bc_value, {"policy_noise": 1.5, "noise_clip": 0.9}),
    "rebrac": (rebrac_value, {"critic_penalty": 2.0, "hidden": (6, 5)}),
    "iql": (implicit_value, {}),
    "ciql": (implicit_value, {}),
    "sparse_ql": (implicit_value, {}),
    "discrete_iql": (implicit_value, {}),
    "discrete_iql masked": (implicit_value, {"masked": True}),
    "discrete_cql": (discrete_value, {"n_critics": 2}),
    "discrete_cql masked": (discrete_value, {"masked": True}),
}
WINDOWS = {
    "n 5": {"n_steps": 5},
    "n 5, traces": {"n_steps": 5, "trace": [0.3, 0.8]},
    "n 3, a trace of 1": {"n_steps": 3, "trace": [1.0, 0.5]},
    "n 4, a trace of 0": {"n_steps": 4, "trace": [0.0, 0.9]},
    "n 2": {"n_steps": 2, "trace": [0.6, 1.0]},
    "n 11, longer than most episodes": {"n_steps": 11, "trace": [1.0, 0.95]},
    "irregular time": {"n_steps": 5, "trace": [0.3, 1.0], "with_dt": True, "discount": [0.9, 0.5]},
    "irregular time, n-step returns": {"n_steps": 3, "with_dt": True, "discount": [0.9, 0.5]},
    "other rewards": {"n_steps": 3, "trace": 0.4, "reward_scale": [2.0, 0.5], "reward_shift": [-1.0, 0.25]},
}


def case_of(name: str, **options) -> TrajectoryCase:
    algorithm = name.split()[0]
    return TrajectoryCase(algorithm, **CASES[name][1], **options)


def found_target(case: TrajectoryCase):
    """The algorithm's target, (P, B)."""
    networks, batch, hyper = case.networks, case.batch, case.hyper
    module = case.algorithm
    if module.__name__.endswith("cql_redq"):
        chosen = module.subset(networks["target_critic"], case.noise.target_subset)
        return cql.target({**networks, "target_critic": chosen}, batch, case.noise, hyper)
    if module in (cql, sac, td3_bc, rebrac):
        return module.target(networks, batch, case.noise, hyper)
    if module.__name__.endswith("cal_ql"):
        return cql.target(networks, batch, case.noise, hyper)
    if module is discrete_cql:
        return module.target(networks, batch, hyper).squeeze(-1)
    return shared_implicit.target(networks, batch, hyper)


def expected_target(case: TrajectoryCase, name: str, p: int) -> list[float]:
    net, noise, config = case.net(p), case.noises(p), case.configs[p]
    if case.algorithm.__name__.endswith("cql_redq"):
        net.target_critic = [net.target_critic[e] for e in noise.target_subset]
    log, value = case.log(config), CASES[name][0]

    def of_row(b: int):
        found = lambda row: value(net, row, b, noise, config)  # noqa: E731
        return (lambda row: found(row)[0]) if name.startswith("discrete_cql") else found

    return [oracle.target(log, int(i), config, of_row(b)) for b, i in enumerate(case.drawn[p])]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", CASES)
def test_targets_equal_a_loop_along_the_log(name, window):
    case = case_of(name, **WINDOWS[window])
    found = found_target(case)
    for p in range(case.members):
        assert_values(found[p], expected_target(case, name, p), f"target of {name}, {window}")


LOSSES = ("cql", "cal_ql", "sac", "td3_bc", "rebrac", "ciql")


@pytest.mark.parametrize("name", LOSSES)
def test_the_critics_learn_from_that_target(name):
    case = TrajectoryCase(name, n_steps=4, trace=[0.4, 1.0])
    parts = case.networks, case.batch, case.noise, case.hyper
    found, _ = case.algorithm.critic_loss(*parts)
    expected, _ = case.algorithm.critic_loss(*parts, y_PB=found_target(case))
    assert torch.equal(found, expected)
    single, _ = case.algorithm.critic_loss(case.networks, replace(case.batch, window=()), case.noise, case.hyper)
    assert not torch.equal(found, single)


@pytest.mark.parametrize("name", ["cql", "discrete_cql", "iql"])
def test_one_step_and_a_trace_of_0_are_the_one_step_target(name):
    several = case_of(name, n_steps=5, trace=0.0, with_dt=True)
    one = case_of(name, n_steps=1, trace=0.5, with_dt=True)
    assert one.batch.window == ()
    assert (several.drawn == one.drawn).all(), "other rows are drawn than with one step"
    assert_values(found_target(several)[0], found_target(one)[0].tolist(), "trace 0")
    unused = case_of(name, n_steps=1, trace=1.0, with_dt=True)
    assert torch.equal(found_target(one), found_target(unused)), "trace counts with one step"


def test_windows_of_one_step_are_the_row_itself_bit_for_bit():
    case = case_of("cql entropy", n_steps=1, with_dt=True)
    source = case.data
    source.followed = torch.from_numpy(case.dataset.followed)
    window = source._windows(case.hyper).gather(torch.from_numpy(case.drawn))
    assert len(window) == 1
    with_window = replace(case.batch, window=window).map(lambda t: t.double() if t.is_floating_point() else t)
    found = cql.target(case.networks, with_window, case.noise, case.hyper)
    assert torch.equal(found, found_target(case))


def test_only_the_ends_of_windows_are_valued_where_every_trace_is_1():
    for traces, expected in (([1.0, 1.0], [1]), ([1.0, 0.5], [1, 4])):
        case, seen = TrajectoryCase("cql", n_steps=5, trace=traces), []

        def value(after, seen=seen, case=case):
            seen.append(after)
            return cql.next_value(case.networks, after, case.noise, case.hyper)

        multi_step.bootstrap(case.batch, value, case.hyper)
        rows = case.batch.reward.shape[1]
        assert [after.observation.shape[1] for after in seen] == [rows * states for states in expected]


def test_a_member_with_a_trace_of_1_learns_the_same_beside_another(monkeypatch):
    """Bit for bit, although the other one makes the population evaluate every next state."""
    # With this limit the three states before the last one take the fast passes, one state alone does not.
    monkeypatch.setattr(cpu, "covers", lambda _params, rows: rows > 2 * len(TrajectoryCase("cql").drawn[0]))
    alone = TrajectoryCase("cql", members=1, n_steps=4, trace=[1.0])
    beside = TrajectoryCase("cql", members=2, n_steps=4, trace=[1.0, 0.5])
    assert torch.equal(found_target(alone)[0], found_target(beside)[0])


def test_the_minimum_is_inside_each_value():
    """The other reading, each critic backed up apart and then the minimum, gives larger targets."""
    case = TrajectoryCase("cql", n_steps=5, trace=[0.5, 0.8])
    found, larger = found_target(case), 0
    for p in range(case.members):
        net, noise, config = case.net(p), case.noises(p), case.configs[p]
        for b, i in enumerate(case.drawn[p]):

            def each(row, b=b, net=net, noise=noise):
                action, _ = sample(net.actor, row.next_observation, noise.next_action[b])
                return [q(critic, row.next_observation, action) for critic in net.target_critic]

            other = oracle.target_of_each_critic_apart(case.log(config), int(i), config, each)
            assert other >= float(found[p, b]) - 1e-12
            larger += other > float(found[p, b]) + 1e-6
    assert larger > 5, "both readings give the same here, so this says nothing"


def test_the_fast_pass_gives_the_plain_passs_targets_and_losses(monkeypatch):
    settings = {"n_steps": 4, "trace": [0.5, 1.0], "layer_norm": False, "hidden": (64, 64), "rows": 256}
    case = TrajectoryCase("cql", **settings)
    parts = case.networks, case.batch, case.noise, case.hyper
    monkeypatch.setattr(cpu, "WORTH_IT", 1)
    fast_target, (fast, _) = found_target(case), cql.critic_loss(*parts)
    monkeypatch.setattr(cpu, "WORTH_IT", 10**15)
    plain_target, (plain, _) = found_target(case), cql.critic_loss(*parts)
    for p in range(case.members):
        assert_values(fast_target[p], plain_target[p].tolist(), "target")
    assert_values(fast, plain.tolist(), "critics' loss")


# --- planted mistakes -------------------------------------------------------------------------------------------------


def agrees(name, **options):
    """A check: the targets are those of the loop along the log."""

    def check():
        case = case_of(name, **options)
        found = found_target(case)
        for p in range(case.members):
            assert_values(found[p], expected_target(case, name, p), "target")

    return check


TIMED = {"n_steps": 4, "trace": [0.5, 1.0], "with_dt": True, "discount": 0.9}


def test_no_window_runs_into_the_next_episode(notices):
    original = windows.rows_of

    def into_the_next(rows_PB, _follows, count):
        return original(rows_PB, lambda rows: rows < sum(LENGTHS) - 1, count)

    notices(agrees("td3_bc", **TIMED), windows, "rows_of", into_the_next)


def mistaken_steps(change):
    """``bootstrap`` with windows of which ``change`` made others."""
    original = multi_step.bootstrap

    def bootstrap(batch, value, hyper):
        return original(replace(batch, window=change(batch.window)), value, hyper)

    return bootstrap


def last_of(window, **changes):
    return (*window[:-1], replace(window[-1], **changes))


def test_no_window_bootstraps_through_a_termination(notices):
    through = mistaken_steps(lambda w: last_of(w, terminated=torch.zeros_like(w[-1].terminated)))
    notices(agrees("sac", **TIMED), multi_step, "bootstrap", through)


def test_every_window_bootstraps_at_a_truncation(notices):
    def at_none(window):
        short = ~torch.stack([step.goes_on for step in window[:-1]]).all(0)
        return last_of(window, terminated=window[-1].terminated | short)

    notices(agrees("td3_bc", **TIMED), multi_step, "bootstrap", mistaken_steps(at_none))


def test_no_gamma_is_missing(notices):
    original = multi_step.discount

    def one_too_few(dt_PB, hyper, calls=[]):  # noqa: B006
        calls.append(None)
        found = original(dt_PB, hyper)
        return torch.ones_like(found) if len(calls) % 4 == 1 else found

    notices(agrees("iql", **TIMED), multi_step, "discount", one_too_few)


def test_the_length_of_every_step_counts(notices):
    single = mistaken_steps(lambda window: tuple(replace(step, dt=None) for step in window))
    notices(agrees("iql", **TIMED), multi_step, "bootstrap", single)
    first = mistaken_steps(lambda window: tuple(replace(step, dt=window[0].dt) for step in window))
    notices(agrees("iql", **TIMED), multi_step, "bootstrap", first)


def test_the_masks_are_those_of_each_state(notices):
    def of_the_first(window):
        return tuple(replace(step, next=replace(step.next, mask=window[0].next.mask)) for step in window)

    notices(agrees("discrete_cql masked", **TIMED), multi_step, "bootstrap", mistaken_steps(of_the_first))


def test_the_next_actions_are_those_of_each_state(notices):
    def of_the_first(window):
        return tuple(replace(step, next=replace(step.next, action=window[0].next.action)) for step in window)

    notices(agrees("rebrac", **TIMED), multi_step, "bootstrap", mistaken_steps(of_the_first))


def test_the_trace_weighs_what_comes_later(notices):
    original = multi_step.bootstrap

    def swapped(batch, value, hyper):
        other = Hyper(hyper.members)
        other._values = {**hyper._values, "trace": 1 - hyper.trace}
        return original(batch, value, other)

    notices(agrees("td3_bc", n_steps=4, trace=[0.2, 0.7]), multi_step, "bootstrap", swapped)


# --- a chain with known values ----------------------------------------------------------------------------------------


def chain(length: int, episodes: int) -> Dataset:
    """Episodes of ``length`` steps from state 0 on, with a reward of 1 at the end: the value of state k is known."""
    place = np.tile(np.arange(length), episodes)
    states = np.eye(length + 1, dtype=np.float32)
    return Dataset.from_columns(
        observation=states[place],
        action=np.zeros(len(place), np.int64),
        reward=(place == length - 1).astype(np.float32),
        next_observation=states[place + 1],
        terminated=place == length - 1,
        truncated=np.zeros(len(place), bool),
        discrete=True,
        n_actions=2,
    )


def test_several_steps_carry_the_values_of_a_chain_to_its_start():
    length, discount, data = 8, 0.9, chain(8, 4)
    known = torch.tensor([discount ** (length - 1 - k) for k in range(length)])
    found = {}
    for n_steps in (1, 4):
        config = discrete_cql.Config(
            alpha=0.0,
            n_steps=n_steps,
            discount=discount,
            hidden=(32,),
            batch_size=64,
            critic_lr=1e-2,
            polyak=0.02,
            normalize_observations=False,
        )
        members = [Member("seed=0", 0, config)]
        population = Population("discrete_cql", members, data.spec, Scaling.fit(data, False))
        source, _ = population.prepare(data)
        for _ in range(150):
            population.step(source)
        q_values = population.q_value(data.observation[None, :length], data.action[None, :length])[0]
        found[n_steps] = float((torch.from_numpy(q_values) - known).abs().max())
    assert found[4] < 0.08, "the values of the chain are not found"
    assert found[4] < found[1] / 2, "several steps are no faster than one"
