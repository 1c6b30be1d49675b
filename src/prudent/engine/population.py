"""A population: members of one algorithm (seeds x hyperparameters) that train together.

A :class:`Population` holds the algorithm, the members' settings, their stacked state and the scaling of the data. To
act it takes and returns the units of the log; batches to learn from are in the networks' units.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prudent import algorithms
from prudent.algorithms.shared import schedule
from prudent.algorithms.shared.networks import Networks
from prudent.algorithms.shared.updates import State, initialise_values
from prudent.data import Dataset
from prudent.engine import memory, windows
from prudent.engine.batches import Source, TrainingData
from prudent.engine.members import Member, with_reward_scales
from prudent.engine.scaling import Scaling
from prudent.errors import ConfigError, DataError
from prudent.nn.optim import count_device
from prudent.nn.rng import MemberRng
from prudent.progress import watched
from prudent.types import Batch, Hyper, Metrics, Spec, flatten, unflatten

VALUE_SAMPLES = 10
"""Actions drawn per state for a predicted value."""
MODE, SAMPLE = "mode", "sample"
"""How policies act: by the likeliest action of a state, or by a draw."""


def training_step(algorithm: ModuleType, state: State, batch: Batch, noise: Any, hyper: Hyper) -> Metrics:
    """One step of any algorithm: critics, actor with the updated critics, targets; the last two by their periods."""
    metrics = algorithm.update_critic(state, batch, noise, hyper)
    if schedule.actor_moves(hyper, state.step):
        metrics |= algorithm.update_actor(state, batch, noise, hyper)
    if schedule.targets_follow(hyper, state.step):
        algorithm.update_target(state, hyper)
    state.step += 1
    return metrics


class Population:
    """Members of one algorithm that train together; acts and predicts in the units of the log.

    ``acting`` (:data:`MODE` or :data:`SAMPLE`) says how they are meant to act; checkpoints remember it.

    Raises:
        ConfigError: the algorithm is for the other kind of actions, or the networks do not fit into memory.
    """

    def __init__(
        self,
        algorithm: str,
        members: Sequence[Member],
        spec: Spec,
        scaling: Scaling,
        device: torch.device | str = "cpu",
        dataset: str = "the dataset",
        acting: str = MODE,
    ):
        algorithms.check_actions(algorithm, spec.discrete, dataset)
        self.algorithm_name, self.algorithm, self.acting = algorithm, algorithms.get(algorithm), acting
        self.members, self.spec = tuple(members), spec
        self.device = torch.device(device)
        memory.check_networks(self.algorithm, [m.config for m in members], spec, self.device)
        self.scaling = scaling.to(self.device)
        self.hyper = Hyper([m.config for m in members], self.device)
        self.rngs = {stream: MemberRng([m.seed for m in members], stream, device) for stream in ("sample", "noise")}
        with torch.no_grad():
            init_rng = MemberRng([m.seed for m in members], "init", device)
            self.state: State = self.algorithm.init(spec, self.hyper, init_rng)

    # --- training -------------------------------------------------------------------------------------------------

    def prepare(self, dataset: Dataset) -> tuple[TrainingData, Metrics]:
        """The dataset as training data. Before the first step, also sets the critics' first values (``value_init``).

        Returns the data and the metrics of the last regression step, if there was one.
        """
        start_values = self.state.step == 0 and getattr(self.hyper, "value_init", "zero") != "zero"
        needs = {*self.algorithm.NEEDS, *(("return_to_go",) if start_values else ())}
        data = TrainingData(dataset, self.scaling, self.hyper, self.device, sorted(needs))
        if not start_values:
            return data, {}
        assert data.return_to_go_PR is not None
        # One member at a time: a reduction over (P, rows) would round differently for another P.
        mean_return_P = torch.stack([member.mean() for member in data.return_to_go_PR]).to(self.device)
        metrics = initialise_values(self.state, mean_return_P, self._supervised_steps(data), self.hyper)
        if "return_to_go" not in self.algorithm.NEEDS:
            data.forget_returns()
        return data, metrics

    def _supervised_steps(self, data: Source) -> Iterator[Callable[[], Metrics]]:
        for _ in watched(itertools.count(), "fitting first values", "steps", self.hyper.value_init_steps):
            batch = data.sample(self.rngs["sample"], self.hyper.batch_size)
            yield lambda b=batch: self.update_part("update_supervised", b, self.draw())

    def step(self, data: Source) -> Metrics:
        """One training step; each member draws its own batch from ``data``."""
        return self.update(data.sample(self.rngs["sample"], self.hyper.batch_size))

    def draw(self) -> Any:
        """Fresh noise for one step."""
        return self.algorithm.draw(self.spec, self.hyper, self.rngs["noise"])

    def update(self, batch: Batch) -> Metrics:
        """One training step on a batch (P, B, ...) in the networks' units."""
        return self.update_part("update", batch, self.draw())

    def update_part(self, part: str, batch: Batch, noise: Any) -> Metrics:
        """One function of the algorithm, such as ``update_critic``; ``update`` is the whole :func:`training_step`."""
        if part == "update":
            return training_step(self.algorithm, self.state, batch, noise, self.hyper)
        return getattr(self.algorithm, part)(self.state, batch, noise, self.hyper)

    # --- acting ---------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """P."""
        return len(self.members)

    @property
    def names(self) -> list[str]:
        """The members' names."""
        return [m.name for m in self.members]

    @property
    def discount(self) -> np.ndarray:
        """(P,) float64: gamma."""
        return np.array([member.config.discount for member in self.members])

    @property
    def reward_scale(self) -> np.ndarray:
        """(P,) factor by which rewards were multiplied before learning."""
        return self.hyper.reward_scale.cpu().numpy()

    @property
    def reward_shift(self) -> np.ndarray:
        """(P,) number added to rewards afterwards."""
        return self.hyper.reward_shift.cpu().numpy()

    @torch.no_grad()
    def act_with_log_prob(
        self,
        observation: np.ndarray,
        deterministic: bool = True,
        generator: torch.Generator | None = None,
        member: int | None = None,
        mask: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Actions (P, B, A) in the units of the log, and their log-densities (P, B) in those units.

        ``observation`` (P, B, S). ``member`` picks a single member; P is then 1. All members sample with the same
        noise, so that a comparison of members does not depend on luck, and a member alone acts as in a population.
        Discrete actions are (P, B) int64 with log-probabilities; ``mask`` (P, B, A) bool says which are allowed. A
        policy that takes one action per state has log-probability 0. A diverged member's action is NaN, or if discrete
        one below the first.
        """
        scaled = self.policy_input(observation)
        noise = None if deterministic else _noise(self.spec, scaled, generator)
        action, log_prob = self._act(self._networks(member), scaled, noise, mask)
        if self.spec.discrete:
            action = torch.where(log_prob.isnan(), -1, action)
        if self.algorithm.POLICY == "gaussian":
            log_prob = log_prob - self.scaling.action_half_range.log().sum()
        return self.scaling.unscale_action(action).cpu().numpy(), log_prob.cpu().numpy()

    def act(
        self,
        observation: np.ndarray,
        deterministic: bool = True,
        generator: torch.Generator | None = None,
        mask: np.ndarray | None = None,
    ) -> np.ndarray:
        """The actions of :meth:`act_with_log_prob`."""
        return self.act_with_log_prob(observation, deterministic, generator, mask=mask)[0]

    def _act(
        self, networks: Networks, scaled: Tensor, noise: Tensor | None, mask: np.ndarray | None
    ) -> tuple[Tensor, Tensor]:
        if not self.spec.discrete:
            return self.algorithm.act(networks, scaled, noise)
        allowed = None if mask is None else torch.from_numpy(np.array(mask, dtype=bool)).to(self.device)
        return self.algorithm.act(networks, scaled, noise, allowed)

    @torch.no_grad()
    def q_value(self, observation: np.ndarray, action: np.ndarray, member: int | None = None) -> np.ndarray:
        """The smallest Q of the ensemble for (P, B, S) and (P, B, A) in the units of the log, (P, B).

        Discrete actions are (P, B). ``member`` picks a single member; P is then 1.

        Raises:
            ConfigError: the algorithm has no critic.
        """
        if self.algorithm.q_value is None:
            raise ConfigError(f"{self.algorithm_name} has no critic, so there are no Q-values")
        action_t = _tensor(action, self.device, np.int64 if self.spec.discrete else np.float32)
        scaled = self.policy_input(observation), self.scaling.action(action_t)
        return self.algorithm.q_value(self._networks(member), *scaled).cpu().numpy()

    @torch.no_grad()
    def predicted_value(
        self, observation: np.ndarray, generator: torch.Generator | None = None, mask: np.ndarray | None = None
    ) -> np.ndarray | None:
        """``E_{a ~ pi} min_e Q_e(s, a)`` for (P, B, S), estimated from samples, (P, B); None without a critic.

        In units of the discounted sum of transformed rewards. ``mask`` (P, B, A) as in :meth:`act`.
        """
        if self.algorithm.q_value is None:
            return None
        scaled = self.policy_input(observation).repeat_interleave(VALUE_SAMPLES, dim=1)
        noise = _noise(self.spec, scaled, generator)
        repeated = None if mask is None else np.repeat(mask, VALUE_SAMPLES, axis=1)
        action, _ = self._act(self.state.networks, scaled, noise, repeated)
        q = self.algorithm.q_value(self.state.networks, scaled, action)
        return q.unflatten(1, (-1, VALUE_SAMPLES)).mean(-1).cpu().numpy()

    def _networks(self, member: int | None) -> Networks:
        networks = self.state.networks
        if member is None:
            return networks
        return {name: {key: t[member : member + 1] for key, t in net.items()} for name, net in networks.items()}

    def policy_input(self, observation: np.ndarray) -> Tensor:
        """Observations (..., S) in the units of the log, as the networks get them when they act."""
        if observation.shape[-1] != self.spec.observation_size:
            raise DataError(
                f"observations of shape {observation.shape}, expected {self.spec.observation_size} features"
            )
        return self.scaling.policy_input(torch.from_numpy(np.array(observation)))

    # --- storage ------------------------------------------------------------------------------------------------------

    def member(self, index: int) -> "Population":
        """A population of one: member ``index`` with its part of the state."""
        parts = self.algorithm_name, [self.members[index]], self.spec, self.scaling, self.device
        solo = Population(*parts, acting=self.acting)
        solo.restore({name: _of_member(t, index) for name, t in self.tensors().items()}, self.state.step)
        return solo

    def tensors(self) -> dict[str, Tensor]:
        """Everything that training changes, by dotted name: networks, optimisers, random states."""
        tree = {
            "networks": self.state.networks,
            "optimizers": self.state.optimizers,
            "rng": {stream: rng.state() for stream, rng in self.rngs.items()},
        }
        return flatten(tree)

    def restore(self, tensors: dict[str, Tensor], step: int) -> None:
        """Restore what :meth:`tensors` returned, at ``step``.

        A random state fits one kind of device only. On another one the members get new generators, derived from seed
        and step: just as random, but other numbers than the first device would have drawn.

        Raises:
            ConfigError: names, shapes or types are not those of this population, or a random state is not valid.
        """
        current = self.tensors()
        elsewhere = any(
            current[n].shape != t.shape for n, t in tensors.items() if n in current and n.startswith("rng.")
        )
        for name in current.keys() | tensors.keys():
            if elsewhere and name.startswith("rng."):
                continue
            kinds = [(state[name].shape, state[name].dtype) for state in (current, tensors) if name in state]
            if len(kinds) < 2 or kinds[0] != kinds[1]:
                raise ConfigError(f"the stored state does not fit these settings: {name}")
        # In this population's order: a file may be sorted by name.
        tree = unflatten(
            {n: _place(n, tensors[n], self.device) for n in current if not (elsewhere and n.startswith("rng."))}
        )
        self.state = State(tree["networks"], tree["optimizers"], step)
        for stream, rng in self.rngs.items():
            if elsewhere:
                self.rngs[stream] = MemberRng([m.seed for m in self.members], f"{stream}@{step}", self.device)
            else:
                try:
                    rng.restore(tree["rng"][stream])
                except (RuntimeError, TypeError) as error:
                    raise ConfigError(f"the stored random state of {stream} is not valid") from error

    def renew_generators(self, states: Mapping[str, Tensor]) -> None:
        """Replace the generators by new ones with these random ``states``, (P, bytes) by stream."""
        for stream, state in states.items():
            self.rngs[stream] = MemberRng([m.seed for m in self.members], stream, self.device)
            self.rngs[stream].restore(state)


def _tensor(values: np.ndarray, device: torch.device, dtype: type = np.float32) -> Tensor:
    # A copy, because PyTorch warns about read-only arrays.
    return torch.from_numpy(np.array(values, dtype=dtype)).to(device)


def _noise(spec: Spec, scaled: Tensor, generator: torch.Generator | None) -> Tensor:
    """Noise (P, B, A) for an algorithm's ``act`` on ``scaled`` (P, B, S), the same for every member."""
    draw = torch.rand if spec.discrete else torch.randn
    noise = draw((scaled.shape[1], spec.action_size), generator=generator)
    return noise.to(scaled.device).expand(len(scaled), *noise.shape)


def _place(name: str, tensor: Tensor, device: torch.device) -> Tensor:
    """A copy of a stored tensor where it belongs: random states on the CPU, the rest on the device."""
    if name.startswith("rng."):
        return tensor.clone()
    return tensor.clone().to(count_device(device) if name.endswith(".count") else device)


def _of_member(tensor: Tensor, index: int) -> Tensor:
    """One member's part of a stacked tensor. Adam's step count is common to all members."""
    return tensor if tensor.dim() == 0 else tensor[index : index + 1]


def new_population(dataset: Dataset, algorithm: str, members: Sequence[Member], device: Any) -> Population:
    """An untrained population with the dataset's scaling, and with the ``reward_scale`` that its returns give.

    On data in which every episode is a single step, ``n_steps`` is 1.

    Raises:
        ConfigError: the algorithm is for the other kind of actions, ``return_range`` or ``n_steps`` does not fit the
            data, or networks or batches do not fit into memory.
        DataError: actions lie outside -1 to 1 and no bounds are declared.
    """
    # Before the data are gone through, and before anything that is wrong with their bounds is said.
    algorithms.check_actions(algorithm, dataset.spec.discrete, dataset.name)
    fitted = windows.fitted_to(dataset, members)
    memory.check_batch([member.config for member in fitted], dataset.spec, torch.device(device))
    members = with_reward_scales(fitted, dataset)
    config = members[0].config
    scaling = Scaling.fit(dataset, config.normalize_observations, config.outside_range)
    return Population(algorithm, members, dataset.spec, scaling, device, dataset.name)
