"""Networks against plain loops; the tanh-Gaussian against quadrature."""

import math

import numpy as np
import pytest
import torch

from helpers.threads import one_thread  # noqa: F401
from oracles import networks as oracle
from prudent import nn
from prudent.nn.rng import MemberRng

SIZES = {"no hidden layer": (3, 2), "one": (3, 7, 2), "two": (4, 6, 5, 2), "three": (1, 3, 4, 5, 1)}

NORMS = {
    "plain": {},
    "normalised before ReLU": {"layer_norm": True},
    "normalised after ReLU": {"layer_norm": True, "after_relu": True},
}


def params64(sizes, members=2, ensemble=None, **options):
    params = nn.init_mlp(MemberRng(list(range(members)), "init"), sizes, ensemble, **options)
    rng = MemberRng(list(range(members)), "noise")
    return {k: v.double() + 0.3 * rng.normal(*v.shape[1:]).double() for k, v in params.items()}


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("members", [1, 3])
def test_mlp_equals_the_loop(sizes, norm, members):
    params, x = params64(sizes, members, **norm), random(members, 4, sizes[0])
    found = nn.mlp(params, x)
    for p in range(members):
        own = {k: v[p].numpy() for k, v in params.items()}
        for b in range(4):
            np.testing.assert_allclose(found[p, b].numpy(), oracle.mlp(own, x[p, b].numpy()), rtol=1e-10, atol=1e-12)


