"""The most recent transitions of each member, to draw batches from."""

import numpy as np
import torch
from torch import Tensor

from prudent.data import Dataset
from prudent.engine import memory
from prudent.engine.population import Population
from prudent.engine.windows import Windows, n_steps
from prudent.nn.rng import MemberRng
from prudent.online.interaction import Transition
from prudent.types import Batch, Next


def check_memory(population: Population, capacity: int) -> None:
    """Refuse a buffer that does not fit into memory.

    Raises:
        ConfigError: it does not.
    """
    spec, count = population.spec, population.size
    numbers = 2 * spec.observation_size + (2 if spec.discrete else spec.action_size) + 1
    what = f"the {capacity} transitions of {count} member{'s' * (count > 1)}"
    memory.check(4 * count * capacity * numbers, what, "take fewer steps", population.device)


class ReplayBuffer:
    """The last ``capacity`` transitions of P members. :meth:`sample` makes it a ``Source`` to learn from.

    Tensors are (P, capacity, ...) on the population's device, in the networks' units. Rewards are transformed when they
    are drawn. If the algorithm needs returns-to-go, a row can be drawn once its episode has ended. A window of several
    steps (``n_steps``) ends at the newest row.
    """

    def __init__(self, population: Population, capacity: int):
        spec, device = population.spec, population.device
        shape = (population.size, capacity)
        check_memory(population, capacity)

        def empty(*more: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros((*shape, *more), dtype=dtype, device=device)

        self.population, self.capacity = population, capacity
        self.observation, self.next_observation = (empty(spec.observation_size) for _ in range(2))
        self.action = empty(dtype=torch.int64) if spec.discrete else empty(spec.action_size)
        self.reward, self.terminated, self.ended = empty(), empty(dtype=torch.bool), empty(dtype=torch.bool)
        self.mask: Tensor | None = None
        self.next_mask: Tensor | None = None
        needs = population.algorithm.NEEDS
        self.return_to_go = empty() if "return_to_go" in needs else None
        self.with_next_action = "next_action" in needs
        self.position, self.filled = 0, 0
        self.open = np.zeros(population.size, dtype=np.int64)  # rows of the episode that has not ended yet
        self._members = torch.arange(population.size, device=device)
        self.windows = self._windows() if n_steps(population.hyper) > 1 else None

    @property
    def ready(self) -> np.ndarray:
        """(P,) int64: the number of rows that each member can draw from."""
        held_back = self.open if self.return_to_go is not None else np.zeros_like(self.open)
        return np.maximum(self.filled - held_back, 0)

    def add(self, step: Transition) -> None:
        """Store a transition of every member. A full buffer drops the oldest one."""
        at, scaling, device = self.position, self.population.scaling, self.population.device

        def place(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values).to(device)

        ended = step.terminated | step.truncated
        self.observation[:, at] = scaling.observation(torch.from_numpy(step.observation))
        self.next_observation[:, at] = scaling.observation(torch.from_numpy(step.next_observation))
        self.action[:, at] = scaling.action(place(step.action))
        self.reward[:, at], self.terminated[:, at] = place(step.reward), place(step.terminated)
        self.ended[:, at] = place(ended)
        if step.mask is not None and step.next_mask is not None:
            self._add_masks(at, place(step.mask), place(step.next_mask))
        self.position = (at + 1) % self.capacity
        self.filled = min(self.filled + 1, self.capacity)
        self.open = np.minimum(self.open + 1, self.capacity)
        for member in np.flatnonzero(ended):
            if self.return_to_go is not None:
                self._settle(int(member), bool(step.terminated[member]))
            self.open[member] = 0

    def _add_masks(self, at: int, mask: Tensor, next_mask: Tensor) -> None:
        size = self.population.spec.action_size
        if self.mask is None or self.next_mask is None:
            allowed = torch.ones((*self.reward.shape, size), dtype=torch.bool, device=self.reward.device)
            self.mask, self.next_mask = allowed, allowed.clone()
        known = next_mask[:, :size]
        # At the end of an episode only actions that the policy does not have may be allowed: then nothing is masked.
        self.mask[:, at], self.next_mask[:, at] = mask[:, :size], known | ~known.any(1, keepdim=True)

    def _settle(self, member: int, terminated: bool) -> None:
        """Compute the returns-to-go of the episode that has just ended."""
        assert self.return_to_go is not None
        config, length = self.population.members[member].config, int(self.open[member])
        rows = torch.arange(self.position - length, self.position, device=self.reward.device) % self.capacity
        last = np.arange(length) == length - 1
        reward = self.reward[member, rows].cpu().numpy().astype(np.float64)
        # With the dataset's own definition, so that truncations mean the same in both halves of a batch.
        episode = Dataset(
            observation=np.zeros((length, 1), np.float32),
            action=np.zeros(length, np.int64),
            reward=reward,
            next_observation=np.zeros((length, 1), np.float32),
            terminated=last & terminated,
            truncated=last & (not terminated),
            spec=self.population.spec,
        )
        returns = episode.returns_to_go(config.discount, reward * config.reward_scale + config.reward_shift)
        self.return_to_go[member, rows] = torch.from_numpy(returns).to(self.reward.device)

    def sample(self, rng: MemberRng, batch_size: int) -> Batch:
        """A batch (P, B, ...). Members that have no rows yet get zeros."""
        hyper = self.population.hyper
        ready = np.maximum(self.ready, 1).tolist()
        index_PB = rng.integers(ready if len(set(ready)) > 1 else ready[0], batch_size)
        at, after = self._places(index_PB), self._next(index_PB)
        scale_P1, shift_P1 = hyper.reward_scale.unsqueeze(-1), hyper.reward_shift.unsqueeze(-1)
        batch = Batch(
            observation=self.observation[at],
            action=self.action[at],
            reward=self.reward[at],
            next_observation=after.observation,
            terminated=self.terminated[at],
            mask=None if self.mask is None else self.mask[at],
            next_mask=after.mask,
            return_to_go=None if self.return_to_go is None else self.return_to_go[at],
            next_action=after.action,
            next_action_known=after.action_known,
            window=() if self.windows is None else self.windows.gather(index_PB),
        )
        return batch.in_units(reward=lambda reward_PB: reward_PB * scale_P1 + shift_P1)

    def _places(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Where rows (P, ..., B) are that are counted from the oldest one, 0, on."""
        members = self._members.reshape(-1, *[1] * (index.dim() - 1))
        return members, (index + (self.position - self.filled)) % self.capacity

    def _next(self, index_PB: Tensor) -> Next:
        """What followed these rows, which are counted from the oldest one on."""
        at = self._places(index_PB)
        observation, mask = self.next_observation[at], None if self.next_mask is None else self.next_mask[at]
        if not self.with_next_action:
            return Next(observation, mask)
        return Next(observation, mask, self.action[self._places(index_PB + 1)], self._followed(index_PB))

    def _followed(self, index: Tensor) -> Tensor:
        """Whether the next row continues the episode; that of the newest one is not known yet."""
        newest = self.filled - 1
        return ~self.ended[self._places(index.clamp(max=newest))] & (index < newest)

    def _windows(self) -> Windows:
        return Windows(
            self.population.hyper,
            follows=self._followed,
            reward=lambda index: self.reward[self._places(index)],
            terminated=lambda index: self.terminated[self._places(index)],
            dt=None,
            following=self._next,
        )
