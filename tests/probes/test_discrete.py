"""Discrete actions: a chain whose values are known, and the fixed point of the CQL loss on a tabular MDP.

Setting the gradient of CQL's objective to zero (2006.04779, section 3) at a table of Q-values, where a state-action
pair makes up the share d(s) beta(a|s) of the log and mu is the softmax of Q(s, .) over actions:

    squared error without the one-half:  2 d beta (Q - BQ) + alpha d (mu - beta) = 0
                                         Q = BQ - alpha / 2 (mu / beta - 1)
    Huber, as implemented:               its slope is Q - BQ clipped at +-1, so inside
                                         Q = BQ - alpha (mu / beta - 1)

Discrete CQL's alpha therefore counts twice as much as continuous CQL's, as long as no error exceeds 1.
"""

import numpy as np
import pytest
import torch

from helpers.cases import hyper64
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


def tabular(masked: bool) -> tuple[Batch, np.ndarray, np.ndarray]:
    """Every row of a log at once, the shares beta (S, A), the allowed actions (S, A); two outcomes of every action."""
    rng = np.random.default_rng(5)
    allowed = np.ones((STATES, ACTIONS), dtype=bool)
    if masked:
        allowed[1, 0] = allowed[2, 2] = False
    count = np.where(allowed, rng.integers(2, 6, size=(STATES, ACTIONS)), 0)
    rows = [
        (s, a, rng.normal(), rng.integers(STATES), rng.uniform() < 0.2)
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


def squared_loss(networks, batch, hyper):
    """The loss with CQL's squared error in Huber's place."""
    y_PB = discrete_cql.target(networks, batch, hyper).squeeze(-1)
    q_PEBA = discrete_cql.quantiles(networks["critic"], batch.observation).squeeze(-1)
    td_P, _ = td_loss(nn.value_of(q_PEBA, batch.action.unsqueeze(1)), y_PB)
    gap_P = discrete_cql.conservative_gap(q_PEBA, batch.action, batch.mask).mean((-2, -1))
    return td_P + hyper.alpha * gap_P, {}


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


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("loss", "factor"), [(squared_loss, 0.5), (discrete_cql.critic_loss, 1.0)])
def test_the_fixed_point_is_the_one_of_theory(loss, factor, masked):
    batch, beta, allowed = tabular(masked)
    alpha = 0.3
    hyper = hyper64([discrete_cql.Config(alpha=alpha, discount=GAMMA)])
    q = descended(squared_loss if loss is squared_loss else with_mean_targets(loss), batch, hyper)
    mu = np.where(allowed, np.exp(q), 0.0)
    mu /= mu.sum(1, keepdims=True)
    excess = np.divide(mu, beta, out=np.ones_like(mu), where=allowed) - 1

    def residual(by):
        return np.abs(q - (backed_up(q, batch, allowed) - by * alpha * excess))[allowed].max()

    assert residual(factor) < 1e-7, f"Q is {residual(factor):.2g} away from the fixed point of theory"
    for wrong in (2 * factor, factor / 2, 0.0):
        assert residual(wrong) > 0.02, f"a factor of {wrong} fits as well, so this test says nothing"


def with_mean_targets(loss):
    """The loss with every row's target at its pair's mean: Huber's clipped slope is not linear in single outcomes."""

    def averaged(networks, batch, hyper):
        y = discrete_cql.target(networks, batch, hyper).squeeze(-1)
        pair = batch.observation.argmax(-1) * ACTIONS + batch.action
        same = (pair.unsqueeze(-1) == pair.unsqueeze(-2)).double()
        mean = (same @ y.unsqueeze(-1)) / same.sum(-1, keepdim=True)
        return loss(networks, batch, hyper, mean)

    return averaged


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