def test_the_oracles_product_is_the_sum_it_stands_for():
    params, x = {k: v[0].numpy() for k, v in params64((3, 4, 2)).items()}, random(3).numpy()
    hidden = [max(0.0, params["b0"][j] + sum(x[i] * params["w0"][i, j] for i in range(3))) for j in range(4)]
    out = [params["b1"][k] + sum(hidden[j] * params["w1"][j, k] for j in range(4)) for k in range(2)]
    np.testing.assert_allclose(oracle.mlp(params, x), out, rtol=1e-13)


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
@pytest.mark.parametrize(("members", "critics"), [(1, 1), (1, 2), (2, 1), (3, 4)])
@pytest.mark.parametrize("hidden", [(), (5,), (6, 4)])
def test_critic_equals_the_loop_for_one_and_for_many_actions(members, critics, hidden, norm):
    params = params64((3 + 2, *hidden, 1), members, critics, **norm)
    s, many = random(members, 4, 3), random(members, 6, 4, 2, seed=1)
    q_PENB, q_PEB = nn.critic(params, s, many), nn.critic(params, s, many[:, 2])
    assert q_PENB.shape == (members, critics, 6, 4)
    assert q_PEB.shape == (members, critics, 4)
    for p, e, b in np.ndindex(members, critics, 4):
        own = {k: v[p, e].numpy() for k, v in params.items()}
        values = [oracle.q(own, s[p, b].numpy(), many[p, n, b].numpy()) for n in range(6)]
        np.testing.assert_allclose(q_PENB[p, e, :, b].numpy(), values, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(q_PEB[p, e, b].numpy(), values[2], rtol=1e-10, atol=1e-12)


def test_networks_overwrite_neither_inputs_nor_parameters():
    for norm in NORMS.values():
        params, s, a = params64((5, 6, 4, 1), 2, 2, **norm), random(2, 3, 3), random(2, 3, 2)
        kept = {k: v.clone() for k, v in params.items()}, s.clone(), a.clone()
        nn.critic(params, s, a)
        assert all(torch.equal(v, kept[0][k]) for k, v in params.items()), "a forward pass overwrites its parameters"
        assert torch.equal(s, kept[1])
        assert torch.equal(a, kept[2])


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
def test_gradients_through_the_critic_pass_gradcheck(norm):
    """In-place activations must not spoil the backward pass, towards parameters and towards actions."""
    params = {k: v.requires_grad_() for k, v in params64((4, 3, 3, 1), 1, 2, **norm).items()}
    s, a = random(1, 2, 2), random(1, 3, 2, 2, seed=2).requires_grad_()

    def value(action, *leaves):
        return nn.critic(dict(zip(params, leaves, strict=True)), s, action)

    assert torch.autograd.gradcheck(value, (a, *params.values()))


@pytest.mark.parametrize("critics", [1, 2])
def test_a_member_alone_equals_itself_in_company_bit_for_bit(critics):
    """float32, as in training; also for a single critic, whose output layer takes another route."""
    params = nn.init_mlp(MemberRng([0, 1, 2, 3], "init"), (5, 64, 64, 1), critics, layer_norm=True)
    s, a = random(4, 32, 3).float(), random(4, 10, 32, 2).float()
    together = nn.critic(params, s, a)
    for p in range(4):
        own = {k: v[p : p + 1] for k, v in params.items()}
        assert torch.equal(nn.critic(own, s[p : p + 1], a[p : p + 1])[0], together[p]), f"member {p} differs alone"


# --- initialisation ---------------------------------------------------------------------------------------------------


def test_default_initialisation_is_that_of_torch_linear():
    params = nn.init_mlp(MemberRng([0], "init"), (100, 50, 3), 2)
    for i, n_in in enumerate((100, 50)):
        for key in (f"w{i}", f"b{i}"):
            assert params[key].abs().max() <= 1 / math.sqrt(n_in), f"{key} exceeds 1 / sqrt(in)"
        assert params[f"w{i}"].abs().max() > 0.95 / math.sqrt(n_in), f"w{i} does not use its range"
        assert abs(float(params[f"w{i}"].mean())) < 0.1 / math.sqrt(n_in)
    assert params["w0"].shape == (1, 2, 100, 50)
    assert params["b1"].shape == (1, 2, 3)


@pytest.mark.parametrize("sizes", [(6, 4), (4, 6), (5, 5)])
def test_orthogonal_initialisation_is_orthogonal(sizes):
    params = nn.init_mlp(MemberRng([0, 1], "init"), sizes, 2, orthogonal=True)
    w = params["w0"].double()
    product = w.mT @ w if sizes[0] >= sizes[1] else w @ w.mT
    assert (product - torch.eye(min(sizes), dtype=torch.float64)).abs().max() < 1e-5, "not orthogonal"
    assert (params["b0"] == 0).all()
    assert not torch.equal(w[0, 0], w[0, 1])
    assert w.is_contiguous()


@pytest.mark.parametrize(("norm", "epsilon"), [({}, 1e-5), ({"after_relu": True}, 1e-6)], ids=["before", "after"])
@pytest.mark.parametrize("fast", [True, False])
def test_the_epsilon_of_layer_normalisation_counts_where_activations_are_small(monkeypatch, norm, epsilon, fast):
    """With weights this small the variance is about the epsilon, so another one gives other values."""
    monkeypatch.setattr(nn.cpu, "WORTH_IT", 0 if fast else 10**18)
    params = {k: v * 1e-3 if k[0] in "wb" else v for k, v in params64((3, 8, 1), layer_norm=True, **norm).items()}
    x = random(1, 5, 3)
    own = {k: v[0].numpy() for k, v in params.items()}
    expected = [oracle.mlp(own, row.numpy()) for row in x[0]]
    np.testing.assert_allclose(nn.mlp(params, x)[0].numpy(), expected, rtol=1e-10)
    other = {1e-5: "EPSILON", 1e-6: "EPSILON_AFTER"}[epsilon]
    monkeypatch.setattr(nn.cpu, other, 1.1e-5 - epsilon)
    assert np.abs(nn.mlp(params, x)[0].numpy() - expected).max() > 1e-5, "another epsilon is not noticed"


def test_layer_normalisation_starts_as_the_identity_and_spares_the_output():
    params = nn.init_mlp(MemberRng([0], "init"), (3, 4, 5, 1), layer_norm=True)
    assert {k for k in params if k.startswith("s")} == {"scale0", "shift0", "scale1", "shift1"}
    assert (params["scale1"] == 1).all()
    assert (params["shift1"] == 0).all()
    after = nn.init_mlp(MemberRng([0], "init"), (3, 4, 5, 1), layer_norm=True, after_relu=True)
    assert {k for k in after if k.startswith("s")} == {"scale_after0", "shift_after0", "scale_after1", "shift_after1"}
    assert all(torch.equal(after[k], params[k]) for k in params if k[0] in "wb"), "the order changes the first weights"


# --- tanh-Gaussian ----------------------------------------------------------------------------------------------------


def actor(mean, log_std):
    """A network without hidden layers that ignores its input."""
    bias = torch.tensor([[*mean, *log_std]], dtype=torch.float64)
    return {"w0": torch.zeros(1, 1, bias.shape[-1], dtype=torch.float64), "b0": bias}


def test_samples_and_log_probs_equal_the_loop():
    params, s, noise = params64((3, 8, 4)), random(2, 5, 3), 2 * random(2, 5, 2, seed=1)
    mean, log_std = nn.tanh_gaussian(params, s)
    action, logp = nn.sample_tanh_gaussian(mean, log_std, noise)
    given = random(2, 5, 2, seed=2).tanh()
    given[0, 0] = torch.tensor([1.0, -1.0])
    logp_given = nn.log_prob_tanh_gaussian(mean, log_std, given)
    for p, b in np.ndindex(2, 5):
        own = {k: v[p].numpy() for k, v in params.items()}
        a, expected = oracle.sample(own, s[p, b].numpy(), noise[p, b].numpy())
        np.testing.assert_allclose(action[p, b].numpy(), a, rtol=1e-10)
        np.testing.assert_allclose(logp[p, b], expected, rtol=1e-10)
        np.testing.assert_allclose(
            logp_given[p, b], oracle.log_prob(own, s[p, b].numpy(), given[p, b].numpy()), rtol=1e-10
        )


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (0.8, -1.0), (-1.5, 0.5), (0.3, -2.0)])
def test_the_density_integrates_to_one_and_is_that_of_the_samples(mean, log_std):
    m, ls = nn.tanh_gaussian(actor([mean], [log_std]), torch.zeros(1, 1, 1, dtype=torch.float64))
    # Substituting a = tanh(u) puts the grid where the mass is, near the bounds too.
    u = torch.linspace(-7, 7, 200_001, dtype=torch.float64)
    a = u.tanh()
    inside = a.abs() < nn.ACTION_LIMIT
    density = nn.log_prob_tanh_gaussian(m, ls, a.reshape(1, -1, 1)).exp().squeeze()
    mass = torch.where(inside, density * (1 - a.square()), 0.0) * (u[1] - u[0])
    # What lies beyond the clip, by the normal distribution alone.
    limit = torch.tensor([-nn.ACTION_LIMIT, nn.ACTION_LIMIT], dtype=torch.float64).atanh()
    beyond = torch.special.ndtr((limit - mean) / math.exp(log_std))
    within = float(beyond[1] - beyond[0])
    assert within > 0.99
    assert abs(float(mass.sum()) - within) < 1e-5, f"the density integrates to {float(mass.sum())}, not {within}"
    sampled, logp = nn.sample_tanh_gaussian(m, ls, random(1, 200_000, 1))
    assert abs(float((mass * a).sum()) - float(sampled.mean())) < 5e-3, "samples have another mean than the density"
    entropy = -float((mass * density.clamp(min=1e-300).log()).sum())
    assert abs(entropy + float(logp.mean())) < 3e-2, "mean -log pi of samples is not the density's entropy"


