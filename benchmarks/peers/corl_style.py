"""CQL(H) in the style of single-file implementations: one call per network and kind of action, autograd throughout.

States are repeated for every proposed action, through policy and critics; the two critics are called separately; the
policy's graph is built for proposals that are then detached, and its loss leaves gradients in the critics that are not
used; every figure is read back at every step. The settings are CORL's, with two hidden layers of 256 as everywhere
here. Written for this comparison from a description of that style, not from its code.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0
DISCOUNT, POLYAK, ALPHA = 0.99, 0.005, 10.0


def layers(inputs: int, hidden: tuple[int, ...], outputs: int) -> nn.Sequential:
    """A network with ReLU between its layers."""
    made: list[nn.Module] = []
    for width in hidden:
        made += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*made, nn.Linear(inputs, outputs))


def repeated(observation: Tensor, times: int) -> Tensor:
    """(B, S) -> (B, N, S), in memory."""
    return observation.unsqueeze(1).repeat(1, times, 1)


class Actor(nn.Module):
    """A tanh-Gaussian policy."""

    def __init__(self, observation: int, action: int, hidden: tuple[int, ...]):
        super().__init__()
        self.net = layers(observation, hidden, 2 * action)

    def forward(self, observation: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Action (..., A) and its log-probability (...), with ``noise`` (..., A) where it is given."""
        mean, log_std = self.net(observation).chunk(2, dim=-1)
        gaussian = Normal(mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX).exp())
        before = gaussian.rsample() if noise is None else gaussian.mean + gaussian.stddev * noise
        slope = 2 * (math.log(2) - before - functional.softplus(-2 * before))
        return before.tanh(), (gaussian.log_prob(before) - slope).sum(-1)


class Critic(nn.Module):
    """Q of a state and an action, or of a state and N actions."""

    def __init__(self, observation: int, action: int, hidden: tuple[int, ...]):
        super().__init__()
        self.net = layers(observation + action, hidden, 1)

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """(B, S) with (B, A) or (B, N, A) -> (B) or (B, N)."""
        if action.dim() == 3:
            observation = repeated(observation, action.shape[1])
        return self.net(torch.cat([observation, action], dim=-1)).squeeze(-1)


@dataclass
class Draws:
    """The noise of the critics' loss: ``next`` (B, A), the others (B, N, A), ``uniform`` on [-1, 1]."""

    next: Tensor
    uniform: Tensor
    policy: Tensor
    next_policy: Tensor


