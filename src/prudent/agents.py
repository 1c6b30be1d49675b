"""Agents in the manner of scikit-learn: settings in the constructor, ``fit`` returns the agent.

>>> agent = prudent.CQL(alpha=5.0, seeds=[0, 1, 2]).fit(data, steps=100_000)
>>> action = agent.predict(observation)
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from operator import index
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from prudent import algorithms, presets
from prudent.config import check_names, from_json, to_json
from prudent.data import Dataset
from prudent.engine import loop
from prudent.engine.batches import network_batch
from prudent.engine.members import Member, grid, split_settings
from prudent.engine.options import Options
from prudent.engine.population import Population, new_population
from prudent.engine.process import choose_device, prepare_process
from prudent.errors import ConfigError, PrudentError
from prudent.evaluation.rollouts import evaluate_both
from prudent.runs import checkpoint
from prudent.training import start
from prudent.types import Batch


class Agent:
    """A population of one algorithm. Abstract: use ``prudent.CQL``, ``prudent.IQL`` and so on, one per algorithm.

    Args:
        seeds: one member per seed.
        preset: a name from :mod:`prudent.presets` whose settings are the defaults.
        device: auto, cpu, cuda or mps.
        settings: fields of the algorithm's ``Config`` by name; a list for a ``float`` field makes a member of each
            value (times the seeds).

    Every method that acts takes ``member``, the index of the member that does; ``names`` says which is which.

    Raises:
        ConfigError: a setting does not exist or is out of its range.
    """

    algorithm: ClassVar[str]

    def __init__(
        self, *, seeds: Sequence[int] = (0,), preset: str | None = None, device: str = "auto", **settings: Any
    ):
        self.seeds, self.preset, self.device, self.settings = seeds, preset, device, settings
        check_names(algorithms.get(self.algorithm).Config, settings)
        self.population: Population | None = None
        self._noise: list[Any] = []
        self._members()

    # --- settings -------------------------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - scikit-learn's signature
        """The constructor's arguments, unset settings with their defaults."""
        base = self._base()
        values = {f.name: getattr(base, f.name) for f in fields(base)}
        return {"seeds": self.seeds, "preset": self.preset, "device": self.device, **values, **self.settings}

    def set_params(self, **params: Any) -> Self:
        """Change constructor arguments; a fitted population is forgotten.

        Raises:
            ConfigError: a setting does not exist or is out of its range.
        """
        known = {"seeds": self.seeds, "preset": self.preset, "device": self.device, **self.settings}
        self.__dict__.update(type(self)(**(known | params)).__dict__)
        return self

    def __repr__(self) -> str:
        base = self._base()
        settings = {f.name: self.settings.get(f.name, getattr(base, f.name)) for f in fields(base)}
        given = {name: value for name, value in settings.items() if value != getattr(base, name)}
        preset = {} if self.preset is None else {"preset": self.preset}
        inside = ", ".join(
            f"{name}={value!r}" for name, value in {**preset, **given, "seeds": list(self.seeds)}.items()
        )
        return f"{type(self).__name__}({inside})"

    def _base(self) -> Any:
        if self.preset is None:
            return algorithms.get(self.algorithm).Config()
        found = presets.get(self.preset)
        if found.algorithm != self.algorithm:
            raise ConfigError(f"preset {self.preset} is for {found.algorithm}, not for {self.algorithm}")
        return found.config

    def _members(self) -> list[Member]:
        base = self._base()
        # In the order of the fields: members do not depend on the order in which settings were named.
        ordered = {f.name: self.settings[f.name] for f in fields(base) if f.name in self.settings}
        try:
            members = grid(*split_settings(base, ordered), [index(seed) for seed in self.seeds])
            # What cannot be written down and read again has the wrong type: 16.0 rows, "yes" for a flag.
            return [replace(m, config=from_json(type(base), to_json(m.config))) for m in members]
        except TypeError as error:
            raise ConfigError(f"a setting of {type(self).__name__} has a value of the wrong type: {error}") from error

    # --- training -------------------------------------------------------------------------------------------------

    def fit(self, dataset: Dataset, steps: int = 100_000, out: Path | str | None = None, **options: Any) -> Self:
        """Train from the start for ``steps`` steps.

        With ``out`` a complete run folder is left there. ``options`` are fields of
        :class:`prudent.engine.options.Options` (``env``, ``eval_every``, ...); without ``out`` only ``threads`` and
        ``tf32``.

        Raises:
            PrudentError: data, settings and environment do not fit each other, or ``out`` is taken.
        """
        if not isinstance(dataset, Dataset):
            raise ConfigError(f"fit takes a dataset, got {dataset!r}: hand it prudent.load_dataset(...)")
        check_names(Options, {**options, "device": self.device})
        if "device" in options:
            raise ConfigError("device is a setting of the agent: give it to the constructor")
        chosen = Options(steps=steps, device=self.device, **options)
        if out is not None:
            self.population = start.train(dataset, self.algorithm, self._members(), chosen, out)
            return self
        if others := options.keys() - {"threads", "tf32"}:
            raise ConfigError(f"{', '.join(sorted(others))}: only with out, the folder to write to")
        population = new_population(dataset, self.algorithm, self._members(), prepare_process(chosen))
        loop.fit(population, dataset, chosen.steps, loop.Observer())
        self.population = population
        return self

    def update(self, batch: Batch) -> dict[str, np.ndarray]:
        """One training step on a batch from :meth:`prudent.data.Dataset.batches`; metrics by name, each (P,).

        The first call makes the population from the dataset the batch came from, with the first values that
        ``value_init`` asks for. Batches have ``batch_size`` rows, and every member gets the same ones.

        Raises:
            PrudentError: the batch has another size or other shapes, or does not say which dataset it came from.
        """
        return self._update(batch, "update")

    def update_critic(self, batch: Batch) -> dict[str, np.ndarray]:
        """Only the critics' part of a step.

        :meth:`update_critic`, :meth:`update_actor` and :meth:`update_target` in this order on one batch are exactly
        one :meth:`update` (with ``actor_period`` and ``target_period`` at 1; here the caller decides how often).
        """
        return self._update(batch, "update_critic")

    def update_actor(self, batch: Batch) -> dict[str, np.ndarray]:
        """Only the actor's and the temperature's part of a step."""
        return self._update(batch, "update_actor")

    def update_target(self) -> None:
        """Only the target networks' part of a step; it counts the step, as the last of the three parts."""
        population = self._fitted()
        population.algorithm.update_target(population.state, population.hyper)
        population.state.step += 1

    def _update(self, batch: Batch, part: str) -> dict[str, np.ndarray]:
        if self.population is None:
            if batch.source is None:
                raise PrudentError("this batch does not say which dataset it came from: take it from Dataset.batches")
            device = prepare_process(Options(device=self.device))
            population = new_population(batch.source, self.algorithm, self._members(), device)
            network_batch(population, batch)
            if getattr(population.hyper, "value_init", "zero") != "zero":
                population.prepare(batch.source)
            self.population = population
        population = self.population
        scaled = network_batch(population, batch)
        # One draw per step, as in update: the actor's part takes what the critics' part left of it.
        if part != "update_actor" or not self._noise:
            self._noise = [population.draw()]
        noise = self._noise[0]
        if part != "update_critic":
            self._noise = []
        metrics = population.update_part(part, scaled, noise)
        return {name: value.cpu().numpy() for name, value in metrics.items()}

    # --- use ------------------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """The members' names, such as ``alpha=5,seed=0``."""
        return self.population.names if self.population else [m.name for m in self._members()]

    def predict(self, observation: np.ndarray, member: int = 0, mask: np.ndarray | None = None) -> np.ndarray:
        """The deterministic action for one observation (S,) -> (A,) or several (B, S) -> (B, A), in the log's units.

        Discrete actions are numbers, () and (B,); ``mask`` (A,) or (B, A) bool says which are allowed.

        Raises:
            PrudentError: nothing was trained or loaded, or shapes do not fit.
        """
        return self.act(observation, deterministic=True, member=member, mask=mask)[0]

    def act(
        self,
        observation: np.ndarray,
        deterministic: bool = False,
        member: int = 0,
        generator: torch.Generator | None = None,
        mask: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """An action and its log-density in the log's units: (S,) -> (A,) and (), (B, S) -> (B, A) and (B,).

        Discrete actions are numbers, () and (B,), with log-probabilities; ``mask`` (A,) or (B, A) bool says which are
        allowed. ``generator`` makes a sampled action reproducible.

        Raises:
            PrudentError: nothing was trained or loaded, or shapes do not fit.
        """
        rows, single = self._rows(observation, "observation_size", "observation")
        allowed = None if mask is None else self._mask(mask, len(rows))
        found = self._fitted().act_with_log_prob(rows[None], deterministic, generator, self._index(member), allowed)
        action, log_prob = found[0][0], found[1][0]
        return (action[0], log_prob[0]) if single else (action, log_prob)

    def q_value(self, observation: np.ndarray, action: np.ndarray, member: int = 0) -> np.ndarray:
        """The smallest Q of the critics, (S,) and (A,) -> (), (B, S) and (B, A) -> (B,); discrete actions () and (B,).

        In units of the discounted sum of rewards (transformed, if the settings transform them).

        Raises:
            PrudentError: nothing was trained or loaded, shapes do not fit, or there is no critic.
        """
        observations, single = self._rows(observation, "observation_size", "observation")
        if self._fitted().spec.discrete:
            actions = self._numbers(action)
        else:
            actions, _ = self._rows(action, "action_size", "action")
        if len(actions) != len(observations):
            raise PrudentError(f"{len(observations)} observations and {len(actions)} actions: give as many of each")
        q = self._fitted().q_value(observations[None], actions[None], self._index(member))[0]
        return q[0] if single else q

    def evaluate(self, env: str, episodes: int = 10, seed: int = 0) -> dict[str, Any]:
        """Run the policies in a Gymnasium environment; the keys of ``prudent evaluate --json``."""
        return evaluate_both(self._fitted(), env, episodes=episodes, seed=seed).summary()

    def save(self, path: Path | str) -> Path:
        """Write a checkpoint under ``path`` (``path/checkpoints/step_N``) that :func:`load` reads, in place of an
        earlier one.

        Raises:
            PrudentError: nothing was trained or loaded, or ``path`` is a run folder, whose checkpoints are its own.
        """
        place, population = Path(path), self._fitted()
        if (place / "config.json").exists():
            raise ConfigError(f"{place} is the folder of a run, which keeps its own checkpoints: choose another")
        return checkpoint.save_only(place, population)

    def _fitted(self) -> Population:
        if self.population is None:
            raise PrudentError(f"this {type(self).__name__} has not been trained: call fit, update or prudent.load")
        return self.population

    def _index(self, member: int) -> int:
        if not 0 <= member < self._fitted().size:
            raise PrudentError(f"member {member} does not exist: there are {self._fitted().size}, counted from 0")
        return member

    def _numbers(self, action: Any) -> np.ndarray:
        numbers = np.atleast_1d(np.asarray(action.cpu() if isinstance(action, Tensor) else action))
        size = self._fitted().spec.action_size
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not ((numbers >= 0) & (numbers < size)).all():
            raise PrudentError(f"actions must be whole numbers from 0 to {size - 1}, of shape () or (rows,)")
        return numbers.astype(np.int64)

    def _mask(self, mask: Any, rows: int) -> np.ndarray:
        spec = self._fitted().spec
        allowed = np.atleast_2d(np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask)).astype(bool)
        if not spec.discrete or allowed.shape != (rows, spec.action_size):
            wanted = f"({rows}, {spec.action_size})" if spec.discrete else "none: actions are continuous"
            raise PrudentError(f"mask has shape {allowed.shape}, expected {wanted}")
        forbidden = np.flatnonzero(~allowed.any(axis=1))
        if len(forbidden):
            raise PrudentError(f"the mask of row {forbidden[0]} forbids every action")
        return allowed[None]

    def _rows(self, values: Any, size_name: str, what: str) -> tuple[np.ndarray, bool]:
        array = np.asarray(values.cpu() if isinstance(values, Tensor) else values, dtype=np.float32)
        size = getattr(self._fitted().spec, size_name)
        if array.ndim not in (1, 2) or array.shape[-1] != size:
            raise PrudentError(f"{what} has shape {array.shape}, expected ({size},) or (rows, {size})")
        rows = np.atleast_2d(array)
        broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(broken):
            where = "" if array.ndim == 1 else f" in {len(broken)} of {len(rows)} rows, the first is row {broken[0]}"
            raise PrudentError(f"{what} is NaN or infinite{where}: a policy has no answer to that")
        return rows, array.ndim == 1


