"""Cal-QL, CQL-REDQ and CQL with the soft backup against their oracles."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from helpers.cases import Case, assert_gradients, assert_values
from oracles import extensions as oracle
from oracles.losses import cql_critic_loss
from prudent import algorithms
from prudent.algorithms import cal_ql, cql, cql_redq
from prudent.algorithms.shared.losses import soft_actor_loss
from prudent.data import Dataset
from prudent.errors import ConfigError
from prudent.nn import optim

OPTIONS = {
    ("cal_ql", "defaults"): {},
    ("cal_ql", "settings differ"): {"alpha": [5.0, 0.5], "discount": [0.9, 0.5]},
    ("cal_ql", "units of time"): {"with_dt": True, "discount": 0.9},
    ("cal_ql", "one critic, other backup"): {"n_critics": 1, "backup": "max", "rows": 5},
    ("cql_redq", "defaults"): {},
    ("cql_redq", "settings differ"): {"alpha": [5.0, 0.5], "discount": [0.9, 0.5], "n_critics": 4},
    ("cql_redq", "three of five"): {"n_critics": 5, "subset_size": 3, "layer_norm": False},
    ("cql", "soft backup"): {"backup": "soft"},
    ("cql", "soft backup, temperatures differ"): {"backup": "soft", "cql_temperature": [0.5, 2.0]},
}
ORACLES = {"cal_ql": oracle.cal_ql_critic_loss, "cql_redq": oracle.redq_critic_loss, "cql": cql_critic_loss}


@pytest.mark.parametrize(("name", "what"), OPTIONS)
def test_critic_loss_and_gradients_equal_the_oracle(name, what):
    case = Case(name, 1, **OPTIONS[name, what])
    exact = ORACLES[name]

    def loss(leaves):
        return case.algorithm.critic_loss({**case.networks, "critic": leaves}, case.batch, case.noise, case.hyper)

    loss_P, _ = loss(case.networks["critic"])
    found, _ = optim.gradients(loss, case.networks["critic"])
    for p in range(case.members):
        problem = case.problem(p)
        assert_values(loss_P[p], exact(*problem), f"critic loss of {name}, {what}")
        for e, critic in enumerate(problem[0].critic):
            own = {k: g[p, e].numpy() for k, g in found.items()}
            if max(float(np.abs(g).max()) for g in own.values()) > 1e-6:
                assert_gradients(own, critic, lambda: exact(*problem), e, f"critic gradient of {name}, {what}")  # noqa: B023


def test_cal_ql_is_cql_where_every_value_exceeds_the_return():
    case = Case("cal_ql", 2)
    low = replace(case.batch, return_to_go=torch.full_like(case.batch.reward, -1e6))
    loss_P, metrics = cal_ql.critic_loss(case.networks, low, case.noise, case.hyper)
    assert torch.equal(loss_P, cql.critic_loss(case.networks, low, case.noise, case.hyper)[0])
    assert (metrics["bound_rate"] == 0).all()
    high = replace(case.batch, return_to_go=torch.full_like(case.batch.reward, 1e6))
    assert (cal_ql.critic_loss(case.networks, high, case.noise, case.hyper)[1]["bound_rate"] == 1).all()


def test_cal_ql_pushes_no_policy_action_below_the_return_and_uniform_ones_all_the_same():
    case = Case("cal_ql", 3, alpha=1.0)
    high = torch.full_like(case.batch.reward, 1e3)
    q_PENB, _ = cql.propose(case.networks, case.batch, case.noise, case.hyper)
    leaf = q_PENB.detach().requires_grad_()
    cal_ql.calibrated(leaf, high, case.hyper)[0].sum().backward()
    n = case.hyper.n_actions
    assert (leaf.grad[:, :, :n] == 1).all(), "a uniform proposal is calibrated: only those of the policy are"
    assert (leaf.grad[:, :, n:] == 0).all(), "a value below the return is still pushed down"


def test_the_return_of_a_failed_episode_is_the_worst_reward_for_ever():
    rows = 20
    data = Dataset.from_columns(
        observation=np.arange(rows)[:, None],
        action=np.zeros((rows, 1)),
        reward=np.where(np.arange(rows) == 19, 0.0, -1.0),
        next_observation=np.arange(1, rows + 1)[:, None],
        terminated=np.arange(rows) == 19,
        truncated=np.arange(rows) == 9,
    )
    failed, solved = np.split(data.returns_to_go(0.9), 2)
    np.testing.assert_allclose(failed, -10.0, rtol=1e-5, err_msg="a failed episode is worth r_min / (1 - gamma)")
    np.testing.assert_allclose(solved[-2:], [-1.0, 0.0], rtol=1e-5, err_msg="a solved one is worth what it earned")


@pytest.mark.parametrize("name", ["cal_ql", "cql_redq"])
def test_its_settings_are_those_of_cql(name):
    own, plain = ({f.name for f in fields(m.Config)} for m in (algorithms.get(name), cql))
    assert own - plain <= {"subset_size"}
    assert plain <= own
    with pytest.raises(ConfigError, match="alpha"):
        algorithms.get(name).Config(alpha=-1.0)


def test_redq_draws_subsets_without_repetition_and_anew():
    case = Case("cql_redq", 4, n_critics=6, subset_size=3)
    for name in ("target_subset", "penalty_subset"):
        for index in getattr(case.noise, name):
            assert len(set(index.tolist())) == 3, f"{name} draws a critic twice: {index.tolist()}"
            assert max(index.tolist()) < 6
    assert not torch.equal(case.noise.target_subset, case.noise.penalty_subset), "target and penalty share one draw"
    with pytest.raises(ConfigError, match="subset_size must be 1 to n_critics"):
        cql_redq.Config(n_critics=2, subset_size=3)


def test_redq_actor_follows_the_mean_of_the_critics():
    case = Case("cql_redq", 5, n_critics=4)
    loss_P, _ = soft_actor_loss(case.networks, case.batch, case.noise.actor, False, cql_redq.q_mean)
    for p in range(case.members):
        net, rows, noise, _ = case.problem(p)
        assert_values(loss_P[p], oracle.redq_actor_loss(net, rows, noise), "actor loss")
    used = Case("cql_redq", 5, n_critics=4)
    metrics = cql_redq.update_actor(used.state, used.batch, used.noise, used.hyper)
    assert torch.equal(metrics["actor_loss"], loss_P), "the update follows something else than the mean"


def test_redq_with_the_sampled_gradient_has_the_exact_values():
    exact = Case("cql_redq", 6, n_critics=4)
    sampled = Case("cql_redq", 6, n_critics=4, gradient="sampled")
    for key in ("target_subset", "penalty_subset", "uniform", "policy", "next_policy", "next_action", "actor"):
        exact.noise = replace(exact.noise, **{key: getattr(sampled.noise, key)})
    a, b = (cql_redq.critic_loss(c.networks, c.batch, c.noise, c.hyper)[0] for c in (exact, sampled))
    assert torch.allclose(a, b, atol=1e-12), "the sampled gradient changes the loss itself"
