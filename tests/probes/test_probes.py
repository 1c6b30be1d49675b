"""Problems small enough that their values are known: a bandit, a chain, a linear-quadratic regulator.

Each is learned from a log, through the same path as real data. Without conservatism the values are the true ones; with
it the value of the learned policy, ``E_{a ~ pi} Q(s, a)``, lies at or below the true one.
"""

import numpy as np
import pytest
import torch

from prudent.algorithms import cql, sac
from prudent.data import Dataset
from prudent.engine.members import grid
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling

SMALL = {
    "hidden": (32, 32),
    "batch_size": 32,
    "critic_lr": 3e-3,
    "actor_lr": 3e-3,
    "polyak": 0.1,
    "learn_temperature": False,
    "temperature": 1e-3,
    "normalize_observations": False,
}


def learned(module, data, steps, varied=None, **options) -> Population:
    """A population trained on the log; CQL with few proposals."""
    name = module.__name__.split(".")[-1]
    if module is cql:
        options = {"n_actions": 4, **options}
    config = module.Config(**{**SMALL, **options})
    population = Population(name, grid(config, varied or {}, [0]), data.spec, Scaling.fit(data, False))
    training, _ = population.prepare(data)
    for _ in range(steps):
        population.step(training)
    return population


def log_of(observation, action, reward, next_observation, terminated, **more) -> Dataset:
    """Every row an episode of its own: truncated where it is not terminated."""
    terminated = np.broadcast_to(terminated, (len(reward),)).copy()
    columns = {"observation": observation, "action": action, "reward": reward, "next_observation": next_observation}
    columns = {k: np.asarray(v, np.float32) for k, v in columns.items()}
    return Dataset.from_columns(**columns, terminated=terminated, truncated=~terminated, **more)


def q_of(population, observation, action) -> np.ndarray:
    """(P, rows) Q for every member at the same states and actions."""
    return population.q_value(for_all(population, observation), for_all(population, action))


def for_all(population, rows) -> np.ndarray:
    """(rows, ...) as (P, rows, ...), the same for every member."""
    return np.stack([np.asarray(rows, np.float32)] * population.size)


def value_of_policy(population, observation, draws=64) -> np.ndarray:
    """(P, rows) E over the policy of min Q, by many draws."""
    s = for_all(population, np.repeat(np.asarray(observation), draws, axis=0))
    a = population.act(s, deterministic=False, generator=torch.Generator().manual_seed(1))
    return population.q_value(s, a).reshape(population.size, -1, draws).mean(-1)


# --- one state --------------------------------------------------------------------------------------------------------


def payoff(action):
    """Best at 0.3, where it is 1."""
    return 1 - (action - 0.3) ** 2


def bandit(action) -> Dataset:
    """One state, one decision, then the end; the successor written in the log is the state itself."""
    here = np.ones((len(action), 1))
    return log_of(here, action, payoff(action[:, 0]), here, True)


@pytest.mark.parametrize(("module", "options"), [(sac, {}), (cql, {"alpha": 0.0})], ids=["sac", "cql alpha 0"])
def test_bandit_q_is_the_payoff_and_the_policy_finds_the_best(module, options):
    data = bandit(np.random.default_rng(0).uniform(-1, 1, size=(1000, 1)))
    population = learned(module, data, 350, **options)
    a = np.linspace(-0.9, 0.9, 19)[:, None]
    error = np.abs(q_of(population, np.ones((19, 1)), a)[0] - payoff(a[:, 0])).max()
    assert error < 0.06, f"Q is {error:.3f} away from the payoff: a terminated row is worth its reward and no more"
    best = population.act(np.ones((1, 1, 1)))[0, 0, 0]
    assert abs(best - 0.3) < 0.1, f"the policy plays {best:.2f}, the best is 0.3"


def conservative_q(density, payoff_at, alpha) -> np.ndarray:
    """The minimum of ``E_beta (Q - r)^2 + alpha (log int exp Q - E_beta Q)`` on a grid over [-1, 1], by iteration.

    There ``Q = r - alpha / 2 (mu / beta - 1)`` with ``mu`` the softmax of Q: actions rarer in the log than Q makes them
    are pushed down, commoner ones lifted.
    """
    q, width = payoff_at.copy(), 2 / len(payoff_at)
    for _ in range(20_000):
        mu = np.exp(q - q.max())
        mu /= mu.sum() * width
        # Newton-like damping: the slope of alpha mu / (2 beta) in q is itself.
        step = (payoff_at - alpha / 2 * (mu / density - 1) - q) / (1 + alpha / 2 * mu / density)
        q = q + 0.2 * step
    assert np.abs(step).max() < 1e-10, "the reference did not converge"
    return q