def _agent_type(name: str) -> type[Agent]:
    title = algorithms.get(name).TITLE
    doc = f"{title}; settings are the fields of :class:`prudent.algorithms.{name}.Config`."
    return type(class_name(title), (Agent,), {"algorithm": name, "__doc__": doc, "__module__": __name__})


def class_name(title: str) -> str:
    """``TD3BC`` for ``TD3+BC``."""
    return "".join(c for c in title if c.isalnum())


AGENTS: dict[str, type[Agent]] = {name: _agent_type(name) for name in algorithms.names()}
"""The agent of each algorithm, by the algorithm's name."""


def __getattr__(name: str) -> type[Agent]:
    for agent in AGENTS.values():
        if agent.__name__ == name:
            return agent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load(path: Path | str, device: str = "auto") -> Agent:
    """The agent saved at ``path``: a run folder, what :meth:`Agent.save` wrote, or one checkpoint.

    Raises:
        PrudentError: there is nothing that verifies.
    """
    population, _ = checkpoint.load(path, str(choose_device(device)))
    agent = AGENTS[population.algorithm_name]()
    configs = [m.config for m in population.members]
    for f in fields(configs[0]):
        values = list(dict.fromkeys(getattr(c, f.name) for c in configs))
        if values != [f.default]:
            agent.settings[f.name] = values if len(values) > 1 else values[0]
    agent.seeds = list(dict.fromkeys(m.seed for m in population.members))
    agent.device, agent.population = device, population
    return agent
