"""TD3+BC and ReBRAC where the policy and its values are known in closed form; learned through the path of real data.

A decision is worth ``1 - (a - 0.3)^2``; the log plays every action of [-1, 1] evenly, so its mean action is 0 and the
mean squared distance of p from its actions is ``p^2 + 1/3``.
"""

import numpy as np
import pytest

from prudent.algorithms import rebrac, td3_bc
from prudent.data import Dataset
from prudent.engine.members import grid
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling

SMALL = {
    "hidden": (32, 32),
    "batch_size": 64,
    "critic_lr": 3e-3,
    "actor_lr": 3e-3,
    "polyak": 0.1,
    "normalize_observations": False,
}
DISCOUNT = 0.9
FIRST, SECOND = np.eye(2)


def payoff(action):
    """Best at 0.3, where it is 1."""
    return 1 - (action - 0.3) ** 2


def two_steps(cut=0.0) -> Dataset:
    """FIRST earns nothing and leads to SECOND, which earns the payoff of its action and ends.

    The share ``cut`` of all episodes stops recording after FIRST, with a truncation; what follows then in the log is
    the first step of another episode.
    """
    rng = np.random.default_rng(0)
    rows, evenly = [], iter(rng.permutation(np.linspace(-1, 1, 4000)))
    for episode in range(1500):
        truncated = (episode * cut) % 1 + cut >= 1 - 1e-9
        rows.append((FIRST, next(evenly), 0.0, SECOND, False, truncated))
        if not truncated:
            action = next(evenly)
            rows.append((SECOND, action, payoff(action), SECOND, True, False))
    s, a, r, successor, terminated, truncations = (np.array([row[i] for row in rows]) for i in range(6))
    return Dataset.from_columns(
        observation=s.astype(np.float32),
        action=a[:, None].astype(np.float32),
        reward=r.astype(np.float32),
        next_observation=successor.astype(np.float32),
        terminated=terminated,
        truncated=truncations,
    )


def learned(module, data, steps, varied=None, **options) -> Population:
    """A population trained on the log."""
    name = module.__name__.split(".")[-1]
    config = module.Config(**{**SMALL, "discount": DISCOUNT, **options})
    population = Population(name, grid(config, varied or {}, [0]), data.spec, Scaling.fit(data, False))
    training, _ = population.prepare(data)
    for _ in range(steps):
        population.step(training)
    return population


def at(population, state) -> tuple[np.ndarray, np.ndarray]:
    """(P,) each member's action in a state, and its Q."""
    s = np.tile(state.astype(np.float32), (population.size, 1, 1))
    action = population.act(s)
    return action[:, 0, 0], population.q_value(s, action)[:, 0]


def test_the_probe_cuts_the_share_it_says():
    for cut in (0.0, 0.25, 0.5):
        data = two_steps(cut)
        assert abs(data.truncated.sum() / 1500 - cut) < 0.01
        assert abs(data.action.mean()) < 0.03, "the log does not play evenly"


def compromise(pull, states_q) -> float:
    """The minimum of ``E (p - a)^2 - pull * payoff(p) / mean |Q|``: between the log's mean action, 0, and the best."""
    weight = pull / states_q
    return 0.3 * weight / (1 + weight)


@pytest.mark.parametrize("module", [td3_bc, rebrac], ids=["td3_bc", "rebrac"])
def test_the_policy_is_the_compromise_between_the_best_action_and_the_data(module):
    """One state: the larger alpha, or the smaller the actor's penalty, the nearer to the best action."""
    data = two_steps()
    second = data.observation[:, 1] == 1
    columns = {n: getattr(data, n)[second] for n in ("observation", "action", "reward", "next_observation")}
    ends = np.ones(int(second.sum()), bool)
    bandit = Dataset.from_columns(**columns, terminated=ends, truncated=~ends)
    pulls = [0.2, 1.0, 2.5, 50.0]
    if module is td3_bc:
        population = learned(module, bandit, 700, {"alpha": pulls})
    else:
        population = learned(module, bandit, 700, {"actor_penalty": [1 / pull for pull in pulls]}, critic_penalty=1.0)
    played, q = at(population, SECOND)
    mean_action = float(bandit.action.mean())
    for pull, action, value in zip(pulls, played, q, strict=True):
        expected = compromise(pull, payoff(action))
        assert abs(action - expected - mean_action) < 0.06, f"pull {pull}: plays {action:.3f}, not {expected:.3f}"
        assert abs(value - payoff(action)) < 0.06, f"pull {pull}: Q is {value:.3f}, the payoff {payoff(action):.3f}"
    assert played[0] + 0.1 < played[-1], "the pull changes nothing"


def test_td3_values_the_smoothed_action():
    """FIRST is worth the discounted payoff of SECOND's action under clipped noise: less by the noise's variance."""
    sizes = [0.0, 0.3, 3.0]
    population = learned(td3_bc, two_steps(), 600, {"policy_noise": sizes}, noise_clip=0.4, alpha=20.0)
    played, _ = at(population, SECOND)
    _, found = at(population, FIRST)
    eps = np.random.default_rng(0).normal(size=100_000)
    for size, action, value in zip(sizes, played, found, strict=True):
        expected = DISCOUNT * payoff(action + np.clip(size * eps, -0.4, 0.4)).mean()
        assert abs(value - expected) < 0.06, f"noise {size}: Q(FIRST) is {value:.3f}, should be {expected:.3f}"
    assert found[2] < found[0] - 0.06, "the noise costs nothing"


@pytest.mark.parametrize("cut", [0.0, 0.5])
def test_rebrac_charges_the_distance_where_an_action_followed(cut):
    """FIRST is worth ``gamma (payoff(p) - penalty share (p^2 + 1/3))``, share of its rows whose episode went on."""
    penalties = [0.0, 0.5, 1.5]
    population = learned(
        rebrac, two_steps(cut), 900, {"critic_penalty": penalties}, policy_noise=0.0, actor_penalty=0.1
    )
    played, q_second = at(population, SECOND)
    _, found = at(population, FIRST)
    for penalty, action, value in zip(penalties, played, found, strict=True):
        expected = DISCOUNT * (payoff(action) - penalty * (1 - cut) * (action**2 + 1 / 3))
        assert abs(value - expected) < 0.08, f"penalty {penalty}: Q(FIRST) is {value:.3f}, should be {expected:.3f}"
    np.testing.assert_allclose(q_second, payoff(played), atol=0.06, err_msg="the end pays a penalty")
