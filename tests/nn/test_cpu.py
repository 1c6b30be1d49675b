"""The fast passes against the plain networks they stand for: values and gradients, whatever the shape."""

import threading

import pytest
import torch
from torch import Tensor

from helpers.threads import one_thread  # noqa: F401
from prudent import nn
from prudent.nn import cpu, products
from prudent.nn.rng import MemberRng

STATE, ACTION = 5, 3
SHAPES = {
    "one critic": {"members": 1, "critics": 1},
    "two critics": {"members": 1, "critics": 2},
    "three members of four": {"members": 3, "critics": 4, "hidden": (12, 9)},
    "one hidden layer": {"hidden": (17,)},
    "three hidden layers": {"hidden": (7, 13, 5)},
    "odd widths": {"hidden": (33, 31), "rows": 7},
    "one action": {"n": 1},
    "ten actions": {"n": 10, "rows": 11},
    "one row": {"rows": 1},
    "normalised": {"layer_norm": True},
    "three normalised layers": {"layer_norm": True, "hidden": (7, 13, 5), "members": 3},
    "normalised after ReLU": {"layer_norm": True, "after_relu": True},
    "three layers normalised after ReLU": {"layer_norm": True, "after_relu": True, "hidden": (7, 13, 5), "members": 3},
}
TOLERANCES = {torch.float64: 1e-10, torch.float32: 2e-5}


class Problem:
    """Random stacked critics, states and actions, all leaves that ask for gradients."""

    def __init__(self, dtype, members=2, critics=2, hidden=(16, 12), rows=6, n=4, own=False, **norm):
        rng = MemberRng(list(range(members)), "kernel")
        made = nn.init_mlp(rng, (STATE + ACTION, *hidden, 1), critics, **norm)
        self.params = {name: self.leaf(p + 0.1 * rng.normal(*p.shape[1:]), dtype) for name, p in made.items()}
        self.observation = self.leaf(rng.normal(rows, STATE), dtype)
        self.action = self.leaf(rng.uniform(-1, 1, *((critics,) if own else ()), n, rows, ACTION), dtype)
        self.weight = rng.normal(critics, n, rows).to(dtype)

    @staticmethod
    def leaf(t: Tensor, dtype) -> Tensor:
        return t.to(dtype).requires_grad_()

    def outcome(self, critic, action: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Values, and gradients of a weighted sum of their squares, by name."""
        q = critic(self.params, self.observation, action)
        leaves = {**self.params, "observation": self.observation, "action": self.action}
        found = torch.autograd.grad((weight * q.square()).sum(), list(leaves.values()))
        return {"values": q.detach(), **dict(zip(leaves, found, strict=True))}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    for name, value in expected.items():
        assert found[name].shape == value.shape, f"{name} has another shape"
        scale = float(value.abs().max())
        worst = float((found[name] - value).abs().max())
        assert worst <= tolerance * max(scale, 1e-3), f"{name} differs by {worst:.2g}, its largest entry is {scale:.2g}"


@pytest.fixture(params=[False, True], ids=["mkl", "onednn"])
def library(request, monkeypatch):
    """Both libraries, each for every product it takes."""
    if request.param and not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this PyTorch has no oneDNN")
    monkeypatch.setattr(products, "prefers_onednn", lambda: request.param)
    monkeypatch.setattr(products, "WORTH_IT", 0)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("own", [False, True], ids=["shared actions", "each critic's own"])
def test_many_actions_per_state(shape, dtype, own):
    problem = Problem(dtype, own=own, **shape)
    expected = problem.outcome(nn.plain_critic, problem.action, problem.weight)
    assert_same(problem.outcome(cpu.critic, problem.action, problem.weight), expected, TOLERANCES[dtype])


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_one_action_per_state(shape, dtype):
    problem = Problem(dtype, **shape)
    action, weight = problem.action[:, 0], problem.weight[:, :, 0]
    expected = problem.outcome(nn.plain_critic, action, weight)
    assert_same(problem.outcome(cpu.critic, action, weight), expected, TOLERANCES[dtype])


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("hidden", [(), (9,), (16, 12, 7)], ids=str)
@pytest.mark.parametrize("ensemble", [None, 1, 3])
def test_networks_of_one_input(hidden, ensemble):
    """Actors and state values (P,), and critics of discrete actions (P, E), which share their observations."""
    rng = MemberRng([0, 1], "kernel")
    params = {k: v.double().requires_grad_() for k, v in nn.init_mlp(rng, (STATE, *hidden, 4), ensemble).items()}
    x = rng.normal(6, STATE).double().requires_grad_()
    given = x if ensemble is None else x.unsqueeze(1)
    outcomes = []
    for mlp in (cpu.mlp, nn.plain_mlp):
        y = mlp(params, given)
        found = torch.autograd.grad(y.sin().sum(), [x, *params.values()])
        outcomes.append({"values": y.detach(), **dict(zip(("x", *params), found, strict=True))})
    assert_same(*outcomes, 1e-10)


def test_a_member_alone_equals_itself_in_company():
    shape = {"hidden": (64, 32), "rows": 32, "n": 8, "critics": 2}
    together = Problem(torch.float32, members=3, **shape)
    all_of_them = together.outcome(cpu.critic, together.action, together.weight)
    for p in range(3):
        alone = Problem(torch.float32, members=3, **shape)
        alone.params = {name: v.detach()[p : p + 1].clone().requires_grad_() for name, v in together.params.items()}
        alone.observation, alone.action = (
            t.detach()[p : p + 1].requires_grad_() for t in (alone.observation, alone.action)
        )
        found = alone.outcome(cpu.critic, alone.action, alone.weight[p : p + 1])
        for name, value in found.items():
            assert torch.equal(value[0], all_of_them[name][p]), f"{name} of member {p} depends on its company"


def test_only_gradients_that_are_asked_for(monkeypatch):
    """The actor's step goes through the critics to the action: no gradient of a weight is computed."""
    problem = Problem(torch.float64)
    monkeypatch.setattr(products, "to_weight", lambda *_: pytest.fail("the gradient of a weight was computed"))
    frozen = {name: p.detach() for name, p in problem.params.items()}
    found = torch.autograd.grad(cpu.critic(frozen, problem.observation.detach(), problem.action).sum(), problem.action)
    monkeypatch.undo()
    expected = torch.autograd.grad(nn.plain_critic(frozen, problem.observation, problem.action).sum(), problem.action)
    assert_same({"action": found[0]}, {"action": expected[0]}, 1e-10)


def test_some_parameters_only():
    problem = Problem(torch.float64)
    problem.params["w1"] = problem.params["w1"].detach()
    leaf = problem.params["w0"]
    found, expected = (
        torch.autograd.grad(critic(problem.params, problem.observation, problem.action).square().sum(), leaf)[0]
        for critic in (cpu.critic, nn.plain_critic)
    )
    assert_same({"w0": found}, {"w0": expected}, 1e-10)


def test_interleaved_passes_keep_their_own_activations():
    """Two forward passes before the first backward one, and a backward pass twice."""
    first, second = Problem(torch.float64), Problem(torch.float64, rows=6, hidden=(16, 12), critics=2)
    with torch.no_grad():
        for value in (*second.params.values(), second.action):
            value.mul_(-0.7)
    q1, q2 = (cpu.critic(p.params, p.observation, p.action) for p in (first, second))
    for problem, q in ((second, q2), (first, q1), (second, q2)):
        plain = nn.plain_critic(problem.params, problem.observation, problem.action)
        found, expected = (
            torch.autograd.grad(v.square().sum(), problem.action, retain_graph=True)[0] for v in (q, plain)
        )
        assert_same({"action": found}, {"action": expected}, 1e-10)


def test_threads_do_not_meet():
    problems = [Problem(torch.float64, hidden=(16 + k, 12)) for k in range(4)]
    expected = [p.outcome(nn.plain_critic, p.action, p.weight) for p in problems]
    found: list[dict[str, Tensor]] = [{} for _ in problems]

    def work(k: int) -> None:
        for _ in range(20):
            found[k] = problems[k].outcome(cpu.critic, problems[k].action, problems[k].weight)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(problems))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own, plain in zip(found, expected, strict=True):
        assert_same(own, plain, 1e-10)


