"""From the log's units to the networks' and back."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from prudent import statistics
from prudent.data import Dataset
from prudent.data.columns import rows_outside
from prudent.errors import DataError


@dataclass(frozen=True)
class Scaling:
    """Observation statistics and action bounds. Every checkpoint has them: a policy is useless without them."""

    observation_mean: Tensor  # (S,)
    observation_std: Tensor  # (S,), 1 where a feature is constant
    action_center: Tensor  # (A,); empty for discrete actions
    action_half_range: Tensor  # (A,), or empty
    first_action: int = 0  # the log's number of the first discrete action; networks count from 0

    @classmethod
    def fit(cls, dataset: Dataset, normalize_observations: bool) -> "Scaling":
        """Statistics of a dataset's observations, and its declared action bounds (or -1 to 1).

        Raises:
            DataError: no bounds are declared and an action lies outside -1 to 1.
        """
        spec, size = dataset.spec, dataset.spec.observation_size
        mean, std = np.zeros(size, np.float32), np.ones(size, np.float32)
        if normalize_observations:
            mean, std = dataset.observation_moments
            std = statistics.divisor(mean, std)
        if spec.discrete:
            low = high = np.zeros(0)
        elif spec.action_low is None or spec.action_high is None:
            outside = rows_outside(dataset.action, -1 - 1e-5, 1 + 1e-5)
            if len(outside):
                raise DataError(
                    f"{dataset.name}: no action bounds are declared and {len(outside)} actions lie outside -1 to 1, "
                    f"the first in row {outside[0]}: {dataset.action[outside[0]].tolist()}; "
                    "declare action_low and action_high (--action-low, --action-high)"
                )
            low, high = -np.ones(spec.action_size), np.ones(spec.action_size)
        else:
            low, high = np.array(spec.action_low), np.array(spec.action_high)

        def tensor(x: np.ndarray) -> Tensor:
            return torch.from_numpy(np.asarray(x, dtype=np.float32))

        return cls(tensor(mean), tensor(std), tensor((low + high) / 2), tensor((high - low) / 2), spec.first_action)

    def tensors(self) -> dict[str, Tensor]:
        """Everything but ``first_action``, by name, as a checkpoint stores it."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def to(self, device: torch.device | str) -> "Scaling":
        """A copy on another device."""
        return replace(self, **{name: t.to(device) for name, t in self.tensors().items()})

    def observation(self, observation: Tensor) -> Tensor:
        """Observations in the networks' units."""
        return (observation - self.observation_mean) / self.observation_std

    def action(self, action: Tensor) -> Tensor:
        """The log's actions in the networks' units, within [-1, 1]; discrete actions counted from 0."""
        if not action.is_floating_point():
            return action - self.first_action if self.first_action else action
        return ((action - self.action_center) / self.action_half_range).clamp(-1.0, 1.0)

    def unscale_action(self, action: Tensor) -> Tensor:
        """The networks' actions in the log's units."""
        if not action.is_floating_point():
            return action + self.first_action if self.first_action else action
        return action * self.action_half_range + self.action_center
