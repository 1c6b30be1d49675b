"""A trained policy as one graph: observation in the log's units in, action in the log's units out.

Scaling, the range of the log, action bounds, masks, the offset of discrete actions and the fallback outside the data
are inside. Nothing is drawn: noise is an input.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from prudent import nn
from prudent.algorithms.shared.networks import Networks
from prudent.engine.population import MODE, SAMPLE, Population
from prudent.export.reference import Neighbours, Reference

FLAG, REFUSE, NEAREST = "flag", "refuse", "nearest"
FALLBACKS = (FLAG, REFUSE, NEAREST)
"""What an exported policy does with a decision outside the data: take it, none, or the nearest logged action."""

MEANINGS = {
    "action": "what the policy does, in the log's units; what it refuses is NaN, or a number below the first action",
    "mode": "its likeliest action, in the log's units",
    "mean": "mean of its Gaussian before the tanh, in the networks' units: mode = tanh(mean) * half range + center",
    "log_std": "log standard deviation of that Gaussian",
    "probabilities": "probability of each action, those that the mask forbids 0; column j is first_action + j",
    "q": "smallest and mean Q of the critics at the action: discounted sum of transformed rewards",
    "beyond": "features outside the range that the log covers",
    "outside": "whether the policy's action lies outside the data in this state, as prudent support measures it",
    "score": "distance of state and action to the k-th nearest logged decision; outside is a score above the threshold",
}


class PolicyGraph(torch.nn.Module):
    """One policy for ``torch.export``: called with observations (B, S), and as needed a mask (B, A) and noise (B, A).

    It returns a tensor for each of :attr:`outputs`, which :data:`MEANINGS` explains. ``noise`` is standard normal, for
    discrete actions uniform on [0, 1); it is an input where :attr:`noise` says so. ``mask`` is for discrete actions.

    Args:
        population: a population of one, on the CPU.
        acting: ``mode`` or ``sample``.
        fallback: one of :data:`FALLBACKS`.
        reference: logged decisions; None leaves out ``outside`` and ``score``.
    """

    def __init__(
        self, population: Population, acting: str = MODE, fallback: str = FLAG, reference: Reference | None = None
    ):
        super().__init__()
        self.algorithm, self.spec, self.scaling = population.algorithm, population.spec, population.scaling
        self.fallback = fallback
        kind = self.algorithm.POLICY
        self.noise = {"gaussian": "normal", "categorical": "uniform"}.get(kind) if acting == SAMPLE else None
        self.neighbours = None if reference is None else Neighbours(reference)
        self._refuses_range = population.scaling.outside_range == "refuse"
        self._networks = _Networks(population.state.networks)
        self.outputs = self._outputs()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return (
            "observation",
            *(("mask",) if self.spec.discrete else ()),
            *(("noise",) if self.noise else ()),
        )

    def _outputs(self) -> tuple[str, ...]:
        kind = self.algorithm.POLICY
        shape = {"gaussian": ("mean", "log_std"), "deterministic": ("mean",)}.get(kind, ("probabilities",))
        q = () if self.algorithm.q_value is None else ("q",)
        beyond = () if self.scaling.observation_range is None else ("beyond",)
        return "action", "mode", *shape, *q, *beyond, *(("outside", "score") if self.neighbours is not None else ())

    def forward(self, observation: Tensor, mask: Tensor | None = None, noise: Tensor | None = None):
        """The outputs for observations (B, S) in the log's units."""
        scaled_1BS = self.scaling.policy_input(observation).unsqueeze(0)
        networks = self._networks()
        found = self._distribution(networks, scaled_1BS, mask, noise)
        action = found["action"]
        allowed = torch.ones_like(observation[..., 0], dtype=torch.bool)
        if self.scaling.observation_range is not None:
            low, high = self.scaling.observation_range
            exact = self.scaling.observation(observation)
            found["beyond"] = (exact < low) | (exact > high)
            if self._refuses_range:
                allowed = ~found["beyond"].any(-1)
        if self.neighbours is not None:
            index = action - self.spec.first_action if self.spec.discrete else action
            score_B, logged, has_logged_B = self.neighbours(observation, index, mask)
            # A score that is not a number is no reason to trust a decision.
            found["score"], found["outside"] = score_B, ~(score_B <= self.neighbours.threshold)
            if self.fallback == NEAREST:
                outside = found["outside"]
                logged = logged + self.spec.first_action if self.spec.discrete else logged
                action = torch.where(outside if self.spec.discrete else outside.unsqueeze(-1), logged, action)
                allowed = allowed & (~outside | has_logged_B)
            elif self.fallback == REFUSE:
                allowed = allowed & ~found["outside"]
        if self.algorithm.q_value is not None:
            found["q"] = self._q(networks, scaled_1BS, action)
        found["action"] = self._refused(action, allowed)
        return tuple(found[name] for name in self.outputs)

    def _refused(self, action: Tensor, allowed_B: Tensor) -> Tensor:
        """The actions, with none where they are not ``allowed``."""
        if not (self._refuses_range or (self.neighbours is not None and self.fallback != FLAG)):
            return action
        if self.spec.discrete:
            return torch.where(allowed_B, action, self.spec.first_action - 1)
        return torch.where(allowed_B.unsqueeze(-1), action, torch.nan)

    def _distribution(
        self, networks: Networks, scaled_1BS: Tensor, mask: Tensor | None, noise: Tensor | None
    ) -> dict[str, Tensor]:
        """Action and mode in the log's units, and what they come from."""
        log = self.scaling.unscale_action
        noise_1BA = None if noise is None or self.noise is None else noise.unsqueeze(0)
        if self.algorithm.POLICY == "gaussian":
            mean, log_std = nn.tanh_gaussian(networks["actor"], scaled_1BS)
            mode = log(mean.tanh()[0])
            action = mode if noise_1BA is None else log(nn.sample_tanh_gaussian(mean, log_std, noise_1BA)[0][0])
            return {"action": action, "mode": mode, "mean": mean[0], "log_std": log_std[0]}
        if self.algorithm.POLICY == "deterministic":
            mean = nn.mlp(networks["actor"], scaled_1BS)[0]
            mode = log(mean.tanh())
            return {"action": mode, "mode": mode, "mean": mean}
        mask_1BA = None if mask is None else mask.unsqueeze(0)
        if self.algorithm.POLICY == "greedy":
            mode_1B, log_prob_1B = self.algorithm.act(networks, scaled_1BS, None, mask_1BA)
            broken = log_prob_1B.isnan()
            probabilities = torch.nn.functional.one_hot(mode_1B, self.spec.action_size).float()[0]
            modes = actions = mode_1B
        else:
            log_prob_1BA = nn.log_prob_categorical(nn.mlp(networks["actor"], scaled_1BS), mask_1BA)
            modes = nn.sample_categorical(log_prob_1BA, None)
            actions = modes if noise_1BA is None else nn.sample_categorical(log_prob_1BA, noise_1BA)
            broken = nn.value_of(log_prob_1BA, actions).isnan()
            probabilities = log_prob_1BA.exp()[0]
        if mask_1BA is not None:
            broken = broken | ~mask_1BA.any(-1)
        # As the agent does: a policy whose numbers are none takes no action. Nor does one that may take none.
        mode, action = (log(torch.where(broken, -1, index)[0]) for index in (modes, actions))
        return {"action": action, "mode": mode, "probabilities": probabilities}

    def _q(self, networks: Networks, scaled_1BS: Tensor, action: Tensor) -> Tensor:
        """The smallest and the mean Q over the ensemble at actions in the log's units, (B, 2)."""
        scaled = self.scaling.action(action).unsqueeze(0)
        if self.spec.discrete:
            scaled = scaled.clamp(min=0)  # a policy that takes no action has no Q either, but an index
        critics = {name: value.transpose(0, 1) for name, value in networks["critic"].items()}
        count = len(critics["w0"])
        # Each critic as a member of its own: the smallest of its ensemble of one is the critic itself.
        q_EB = self.algorithm.q_value(
            {**networks, "critic": critics}, _repeated(scaled_1BS, count), _repeated(scaled, count)
        )
        return torch.stack([q_EB.amin(0), q_EB.mean(0)], dim=-1)


def _repeated(values: Tensor, count: int) -> Tensor:
    return values.expand(count, *values.shape[1:])


class _Networks(torch.nn.Module):
    """Networks as buffers of a module: called, it returns them by name."""

    def __init__(self, networks: Mapping[str, Mapping[str, Any]]):
        super().__init__()
        # A policy neither learns nor bootstraps: target networks, values and temperatures stay behind.
        self._names = {name: list(params) for name, params in networks.items() if name in ("actor", "critic")}
        for name, params in self._names.items():
            for key in params:
                self.register_buffer(f"{name}_{key}", networks[name][key].detach().clone())

    def forward(self) -> Networks:
        return {name: {key: getattr(self, f"{name}_{key}") for key in keys} for name, keys in self._names.items()}
