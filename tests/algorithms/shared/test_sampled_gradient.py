"""The sampled gradient: exact values, and a gradient whose expectation is the exact one."""

from dataclasses import replace

import pytest
import torch

from helpers.cases import Case
from prudent import nn
from prudent.algorithms import cql
from prudent.algorithms.shared import sampled_gradient
from prudent.nn import optim
from prudent.types import Hyper

OPTIONS = {
    "defaults": {},
    "cql temperature": {"cql_temperature": [0.5, 3.0]},
    "no importance sampling": {"importance_sampling": False},
    "lagrange": {"lagrange": True},
    "two kinds of proposals": {"proposals": ("uniform", "next_policy")},
}


def critic_gradient(case: Case, choice):
    noise = replace(case.noise, choice=choice)
    return optim.gradients(
        lambda own: cql.critic_loss({**case.networks, "critic": own}, case.batch, noise, case.hyper),
        case.networks["critic"],
    )


def softmax_of_proposals(case: Case):
    """(P, E, N, B), written out once more."""
    q_PENB, log_density_PNB = cql.propose(case.networks, case.batch, replace(case.noise, choice=None), case.hyper)
    logits = q_PENB / case.hyper.cql_temperature.reshape(-1, 1, 1, 1)
    if case.hyper.importance_sampling:
        logits = logits - log_density_PNB.unsqueeze(1)
    return logits.exp() / logits.exp().sum(2, keepdim=True)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_values_are_exact(options):
    case = Case(rows=5, gradient="sampled", gradient_samples=2, **options)
    _, exact = critic_gradient(case, None)
    _, sampled = critic_gradient(case, case.noise.choice)
    for name, value in exact.items():
        assert torch.allclose(value, sampled[name], rtol=0, atol=1e-12), f"{name} differs under the sampled gradient"


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_expectation_over_the_draw_is_the_exact_gradient(options):
    """One state and one draw: weigh the gradient of every possible draw by its probability, and add."""
    case = Case(rows=1, gradient="sampled", gradient_samples=1, **options)
    exact, _ = critic_gradient(case, None)
    p_PEN = softmax_of_proposals(case).squeeze(-1)
    upper = p_PEN.cumsum(-1)
    expected = {name: torch.zeros_like(g) for name, g in exact.items()}
    for j in range(p_PEN.shape[-1]):
        middle = upper[..., j] - p_PEN[..., j] / 2
        drawn, _ = critic_gradient(case, middle[..., None, None])
        for name, g in drawn.items():
            expected[name] += g * p_PEN[..., j].reshape(*p_PEN.shape[:2], *[1] * (g.dim() - 2))
    for name, g in exact.items():
        assert torch.allclose(g, expected[name], rtol=1e-9, atol=1e-11), f"biased gradient of {name}"


def test_average_over_many_draws_approaches_the_exact_gradient():
    case = Case(rows=4, gradient="sampled", gradient_samples=2)
    exact, _ = critic_gradient(case, None)
    generator = torch.Generator().manual_seed(0)
    draws = 400
    total = {name: torch.zeros_like(g) for name, g in exact.items()}
    single = dict.fromkeys(exact, 0.0)
    for _ in range(draws):
        choice = torch.rand(case.noise.choice.shape, generator=generator, dtype=torch.float64)
        for name, g in critic_gradient(case, choice)[0].items():
            total[name] += g / draws
            single[name] += float((g - exact[name]).square().sum()) / draws
    for name, g in exact.items():
        error = float((total[name] - g).square().sum())
        # The squared error of a mean of independent draws is a draw's variance over their number.
        assert error <= 6 * single[name] / draws + 1e-18, f"the mean gradient of {name} stays away from the exact one"


def test_weights_make_up_for_the_draw():
    """Without the division by the probability the expectation is another gradient: the test above would notice."""
    case = Case(rows=1, gradient="sampled", gradient_samples=1)
    p_PEN = softmax_of_proposals(case).squeeze(-1)
    assert float(p_PEN.max() - p_PEN.min()) > 0.05, "the problem is too flat to tell weighted from unweighted"


def test_the_end_of_the_range_draws_the_last_proposal():
    """Rounding can leave the cumulative sum a little below 1: a draw beyond it must stay inside."""
    case = Case(rows=2, gradient="sampled", gradient_samples=1)
    found, _ = critic_gradient(case, torch.ones_like(case.noise.choice))
    assert all(torch.isfinite(g).all() for g in found.values())


def test_a_draw_at_the_end_of_the_range_is_of_no_term_without_probability():
    """float32: the softmax adds up to just under 1 now and then, and its last term may have underflowed to 0."""
    case = Case("cql", 53, gradient="sampled", gradient_samples=1, members=1, rows=64, n_actions=10)
    single = {n: {k: v.float() for k, v in p.items()} for n, p in case.networks.items()}
    batch = case.batch.map(lambda t: t.float() if t.is_floating_point() else t)
    action = torch.rand(1, 30, 64, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    log_density = torch.zeros(1, 30, 64)
    log_density[:, -1] = 500.0
    choice = torch.full((1, 2, 1, 64), 1 - 2**-24)  # the largest number that uniform draws can give
    q = sampled_gradient.sampled_values(single, batch, action, log_density, choice, Hyper(case.configs))
    assert q.isfinite().all(), "a term of probability 0 was drawn: its weight is infinite"
    assert torch.equal(q, nn.critic(single["critic"], batch.observation, action))
