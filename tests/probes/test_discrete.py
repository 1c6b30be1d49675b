"""Discrete actions: a chain whose values are known, and the fixed point of the CQL loss on a tabular MDP.

Setting the gradient of CQL's objective to zero (2006.04779, section 3) at a table of Q-values, where a state-action
pair makes up the share d(s) beta(a|s) of the log and mu is the softmax of Q(s, .) over actions:

    half the squared error:      d beta (Q - BQ) + alpha d (mu - beta) = 0
                                 Q = BQ - alpha (mu / beta - 1)
    the whole, as in cql.py:     Q = BQ - alpha / 2 (mu / beta - 1)

Discrete CQL's alpha therefore counts twice as much as continuous CQL's. Huber's slope is Q - y clipped at the
threshold, for each outcome y apart: where outcomes differ by more, its fixed point is another one.
"""

import numpy as np
import pytest
import torch

from helpers.cases import hyper64
from oracles import discrete as oracle
from prudent import nn
from prudent.algorithms import discrete_bc, discrete_cql, discrete_iql
from prudent.algorithms.shared.losses import td_loss
from prudent.data import Dataset
from prudent.engine.members import grid
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.nn import optim
from prudent.types import Batch

STATES, ACTIONS, GAMMA = 4, 3, 0.8

# --- the fixed point --------------------------------------------------------------------------------------------------


def tabular(masked: bool, scale: float = 1.0) -> tuple[Batch, np.ndarray, np.ndarray]:
    """Every row of a log at once, the shares beta (S, A), the allowed actions (S, A); several outcomes of an action."""
    rng = np.random.default_rng(5)
    allowed = np.ones((STATES, ACTIONS), dtype=bool)
    if masked:
        allowed[1, 0] = allowed[2, 2] = False
    count = np.where(allowed, rng.integers(2, 6, size=(STATES, ACTIONS)), 0)
    rows = [
        (s, a, scale * rng.normal(), rng.integers(STATES), rng.uniform() < 0.2)
        for s in range(STATES)
        for a in range(ACTIONS)
        for _ in range(count[s, a])
    ]
    s, a, r, following, ended = (np.array(column) for column in zip(*rows, strict=True))
    one_hot, mask = torch.eye(STATES, dtype=torch.float64), torch.from_numpy(allowed)
    batch = Batch(
        observation=one_hot[s],
        action=torch.from_numpy(a),
        reward=torch.from_numpy(r),
        next_observation=one_hot[following],
        terminated=torch.from_numpy(ended),
        mask=mask[s] if masked else None,
        next_mask=mask[following] if masked else None,
    ).map(lambda t: t.unsqueeze(0))
    return batch, count / count.sum(1, keepdims=True), allowed


def backed_up(q, batch, allowed) -> np.ndarray:
    """BQ (S, A) from the rows of the log: the mean of ``r + gamma max_allowed Q(s')``; NaN where there are none."""
    total, count = np.zeros_like(q), np.zeros_like(q)
    for i in range(batch.reward.shape[1]):
        s, following = int(batch.observation[0, i].argmax()), int(batch.next_observation[0, i].argmax())
        a, best = int(batch.action[0, i]), max(q[following][allowed[following]])
        total[s, a] += float(batch.reward[0, i]) + (0 if batch.terminated[0, i] else GAMMA * best)
        count[s, a] += 1
    return np.divide(total, count, out=np.full_like(q, np.nan), where=count > 0)


def descended(loss, batch, hyper) -> np.ndarray:
    """Q (S, A) where gradient descent on a linear critic over one-hot states, a table, comes to rest."""
    table = {"w0": torch.zeros(1, 1, STATES, ACTIONS).double(), "b0": torch.zeros(1, 1, ACTIONS).double()}
    for _ in range(3000):
        current = {"critic": table, "target_critic": table}
        found, _ = optim.gradients(lambda leaves, now=current: loss({**now, "critic": leaves}, batch, hyper), table)
        assert all(g.isfinite().all() for g in found.values())
        table = {**table, "w0": table["w0"] - 2.0 * found["w0"]}
        if found["w0"].abs().max() < 1e-12:
            break
    assert found["w0"].abs().max() < 1e-9, "the table has not come to rest"
    return table["w0"][0, 0].numpy()


def with_the_whole_square(networks, batch, hyper):
    """The loss with continuous CQL's squared error, which lacks the one-half."""
    y_PB = discrete_cql.target(networks, batch, hyper).squeeze(-1)
    q_PEBA = discrete_cql.quantiles(networks["critic"], batch.observation).squeeze(-1)
    td_P, _ = td_loss(nn.value_of(q_PEBA, batch.action.unsqueeze(1)), y_PB)
    gap_P = discrete_cql.conservative_gap(q_PEBA, batch.action, batch.mask).mean((-2, -1))
    return td_P + hyper.alpha * gap_P, {}


