"""Actors for online interaction: uniformly random actions, or a population with exploration noise."""

from collections.abc import Sequence

import numpy as np
import torch

from prudent.engine.population import Population
from prudent.errors import ConfigError, PrudentError
from prudent.nn.rng import MemberRng
from prudent.types import Spec


class Uniform:
    """Actions drawn uniformly, within the bounds or among the allowed ones.

    Raises:
        ConfigError: continuous actions without bounds.
    """

    def __init__(self, spec: Spec, seeds: Sequence[int]):
        if not spec.discrete and spec.action_low is None:
            raise ConfigError("the actions have no finite bounds, so no uniform action can be drawn")
        self.spec, self.rng = spec, MemberRng(seeds, "uniform")

    def __call__(self, observation: np.ndarray, mask: np.ndarray | None) -> np.ndarray:  # noqa: ARG002 - of the protocol
        """See :class:`Actor`."""
        draw = self.rng.uniform(0.0, 1.0, self.spec.action_size).numpy()
        if self.spec.discrete:
            allowed = True if mask is None else mask[:, : self.spec.action_size]
            return self.spec.number_of(np.where(allowed, draw, -1.0).argmax(axis=1))
        low, high = np.array(self.spec.action_low), np.array(self.spec.action_high)
        return (low + draw * (high - low)).astype(np.float32)


class Explorer:
    """A population that acts with exploration: each member in an environment of its own, or one member in several.

    Args:
        population: the policies.
        seeds: of the noise, one per environment.
        spread: additional exploration. For continuous actions the standard deviation of Gaussian noise, as a share of
            half the action range. For discrete actions the probability of a uniformly random one.
        deterministic: take the policy's mode instead of a sample, before ``spread``.
    """

    def __init__(self, population: Population, seeds: Sequence[int], spread: float = 0.0, deterministic: bool = False):
        self.population, self.spread = population, spread
        self.samples = population.algorithm.POLICY in ("gaussian", "categorical") and not deterministic
        self.rng = MemberRng(seeds, "explore", population.device)
        # (K, ...) of K environments as (P, rows, ...): a row for each member, or K rows for the only one.
        self.axis = 1 if len(seeds) == population.size else 0

    @torch.no_grad()
    def __call__(self, observation: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """See :class:`Actor`."""
        population = self.population
        discrete, size = population.spec.discrete, population.spec.action_size
        scaled = population.scaling.policy_input(torch.from_numpy(observation)).unsqueeze(self.axis)
        networks, act = population.state.networks, population.algorithm.act
        noise = None
        if self.samples:
            draw = self.rng.uniform(0.0, 1.0, size) if discrete else self.rng.normal(size)
            noise = draw.unsqueeze(self.axis)
        if not discrete:
            action = act(networks, scaled, noise)[0].squeeze(self.axis)
            if self.spread:
                action = (action + self.spread * self.rng.normal(size)).clamp(-1.0, 1.0)
            # A diverged member must not stop the others: its NaN becomes the middle of the range.
            return population.scaling.unscale_action(action.nan_to_num(0.0)).cpu().numpy()
        allowed = None if mask is None else torch.from_numpy(mask[:, :size]).to(population.device)
        if allowed is not None and not allowed.any(1).all():
            raise PrudentError(f"the environment allows none of the {size} actions that the policy knows")
        masks = None if allowed is None else allowed.unsqueeze(self.axis)
        action = act(networks, scaled, noise, masks)[0].squeeze(self.axis)
        if self.spread:
            draw = self.rng.uniform(0.0, 1.0, size + 1)
            other = draw[:, 1:] if allowed is None else draw[:, 1:].masked_fill(~allowed, -1.0)
            action = torch.where(draw[:, 0] < self.spread, other.argmax(1), action)
        return population.scaling.unscale_action(action).cpu().numpy()