def test_bandit_conservative_q_is_the_minimum_of_the_objective():
    """Four of five actions of the log lie below 0. The learned Q must be the exact minimiser, for each alpha."""
    rng = np.random.default_rng(0)
    action = np.where(rng.uniform(size=(4000, 1)) < 0.8, -1, 0) + rng.uniform(size=(4000, 1))
    alphas = [0.3, 1.0, 5.0]
    options = {"n_actions": 10, "proposals": ("uniform",), "actor_period": 1000, "critic_lr": 1e-2}
    population = learned(cql, bandit(action), 800, {"alpha": alphas}, **options)
    grid_points = (np.arange(200) + 0.5) / 100 - 1
    density = np.where(grid_points < 0, 0.8, 0.2)
    found = q_of(population, np.ones((200, 1)), grid_points[:, None])
    # Away from the jump at 0 and the ends, which a small smooth network rounds off.
    inner = (np.abs(grid_points) > 0.2) & (np.abs(grid_points) < 0.95)
    for alpha, q in zip(alphas, found, strict=True):
        expected = conservative_q(density, payoff(grid_points), alpha)
        error = np.abs(q - expected)[inner].mean()
        assert error < 0.12, f"alpha {alpha}: Q is {error:.3f} away from the objective's minimum on average"
        lifted = (q - payoff(grid_points))[inner & (grid_points < 0)].mean()
        pushed = (q - payoff(grid_points))[inner & (grid_points > 0)].mean()
        assert pushed < 0 < lifted, f"alpha {alpha}: rare actions {pushed:.2f}, common ones {lifted:.2f}"


# A batch large enough that the policy finds the peak of Q and not that of its noise.
CALM = {"batch_size": 256, "temperature": 0.03}


def test_bandit_conservative_values_lie_at_or_below_the_truth():
    """The log plays everything: the bound then holds for every policy that prefers what Q prefers."""
    action = np.linspace(-1, 1, 1000)[:, None]  # evenly, so that there is no chance excess for the policy to sit on
    population = learned(cql, bandit(action), 270, {"alpha": [0.3, 1.0, 2.0]}, **CALM)
    s = np.ones((3, 512, 1), np.float32)
    a = population.act(s, deterministic=False, generator=torch.Generator().manual_seed(1))
    promised, true = population.q_value(s, a).mean(-1), payoff(a[..., 0]).mean(-1)
    assert (promised <= true + 0.02).all(), f"promised {promised} above the true {true}"
    assert promised[2] < promised[0], f"more conservatism promises more: {promised}"


# --- two steps --------------------------------------------------------------------------------------------------------

CHAIN = {"hidden": (32,), "critic_lr": 1e-2}
A, LATE, B, LOOP, SLOW = np.eye(5)


def chain() -> Dataset:
    """A -> B for 1, B ends for 2 (its successor in the log is LOOP, worth 5: a trap), LOOP and SLOW go on for 1 each.

    LOOP and SLOW are recorded in episodes of one step, each cut off by a truncation. LATE is A with three units of time
    to B, SLOW takes two a step.
    """
    rng = np.random.default_rng(0)
    kinds = [
        (A, 1.0, B, False, 1.0),
        (LATE, 1.0, B, False, 3.0),
        (B, 2.0, LOOP, True, 1.0),
        (LOOP, 1.0, LOOP, False, 1.0),
        (SLOW, 1.0, SLOW, False, 2.0),
    ]
    s, r, successor, ended, dt = (np.array([kind[i] for kind in kinds * 80]) for i in range(5))
    return log_of(s, rng.uniform(-1, 1, size=(400, 1)), r, successor, ended, extra={"dt": dt})


VALUES = {"A": 1 + 0.8 * 2, "LATE": 1 + 0.8**3 * 2, "B": 2.0, "LOOP": 1 / (1 - 0.8), "SLOW": 1 / (1 - 0.8**2)}


@pytest.mark.parametrize("module", [sac, cql], ids=["sac", "cql alpha 0"])
def test_chain_values_end_at_terminations_go_on_through_truncations_and_count_time(module):
    options = {"alpha": 0.0} if module is cql else {"temperature": 1e-5}
    population = learned(module, chain(), 270, discount=0.8, **CHAIN, **options)
    found = q_of(population, np.eye(5), np.zeros((5, 1)))[0]
    for (name, expected), value in zip(VALUES.items(), found, strict=True):
        assert abs(value - expected) < 0.08 * expected, f"Q({name}) is {value:.3f}, should be {expected:.3f}"


@pytest.mark.parametrize("backup", ["max", "soft"])
def test_chain_values_under_the_other_backups(backup):
    """Nothing depends on the action here: the largest of N values, and for small T the soft one, is the common one."""
    options = {"alpha": 0.0, "backup": backup, "cql_temperature": 0.02}
    population = learned(cql, chain(), 270, discount=0.8, **CHAIN, **options)
    found = q_of(population, np.stack([A, B, LOOP]), np.zeros((3, 1)))[0]
    expected = [VALUES["A"], VALUES["B"], VALUES["LOOP"]]
    np.testing.assert_allclose(found, expected, rtol=0.06, err_msg=f"backup {backup}")