def test_what_is_covered():
    params = Problem(torch.float32, hidden=(256, 256)).params
    assert cpu.covers(params, 256)
    assert not cpu.covers(params, 1), "a single row is not worth a pass of its own"
    assert not cpu.covers({k: v.half() for k, v in params.items()}, 256)
    assert not cpu.covers({k: v.to("meta") for k, v in params.items()}, 256)


def test_nothing_is_kept_without_a_gradient(monkeypatch):
    problem = Problem(torch.float64)
    monkeypatch.setattr(
        cpu._Stack, "apply", lambda *_: pytest.fail("activations are kept though no one differentiates")
    )
    with torch.no_grad():
        cpu.critic(problem.params, problem.observation, problem.action)
    cpu.critic(
        {k: v.detach() for k, v in problem.params.items()}, problem.observation.detach(), problem.action.detach()
    )


def test_what_is_no_layer_has_no_share(monkeypatch):
    """Discrete CQL keeps its quantiles beside its layers: their gradient comes from elsewhere, and from there alone."""
    monkeypatch.setattr(torch, "empty_like", lambda t: torch.full_like(t, torch.nan))
    problem = Problem(torch.float64)
    quantile = torch.linspace(0, 1, 4, dtype=torch.float64).requires_grad_()
    params = {**problem.params, "quantile": quantile}

    def gradients(mlp):
        x = torch.cat([problem.observation, problem.action[:, 0]], dim=-1).unsqueeze(1)
        return torch.autograd.grad((mlp(params, x).mean() * quantile).sum(), list(params.values()))

    for name, found, expected in zip(params, gradients(cpu.mlp), gradients(nn.plain_mlp), strict=True):
        torch.testing.assert_close(found, expected, msg=lambda text, name=name: f"gradient of {name}: {text}")