def residual(q, by, alpha, batch, beta, allowed) -> float:
    """How far Q is from ``BQ - by alpha (mu / beta - 1)``."""
    mu = np.where(allowed, np.exp(q), 0.0)
    mu /= mu.sum(1, keepdims=True)
    excess = np.divide(mu, beta, out=np.ones_like(mu), where=allowed) - 1
    return np.abs(q - (backed_up(q, batch, allowed) - by * alpha * excess))[allowed].max()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("scale", [1.0, 20.0])
@pytest.mark.parametrize(("loss", "factor"), [(discrete_cql.critic_loss, 1.0), (with_the_whole_square, 0.5)])
def test_the_fixed_point_is_the_one_of_theory(loss, factor, scale, masked):
    """With the default settings, every outcome apart, and rewards of any size."""
    batch, beta, allowed = tabular(masked, scale)
    alpha = discrete_cql.Config().alpha
    hyper = hyper64([discrete_cql.Config(discount=GAMMA)])
    q = descended(loss, batch, hyper)

    def away(by):
        return residual(q, by, alpha, batch, beta, allowed)

    assert away(factor) < 1e-6, f"Q is {away(factor):.2g} away from the fixed point of theory"
    for wrong in (2 * factor, factor / 2, 0.0):
        assert away(wrong) > 0.02, f"a factor of {wrong} fits as well, so this test says nothing"


def test_a_huber_loss_has_another_fixed_point():
    """Not a slower way to the same one: the gradient is zero where Q is wrong."""
    batch, beta, allowed = tabular(False, 5.0)
    for threshold, agrees in ((1.0, False), (1e4, True)):
        hyper = hyper64([discrete_cql.Config(discount=GAMMA, alpha=0.1, huber_threshold=threshold)])
        q = descended(discrete_cql.critic_loss, batch, hyper)
        away = residual(q, 1.0, 0.1, batch, beta, allowed)
        assert (away < 1e-6) == agrees, f"with a threshold of {threshold:g}, Q is {away:.2g} away"
        assert agrees or away > 0.3


# --- a bandit with rare large rewards ---------------------------------------------------------------------------------


def bandit(scale=1.0) -> Dataset:
    """Action 0 earns 0. Action 1 earns 15 in three cases of ten and loses 1 otherwise: 3.8 on average, -1 as median."""
    action, lucky = np.arange(2000) % 2, np.arange(2000) // 2 % 10 < 3
    reward = np.where(action == 1, np.where(lucky, 15.0, -1.0), 0.0) * scale
    state = np.zeros((2000, 1), dtype=np.float32)
    ended = np.ones(2000, dtype=bool)
    return Dataset.from_columns(
        observation=state,
        action=action,
        reward=reward.astype(np.float32),
        next_observation=state,
        terminated=ended,
        truncated=~ended,
        discrete=True,
        n_actions=2,
    )


def bandit_values(steps, scale=1.0, **options) -> np.ndarray:
    """Q of the two actions after some steps, in the units of the rewards."""
    data, config = bandit(scale), discrete_cql.Config(**{"critic_lr": 3e-3, "hidden": (16,), **options})
    population = Population("discrete_cql", grid(config, {}, [0]), data.spec, Scaling.fit(data, False))
    training, _ = population.prepare(data)
    late = []
    for step in range(steps):
        population.step(training)
        if step >= steps // 2 and step % 25 == 0:
            late.append(population.q_value(np.zeros((1, 2, 1), dtype=np.float32), np.array([[0, 1]]))[0])
    return np.mean(late, axis=0)  # over many steps: the last batch alone moves Q by some tenths


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
def test_rare_large_rewards_count_as_much_as_theory_says(alpha):
    """alpha 1 is the default: it prefers the action that is better on average, by as much as the exact minimum."""
    expected = oracle.bandit([0.0, 3.8], [0.5, 0.5], alpha)
    q = bandit_values(800, alpha=alpha)
    assert expected[1] > expected[0]
    assert np.abs(q - expected).max() < 0.25, f"Q is {q}, the exact minimum {expected}"


def test_a_huber_loss_of_threshold_one_prefers_the_worse_action():
    """What the option says of itself: the median of action 1 is -1."""
    q = bandit_values(800, alpha=0.0, huber_threshold=1.0)
    assert q[1] < q[0] - 0.3


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_the_mean_of_the_quantiles_is_the_mean_reward_at_every_scale(scale):
    q = bandit_values(800, scale, n_quantiles=10, alpha=0.0)
    assert np.abs(q - np.array([0.0, 3.8]) * scale).max() < 0.35 * scale, f"Q is {q / scale} times {scale}"


