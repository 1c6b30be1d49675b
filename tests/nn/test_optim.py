"""Adam, clipping and Polyak averaging against one number at a time."""

import numpy as np
import pytest
import torch

from helpers.threads import one_thread  # noqa: F401
from oracles import optimisers as oracle
from prudent.nn import optim

LR = torch.tensor([0.1, 0.003])


def gradients(step: int) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(step)
    scale = 10.0 ** (step % 5 - 2)
    return {
        "w": scale * torch.randn(2, 3, 2, generator=g, dtype=torch.float64),
        "log": torch.randn(2, generator=g, dtype=torch.float64),
    }


def parameters() -> dict[str, torch.Tensor]:
    return {"w": torch.ones(2, 3, 2, dtype=torch.float64), "log": torch.tensor([0.5, -0.5], dtype=torch.float64)}


def test_adam_equals_the_loop():
    params, steps = parameters(), 30
    state = optim.adam_init(params)
    for step in range(steps):
        optim.adam_step(params, gradients(step), state, LR)
    assert float(state["count"]) == steps
    for name, start in parameters().items():
        for index in np.ndindex(*start.shape):
            seen = [float(gradients(step)[name][index]) for step in range(steps)]
            expected = oracle.adam(float(start[index]), seen, float(LR[index[0]]))
            # Bias corrections are rounded to float32 once a step.
            assert abs(float(params[name][index]) - expected) < 2e-7 * steps * float(LR[index[0]]), f"{name}{index}"


def test_adam_equals_torch_in_float32():
    mine = {k: v.float() for k, v in parameters().items()}
    state = optim.adam_init(mine)
    theirs = [{k: v[p].float().clone().requires_grad_() for k, v in parameters().items()} for p in range(2)]
    optimisers = [torch.optim.Adam(own.values(), lr=float(LR[p])) for p, own in enumerate(theirs)]
    for step in range(50):
        g = {k: v.float() for k, v in gradients(step).items()}
        optim.adam_step(mine, g, state, LR)
        for p, own in enumerate(theirs):
            for k, leaf in own.items():
                leaf.grad = g[k][p].clone()
            optimisers[p].step()
    for p, own in enumerate(theirs):
        for k, leaf in own.items():
            assert torch.allclose(mine[k][p], leaf.detach(), rtol=1e-5, atol=1e-6), (
                f"member {p} {k} leaves torch's Adam"
            )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
def test_the_fused_step_is_the_plain_one(dtype, tolerance):
    mine, theirs = ({k: v.to(dtype) for k, v in parameters().items()} for _ in range(2))
    state, plain = optim.adam_init(mine), optim.adam_init(theirs)
    for step in range(30):
        g = {k: v.to(dtype) for k, v in gradients(step).items()}
        optim.adam_step(mine, g, state, LR.double())
        plain["count"] += 1
        optim.plain_step(theirs, g, plain, LR.double())
    for name, value in theirs.items():
        assert torch.allclose(mine[name], value, rtol=tolerance, atol=tolerance), f"{name} leaves the plain step"
        for moment in ("mean", "square"):
            close = torch.allclose(state[moment][name], plain[moment][name], rtol=tolerance, atol=tolerance)
            assert close, f"{moment} of {name} leaves the plain step"


def test_adam_takes_gradients_that_are_views():
    """Transposed and expanded ones, whose memory is not laid out as their entries are."""
    params = {"w": torch.zeros(2, 3, 4), "b": torch.zeros(2, 4)}
    plain = {k: v.clone() for k, v in params.items()}
    g = {"w": torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0)).mT, "b": torch.ones(2, 1).expand(2, 4)}
    optim.adam_step(params, g, optim.adam_init(params), LR)
    state = optim.adam_init(plain)
    state["count"] += 1
    optim.plain_step(plain, g, state, LR)
    assert all(torch.allclose(params[k], plain[k], atol=1e-6) for k in params)


def test_a_member_steps_alone_as_in_company():
    """Bit for bit, though the routine works on several numbers at once and on the last few one by one."""
    start = {"w": torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0)), "log": torch.ones(3)}
    g = {k: torch.randn(v.shape, generator=torch.Generator().manual_seed(1)) for k, v in start.items()}
    lr = torch.tensor([0.1, 0.01, 0.1])
    together = {k: v.clone() for k, v in start.items()}
    optim.adam_step(together, g, optim.adam_init(together), lr)
    for p in range(3):
        alone = {k: v[p : p + 1].clone() for k, v in start.items()}
        optim.adam_step(alone, {k: v[p : p + 1] for k, v in g.items()}, optim.adam_init(alone), lr[p : p + 1])
        for k, value in alone.items():
            assert torch.equal(value[0], together[k][p]), f"{k} of member {p} depends on its company"