def test_the_density_of_several_features_is_the_product():
    both = nn.log_prob_tanh_gaussian(*_at([0.2, -0.4], [-0.5, 0.1]), torch.tensor([[[0.3, 0.9]]], dtype=torch.float64))
    one = nn.log_prob_tanh_gaussian(*_at([0.2], [-0.5]), torch.tensor([[[0.3]]], dtype=torch.float64))
    two = nn.log_prob_tanh_gaussian(*_at([-0.4], [0.1]), torch.tensor([[[0.9]]], dtype=torch.float64))
    assert torch.allclose(both, one + two, atol=1e-12)


def _at(mean, log_std):
    return nn.tanh_gaussian(actor(mean, log_std), torch.zeros(1, 1, 1, dtype=torch.float64))


def test_log_std_is_held_within_its_bounds():
    _, log_std = _at([0.0, 0.0, 0.0], [-9.0, 9.0, 1.0])
    assert log_std.flatten().tolist() == [-5.0, 2.0, 1.0]


def test_log_probs_stay_finite_in_float32_where_tanh_saturates():
    mean = torch.tensor([[[0.0, 30.0, -80.0]]])
    action, logp = nn.sample_tanh_gaussian(mean, torch.zeros_like(mean), torch.zeros_like(mean))
    assert action.abs().max() <= 1
    assert logp.isfinite().all(), "log-probability of a saturated sample"
    # log N(0; 0, 1) three times minus log(1 - tanh^2), which is log 4 - 2|u| far out
    expected = -1.5 * math.log(2 * math.pi) - 0 - (math.log(4) - 60) - (math.log(4) - 160)
    assert abs(float(logp) - expected) < 1e-3
    assert nn.log_prob_tanh_gaussian(mean, mean * 0, torch.tensor([[[1.0, -1.0, 1.0]]])).isfinite().all()


def test_sampling_and_evaluating_agree():
    mean, log_std = random(1, 50, 3), 0.3 * random(1, 50, 3, seed=1) - 0.5
    action, logp = nn.sample_tanh_gaussian(mean, log_std, random(1, 50, 3, seed=2))
    inside = (action.abs() < nn.ACTION_LIMIT).all(-1)
    assert inside.float().mean() > 0.9
    assert torch.allclose(nn.log_prob_tanh_gaussian(mean, log_std, action)[inside], logp[inside], rtol=1e-7, atol=1e-7)