def critic_loss(
    actor: Actor,
    critics: list[Critic],
    targets: list[Critic],
    batch: dict[str, Tensor],
    n_actions: int,
    alpha: float,
    draws: Draws | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """``sum_e [mean (Q_e - y)^2 + alpha * mean (LSE_j(Q_e(s, a_j) - log p_j) - Q_e(s, a))]`` and its parts."""
    observation, following = batch["observation"], batch["next_observation"]
    next_action, _ = actor(following, None if draws is None else draws.next)
    next_value = torch.min(targets[0](following, next_action), targets[1](following, next_action))
    y = (batch["reward"] + (1 - batch["terminated"]) * DISCOUNT * next_value).detach()
    rows, size = batch["action"].shape
    uniform = batch["action"].new_empty(rows, n_actions, size).uniform_(-1, 1) if draws is None else draws.uniform
    here, log_here = actor(repeated(observation, n_actions), None if draws is None else draws.policy)
    there, log_there = actor(repeated(following, n_actions), None if draws is None else draws.next_policy)
    here, log_here, there, log_there = (t.detach() for t in (here, log_here, there, log_there))
    total, parts = torch.zeros(()), {}
    for k, critic in enumerate(critics):
        q = critic(observation, batch["action"])
        q_uniform, q_here, q_there = critic(observation, uniform), critic(observation, here), critic(observation, there)
        logits = torch.cat([q_uniform + size * math.log(2), q_there - log_there, q_here - log_here], dim=1)
        td, gap = functional.mse_loss(q, y), (torch.logsumexp(logits, dim=1) - q).mean()
        total = total + td + alpha * gap
        found = {"td": td, "gap": gap, "q": q.mean(), "std": logits.std(dim=1).mean()}
        found |= {"uniform": q_uniform.mean(), "here": q_here.mean(), "there": q_there.mean()}
        parts |= {f"{name}_{k}": value for name, value in found.items()}
    return total, parts


class Trainer:
    """Networks, optimisers, data, and the step."""

    def __init__(self, data: dict[str, Tensor], hidden: tuple[int, ...], batch: int, n_actions: int):
        sizes = data["observation"].shape[1], data["action"].shape[1], hidden
        self.data, self.batch, self.n_actions = data, batch, n_actions
        self.actor = Actor(*sizes)
        self.critics, self.targets = [Critic(*sizes) for _ in range(2)], [Critic(*sizes) for _ in range(2)]
        for critic, target in zip(self.critics, self.targets, strict=True):
            target.load_state_dict(critic.state_dict())
        self.log_temperature = nn.Parameter(torch.zeros(()))
        self.actor_adam = torch.optim.Adam(self.actor.parameters(), 3e-5)
        self.critic_adams = [torch.optim.Adam(critic.parameters(), 3e-4) for critic in self.critics]
        self.temperature_adam = torch.optim.Adam([self.log_temperature], 3e-5)

    def sample(self) -> dict[str, Tensor]:
        """A batch, drawn with replacement."""
        indices = np.random.randint(0, len(self.data["reward"]), size=self.batch)
        return {name: column[indices] for name, column in self.data.items()}

    def step(self) -> dict[str, float]:
        """Make one training step; returns its figures as numbers."""
        batch = self.sample()
        action, log_prob = self.actor(batch["observation"])
        entropy_gap = (log_prob - batch["action"].shape[1]).detach()
        temperature_loss = -(self.log_temperature * entropy_gap).mean()
        self._descend([self.temperature_adam], temperature_loss)
        q = torch.min(*(critic(batch["observation"], action) for critic in self.critics))
        actor_loss = (self.log_temperature.exp().detach() * log_prob - q).mean()
        loss, parts = critic_loss(self.actor, self.critics, self.targets, batch, self.n_actions, ALPHA)
        self._descend([self.actor_adam], actor_loss)
        self._descend(self.critic_adams, loss)
        for critic, target in zip(self.critics, self.targets, strict=True):
            for online, slow in zip(critic.parameters(), target.parameters(), strict=True):
                slow.data.copy_((1 - POLYAK) * slow.data + POLYAK * online.data)
        others = {
            "actor_loss": actor_loss,
            "loss": loss,
            "temperature_loss": temperature_loss,
            "log_prob": log_prob.mean(),
        }
        others |= {"temperature": self.log_temperature.exp()}
        return {name: value.item() for name, value in (parts | others).items()}

    def _descend(self, adams: list[torch.optim.Adam], loss: Tensor) -> None:
        for adam in adams:
            adam.zero_grad()
        loss.backward()
        for adam in adams:
            adam.step()


def make(
    data: dict[str, np.ndarray], options: dict[str, Any]
) -> tuple[Callable[[], object], Callable[[str, np.ndarray], np.ndarray], dict[str, str]]:
    """A step on the data, the policy, and versions (none).

    Options: ``hidden``, ``batch``, ``n_actions``, and optionally ``seed``, the random seed, and ``normalize``, whether
    states are standardised with the data's mean and deviation. If the data have ``low`` and ``high``, actions are
    scaled to [-1, 1].
    """
    if "seed" in options:
        torch.manual_seed(options["seed"])
        np.random.seed(options["seed"])
    names = {
        "observation": "observations",
        "action": "actions",
        "reward": "rewards",
        "next_observation": "next_observations",
        "terminated": "terminals",
    }
    tensors = {own: torch.from_numpy(data[theirs].astype(np.float32)) for own, theirs in names.items()}
    mean, std = torch.zeros(()), torch.ones(())
    if options.get("normalize"):
        mean, std = tensors["observation"].mean(0), tensors["observation"].std(0) + 1e-3
        for name in ("observation", "next_observation"):
            tensors[name] = (tensors[name] - mean) / std
    middle, half = torch.zeros(()), torch.ones(())
    if "low" in data:
        low, high = torch.from_numpy(data["low"]), torch.from_numpy(data["high"])
        middle, half = (low + high) / 2, (high - low) / 2
        tensors["action"] = (tensors["action"] - middle) / half
    trainer = Trainer(tensors, tuple(options["hidden"]), options["batch"], options["n_actions"])

    @torch.no_grad()
    def policy(what: str, states: np.ndarray) -> np.ndarray:
        observation = (torch.from_numpy(states) - mean) / std
        if what == "best":
            return (middle + half * trainer.actor.net(observation).chunk(2, dim=-1)[0].tanh()).numpy()
        action, _ = trainer.actor(observation)
        if what == "drawn":
            return (middle + half * action).numpy()
        return torch.min(*(critic(observation, action) for critic in trainer.critics)).numpy()

    return trainer.step, policy, {}
