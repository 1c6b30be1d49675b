"""From the log's units to the networks' and back."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from prudent import statistics
from prudent.data import Dataset, precision
from prudent.data.columns import rows_outside
from prudent.data.encoding import Encoding
from prudent.errors import DataError

LEAST_SPREAD = 1e-3
"""A feature's divisor is at least this share of its size: hardly any spread is noise, which drift exceeds at once."""


@dataclass(frozen=True)
class Scaling:
    """Observation statistics, action bounds and names. Every checkpoint has them: a policy is useless without them."""

    observation_mean: Tensor  # (S,)
    observation_std: Tensor  # (S,), 1 where a feature is constant
    action_center: Tensor  # (A,); empty for discrete actions
    action_half_range: Tensor  # (A,), or empty
    observation_offset: Tensor | None = None  # (S,) float64 on the CPU, subtracted first; None if float32 is enough
    observation_range: Tensor | None = None  # (2, S) range of the log in the networks' units; None if it is not known
    first_action: int = 0  # the log's number of the first discrete action; networks count from 0
    outside_range: str = "clip"  # what a policy does with features that leave that range: the setting of this name
    encoding: Encoding | None = None  # what the observations' columns and the actions are called; None if unknown
    warned_of: set[int] = field(default_factory=set)  # features of which the policy has warned

    @classmethod
    def fit(cls, dataset: Dataset, normalize_observations: bool, outside_range: str = "clip") -> "Scaling":
        """Statistics of a dataset's observations, and its declared action bounds (or -1 to 1).

        A dataset with float64 observations is centred in float64, whether it is normalised or not.

        Raises:
            DataError: no bounds are declared and an action lies outside -1 to 1.
        """
        spec, figures = dataset.spec, dataset.observation_figures
        mean, std = np.zeros_like(figures.mean), np.ones_like(figures.mean)
        offset = figures.mean if dataset.observation.dtype == np.float64 else None
        if normalize_observations:
            mean = figures.mean if offset is None else mean
            # The size of a feature that only float64 holds, such as a Unix time, says nothing about its spread.
            size = np.where(precision.coarse(dataset), 0.0, np.abs(figures.mean))
            std = np.maximum(statistics.divisor(size, figures.std), LEAST_SPREAD * size)
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

        scaling = cls(
            tensor(mean),
            tensor(std),
            tensor((low + high) / 2),
            tensor((high - low) / 2),
            None if offset is None else torch.from_numpy(offset),
            first_action=spec.first_action,
            outside_range=outside_range,
            encoding=dataset.meanings.encoding,
        )
        return replace(scaling, observation_range=scaling._ends(dataset))

    def widened(self, dataset: Dataset) -> "Scaling":
        """The same with a range that holds the observations of ``dataset`` too, for a policy that learns from them."""
        if self.observation_range is None:
            return self
        low, high = self._ends(dataset)
        wider = torch.stack([self.observation_range[0].minimum(low), self.observation_range[1].maximum(high)])
        return replace(self, observation_range=wider)

    def _ends(self, dataset: Dataset) -> Tensor:
        """The lowest and the highest of the dataset's observations in the networks' units, (2, S)."""
        figures = dataset.observation_figures
        return self.observation(torch.from_numpy(np.stack([figures.low, figures.high])))

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, as a checkpoint holds them."""
        return {name: tensor for name, tensor in vars(self).items() if isinstance(tensor, Tensor)}

    def to(self, device: torch.device | str) -> "Scaling":
        """A copy on another device. The offset stays on the CPU: some devices have no float64."""
        moved = {name: t if name == "observation_offset" else t.to(device) for name, t in self.tensors().items()}
        return replace(self, **moved)

    def observation(self, observation: Tensor) -> Tensor:
        """Observations in the networks' units, on the device of the scaling."""
        return self.standardized(self.centered(observation).to(self.observation_mean.device))

    def standardized(self, centered: Tensor) -> Tensor:
        """What :meth:`centered` returns, in the networks' units."""
        return (centered - self.observation_mean) / self.observation_std

    def centered(self, observation: Tensor) -> Tensor:
        """Observations less the offset, as float32: the digits that float32 would round away are kept."""
        if self.observation_offset is None:
            return observation.float()
        return (observation.double() - self.observation_offset.to(observation.device)).float()

    def policy_input(self, observation: Tensor) -> Tensor:
        """:meth:`observation` for a policy that acts: features that leave the log's range are taken at its edge.

        No network has learned what lies beyond: a sensor that hardly moved in the log saturates every action when it
        drifts, and so does a flag that was never set. With ``outside_range`` ``warn`` they are taken as they are.
        """
        scaled = self.observation(observation)
        if self.observation_range is None or self.outside_range == "warn":
            return scaled
        return scaled.clamp(*self.observation_range)

    def in_log_units(self, scaled: Tensor) -> np.ndarray:
        """The inverse of :meth:`observation`, float64 on the CPU."""
        centered = scaled.double().cpu() * self.observation_std.double().cpu() + self.observation_mean.double().cpu()
        return (centered if self.observation_offset is None else centered + self.observation_offset).numpy()

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