def test_adam_works_in_place():
    params = parameters()
    state = optim.adam_init(params)
    kept = dict(params), dict(state["mean"])
    optim.adam_step(params, gradients(0), state, LR)
    assert all(params[k] is kept[0][k] for k in params)
    assert all(state["mean"][k] is kept[1][k] for k in params)


def test_adam_leaves_the_gradients_alone():
    g = gradients(0)
    optim.adam_step(parameters(), g, optim.adam_init(parameters()), LR, torch.tensor([0.1, 0.1]))
    assert all(torch.equal(v, gradients(0)[k]) for k, v in g.items())


def test_a_learning_rate_of_zero_gradient_changes_nothing():
    params = parameters()
    zero = {k: torch.zeros_like(v) for k, v in params.items()}
    optim.adam_step(params, zero, optim.adam_init(params), LR)
    assert all(torch.equal(v, parameters()[k]) for k, v in params.items())


@pytest.mark.parametrize("step", [0, 3])
def test_clipping_equals_the_loop(step):
    g, limit = gradients(step), torch.tensor([1.5, 100.0], dtype=torch.float64)
    found = optim.clip_by_norm(g, limit)
    for p in range(2):
        flat = [float(x) for v in g.values() for x in v[p].flatten()]
        expected = oracle.clip(flat, float(limit[p]))
        own = [float(x) for v in found.values() for x in v[p].flatten()]
        np.testing.assert_allclose(own, expected, rtol=2e-6, err_msg=f"member {p}")


def test_clipping_is_each_members_own():
    g = gradients(3)
    huge = {k: torch.cat([v[:1], 1e6 * v[1:]]) for k, v in g.items()}
    limit = torch.tensor([1.0, 1.0], dtype=torch.float64)
    mine, theirs = optim.clip_by_norm(g, limit), optim.clip_by_norm(huge, limit)
    assert all(torch.equal(mine[k][0], theirs[k][0]) for k in g), "member 0 is clipped by member 1's gradient"


def test_clipping_handles_networks_of_one_number_per_member():
    found = optim.clip_by_norm({"log": torch.tensor([3.0, -0.1])}, torch.tensor([1.0, 1.0]))
    assert torch.allclose(found["log"], torch.tensor([1.0, -0.1]), atol=1e-5)


def test_clipping_leaves_a_zero_gradient_alone():
    found = optim.clip_by_norm({"w": torch.zeros(2, 3)}, torch.tensor([1.0, 1.0]))
    assert torch.equal(found["w"], torch.zeros(2, 3))


def test_polyak_equals_the_loop_and_spares_the_online_network():
    target, online = parameters(), gradients(1)
    kept, rate = {k: v.clone() for k, v in online.items()}, torch.tensor([0.005, 1.0], dtype=torch.float64)
    optim.polyak(target, online, rate)
    for name, start in parameters().items():
        for index in np.ndindex(*start.shape):
            expected = oracle.polyak(float(start[index]), float(online[name][index]), float(rate[index[0]]))
            assert abs(float(target[name][index]) - expected) < 1e-12, f"{name}{index}"
    assert all(torch.equal(online[k], kept[k]) for k in kept)


def test_gradients_are_each_members_own_and_carry_no_graph():
    params = parameters()

    def loss(leaves):
        value_P = (leaves["w"] ** 3).sum((-2, -1)) * leaves["log"]
        return value_P, {"value": value_P}

    found, metrics = optim.gradients(loss, params)
    assert torch.allclose(found["w"], 3 * params["log"].reshape(2, 1, 1).expand(2, 3, 2))
    assert torch.allclose(found["log"], torch.full((2,), 6.0, dtype=torch.float64))
    assert not metrics["value"].requires_grad
    assert not any(p.requires_grad for p in params.values()), "the parameters themselves became leaves"
    with torch.no_grad():
        again, _ = optim.gradients(loss, params)
    assert torch.equal(again["w"], found["w"]), "under no_grad the gradient is another"