def test_a_huber_threshold_above_the_rewards_turns_quantiles_into_expectiles():
    """Their mean is another number: here that of the expectiles 0.05, 0.15, ... of a reward of 0.75 or -0.05."""
    high, low, odds = 0.75, -0.05, 0.3 / 0.7
    tau = (np.arange(10) + 0.5) / 10
    share = tau * odds / (tau * odds + 1 - tau)
    expected = float((low + (high - low) * share).mean())
    q = bandit_values(800, 0.05, n_quantiles=10, alpha=0.0, huber_threshold=1.0)
    assert abs(q[1] - expected) < 0.02, f"Q is {q[1]}, the mean of the expectiles {expected}"
    assert expected > 0.05 * 3.8 + 0.03


# --- a chain ----------------------------------------------------------------------------------------------------------


def chain() -> Dataset:
    """States 0, 1, 2: action 1 goes on and pays 1 at the end, action 0 stays, action 2 is never allowed.

    Every row is an episode of its own, truncated where it is not terminated.
    """
    state, action = np.arange(600) % 3, np.arange(600) // 3 % 2
    ended = (state == 2) & (action == 1)
    following = np.minimum(state + action, 2)
    allowed = np.broadcast_to([True, True, False], (600, 3))
    return Dataset.from_columns(
        observation=np.eye(3, dtype=np.float32)[state],
        action=action,
        reward=ended.astype(np.float32),
        next_observation=np.eye(3, dtype=np.float32)[following],
        terminated=ended,
        truncated=~ended,
        discrete=True,
        n_actions=3,
        extra={"mask": allowed, "next_mask": allowed},
    )


def learned(module, steps, **options) -> Population:
    name, data = module.__name__.split(".")[-1], chain()
    own = {"hidden": (32,), "batch_size": 64, "normalize_observations": False, "discount": GAMMA, **options}
    population = Population(name, grid(module.Config(**own), {}, [0]), data.spec, Scaling.fit(data, False))
    training, _ = population.prepare(data)
    for _ in range(steps):
        population.step(training)
    return population


STATES_OF_CHAIN = np.eye(3, dtype=np.float32)[None]
MASK = np.tile([True, True, False], (1, 3, 1))


@pytest.mark.parametrize("options", [{}, {"n_quantiles": 8}, {"n_critics": 2}], ids=str)
def test_without_conservatism_the_values_are_the_true_ones(options):
    population = learned(discrete_cql, 470, alpha=0.0, critic_lr=5e-3, polyak=0.1, **options)
    on = population.q_value(STATES_OF_CHAIN, np.array([[1, 1, 1]]))[0]
    stay = population.q_value(STATES_OF_CHAIN, np.array([[0, 0, 0]]))[0]
    assert np.abs(on - [GAMMA**2, GAMMA, 1]).max() < 0.05, f"going on is worth {on}"
    assert np.abs(stay - [GAMMA**3, GAMMA**2, GAMMA]).max() < 0.05, f"staying is worth {stay}"
    assert population.act(STATES_OF_CHAIN, mask=MASK).tolist() == [[1, 1, 1]]


def test_discrete_iql_values_the_log_and_goes_on():
    rates = {"value_lr": 5e-3, "critic_lr": 5e-3, "actor_lr": 5e-3}
    population = learned(discrete_iql, 470, expectile=0.9, beta=10.0, polyak=0.1, **rates)
    on = population.q_value(STATES_OF_CHAIN, np.array([[1, 1, 1]]))[0]
    assert abs(on[2] - 1) < 0.05, f"the last step pays 1, Q says {on[2]:.3f}"
    assert on[0] < on[1] < on[2], f"values do not rise along the chain: {on}"
    assert population.act(STATES_OF_CHAIN, mask=MASK).tolist() == [[1, 1, 1]]


def test_conservative_values_of_the_greedy_policy_do_not_exceed_the_truth():
    """The log plays 0 and 1 alike, so the action that Q prefers is pushed down."""
    population = learned(discrete_cql, 470, alpha=0.3, critic_lr=5e-3, polyak=0.1)
    on = population.q_value(STATES_OF_CHAIN, np.array([[1, 1, 1]]))[0]
    assert (on < np.array([GAMMA**2, GAMMA, 1]) + 0.02).all(), f"promised {on}"
    assert population.act(STATES_OF_CHAIN, mask=MASK).tolist() == [[1, 1, 1]]


def test_cloning_plays_both_actions_of_the_log_and_never_the_third():
    population = learned(discrete_bc, 200, actor_lr=5e-3)
    many = np.repeat(STATES_OF_CHAIN, 400, axis=1)
    drawn = population.act(many, False, torch.Generator().manual_seed(0), mask=np.repeat(MASK, 400, axis=1))
    assert abs(drawn.mean() - 0.5) < 0.06, "the log's frequencies are not the policy's"
    assert drawn.max() == 1, "an action that is never allowed was taken"