# --- linear-quadratic -------------------------------------------------------------------------------------------------

DRIFT, PUSH, STATE_COST, ACTION_COST, DISCOUNT = 0.6, 0.4, 1.0, 0.1, 0.8


def riccati() -> tuple[float, float]:
    """(curvature, gain): the best policy is ``a = -gain s`` and worth ``-curvature s^2``; DARE with a discount."""
    p = STATE_COST
    for _ in range(200):
        gain = DISCOUNT * DRIFT * PUSH * p / (ACTION_COST + DISCOUNT * PUSH**2 * p)
        p = STATE_COST + ACTION_COST * gain**2 + DISCOUNT * (DRIFT - PUSH * gain) ** 2 * p
    return p, gain


def regulator(action, seed=0) -> Dataset:
    """``s' = 0.6 s + 0.4 a`` keeps [-1, 1] to itself; reward ``-(s^2 + 0.1 a^2)``. ``action`` maps (s, rng) to a."""
    rng = np.random.default_rng(seed)
    s = rng.uniform(-1, 1, size=(4000, 1))
    a = np.clip(action(s, rng), -1, 1)
    return log_of(s, a, -(STATE_COST * s**2 + ACTION_COST * a**2)[:, 0], DRIFT * s + PUSH * a, False)


def rollout_value(population, start, steps=40) -> np.ndarray:
    """(P, rows): discounted return of each member's stochastic policy in the true dynamics."""
    s = for_all(population, start)
    total, generator = np.zeros(s.shape[:2]), torch.Generator().manual_seed(2)
    for t in range(steps):
        a = population.act(s, deterministic=False, generator=generator)
        total += DISCOUNT**t * -(STATE_COST * s**2 + ACTION_COST * a**2)[..., 0]
        s = DRIFT * s + PUSH * a
    return total


def test_riccati_solution_is_optimal_among_linear_policies():
    p, gain = riccati()

    def worth(k):
        return (STATE_COST + ACTION_COST * k**2) / (1 - DISCOUNT * (DRIFT - PUSH * k) ** 2)

    assert abs(worth(gain) - p) < 1e-9
    assert all(worth(gain + d) > p for d in (-0.1, -0.01, 0.01, 0.1))
    assert gain < 1, "the best action leaves the box"


@pytest.mark.parametrize("module", [sac, cql], ids=["sac", "cql alpha 0"])
def test_regulator_q_converges_to_the_riccati_value(module):
    data = regulator(lambda s, rng: rng.uniform(-1, 1, size=s.shape))
    options = {"alpha": 0.0, "n_actions": 1} if module is cql else {}
    population = learned(module, data, 900, discount=DISCOUNT, **options)
    p, gain = riccati()
    s = np.linspace(-0.9, 0.9, 13)[:, None]
    true = -p * s[:, 0] ** 2
    error = np.abs(value_of_policy(population, s)[0] - true).max()
    assert error < 0.1, f"E_pi Q is up to {error:.3f} away from the Riccati value {np.abs(true).max():.2f}"
    a = np.linspace(-0.8, 0.8, 13)[:, None]
    q_true = -(STATE_COST * s**2 + ACTION_COST * a**2 + DISCOUNT * p * (DRIFT * s + PUSH * a) ** 2)[:, 0]
    error = np.abs(q_of(population, s, a)[0] - q_true).max()
    assert error < 0.15, f"Q(s, a) is up to {error:.3f} away from the Riccati Q"
    played = population.act(s[None].astype(np.float32))[0]
    assert np.abs(played + gain * s).mean() < 0.1, "the policy is not the Riccati feedback"


@pytest.mark.parametrize("log", ["wide", "narrow"])
def test_regulator_conservative_values_are_lower_bounds(log):
    """What the learned policies are promised lies at or below what they get in the true dynamics.

    The theorem (2006.04779, theorem 3.2 and appendix D) is about the policy that the penalty samples, the softmax of Q.
    A log that plays everything extends it to sharper policies; on a narrow log of a poor controller the policy must be
    the soft one, temperature 1: a sharp one would sit on the peak of the log's density, where CQL lifts Q.
    """
    if log == "wide":
        data, options = regulator(lambda s, rng: rng.uniform(-1, 1, size=s.shape)), {}
    else:
        data = regulator(lambda s, rng: 0.3 * s + rng.normal(0, 0.4, size=s.shape))
        options = {"temperature": 1.0}
    population = learned(cql, data, 350, {"alpha": [0.5, 2.0, 10.0]}, discount=DISCOUNT, **options)
    s = np.random.default_rng(5).uniform(-1, 1, size=(64, 1))
    promised, true = value_of_policy(population, s, 32).mean(-1), rollout_value(population, s).mean(-1)
    assert (promised <= true + 0.02).all(), f"promised {promised}, true {true}: not a lower bound"
