"""Agents in the manner of scikit-learn: settings in the constructor, ``fit`` returns the agent.

>>> agent = prudent.CQL(alpha=5.0, seeds=[0, 1, 2]).fit(data, steps=100_000)
>>> action = agent.predict(observation)
"""

import warnings
from collections.abc import Sequence
from dataclasses import fields, replace
from operator import index
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from prudent import algorithms, presets
from prudent.algorithms import Given, class_name
from prudent.config import check_names, from_json, to_json
from prudent.data import Dataset
from prudent.data.encoding import Encoding
from prudent.engine.inputs import mask_rows, member_index
from prudent.engine.members import Member, chosen_settings, grid, split_settings
from prudent.engine.observations import action_rows, observation_rows
from prudent.engine.outside import set_outside_range
from prudent.engine.population import MODE, Population
from prudent.engine.process import choose_device
from prudent.errors import ConfigError, PrudentError, StartsAnewWarning
from prudent.evaluation.rollouts import evaluate_both
from prudent.progress import quiet
from prudent.runs import checkpoint, copies, tuned
from prudent.training import in_memory, single_steps, start
from prudent.training.going_on import GoOn, origin_of, prepared
from prudent.types import Batch


class Agent:
    """A population of one algorithm. Use ``prudent.CQL``, ``prudent.IQL`` and so on, one class per algorithm.

    Args:
        seeds: one member per seed.
        preset: a name from :mod:`prudent.presets`; its settings replace the defaults.
        device: auto, cpu, cuda or mps.
        settings: fields of the algorithm's ``Config`` by name. A list for a ``float`` field makes one member per value
            and seed.

    Every method that acts takes ``member``, the index of the member that acts; ``names`` lists the members.

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
        self._stored_in: Path | None = None  # where the present weights were loaded from or saved to
        self._members()

    # --- settings -------------------------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - scikit-learn's signature
        """The constructor's arguments, unset settings with their defaults."""
        base = self._base()
        values = {f.name: getattr(base, f.name) for f in fields(base)}
        return {"seeds": self.seeds, "preset": self.preset, "device": self.device, **values, **self.settings}

    def set_params(self, **params: Any) -> Self:
        """Change constructor arguments. What was trained is dropped, unless there are none.

        Raises:
            ConfigError: a setting does not exist or is out of its range.
        """
        known = {"seeds": self.seeds, "preset": self.preset, "device": self.device, **self.settings}
        if params:
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
        preset = presets.get(self.preset)
        if preset.algorithm != self.algorithm:
            raise ConfigError(f"preset {self.preset} is for {preset.algorithm}, not for {self.algorithm}")
        return preset.config

    def _members(self) -> list[Member]:
        base = self._base()
        # Sorted by field, so that the order of keyword arguments does not matter.
        ordered = {f.name: self.settings[f.name] for f in fields(base) if f.name in self.settings}
        try:
            members = grid(*split_settings(base, ordered), [index(seed) for seed in self.seeds])
            # Through JSON and back: this finds values of the wrong type, such as 16.0 rows or "yes" for a flag.
            return [replace(m, config=from_json(type(base), to_json(m.config))) for m in members]
        except TypeError as error:
            raise ConfigError(f"a setting of {type(self).__name__} has a value of the wrong type: {error}") from error

    # --- training -------------------------------------------------------------------------------------------------

    def fit(
        self,
        dataset: Dataset,
        steps: int = 100_000,
        out: Path | str | None = None,
        *,
        warm_start: bool = False,
        scaling: str = "old",
        optimizer: str = "kept",
        callbacks: Sequence[Any] = (),
        progress: bool = True,
        **options: Any,
    ) -> Self:
        """Train for ``steps`` steps, from new weights.

        With ``warm_start`` training goes on instead: ``steps`` more from the present weights, on ``dataset``, which may
        hold new data for the same spaces. ``scaling`` (old or new) and ``optimizer`` (kept or fresh) are explained in
        :class:`prudent.training.going_on.GoOn`. Settings and action bounds stay as they are.

        With ``out`` a complete run folder is left there. ``options`` are fields of
        :class:`prudent.engine.options.Options` (``env``, ``eval_every``, ...); without ``out`` only ``threads`` and
        ``tf32``, and ``log_every`` with ``callbacks`` (:class:`prudent.Callback`). With ``progress``, whatever takes
        more than five seconds says how long it still takes.

        Raises:
            PrudentError: data, settings and environment do not fit each other, ``out`` is taken, or there is nothing
                for ``warm_start`` to go on from. StartsAnewWarning: there is something, and ``warm_start`` is off.
        """
        chosen = start.options_of_fit(dataset, self.device, out, {"steps": steps, **options}, callbacks)
        plan, trained = GoOn(scaling, optimizer), self._fitted() if warm_start else None
        if trained is not None:
            plan = replace(plan, origin=origin_of(self._stored_in, trained.state.step))
            chosen = replace(chosen, steps=chosen.steps + trained.state.step)
        else:
            plan.check_unused()
            if self.population is not None:
                warnings.warn(_ANEW.format(type(self).__name__), StartsAnewWarning, stacklevel=2)
        members = self._members() if trained is None else trained.members
        with quiet(not progress):
            if out is not None:
                parts = dataset, self.algorithm, members, chosen, Path(out)
                self.population = start.train(start.Request(*parts, None, True, trained, plan, callbacks))
            elif trained is not None:
                # Before it trains: an interrupted one keeps the steps made so far.
                self.population = prepared(trained, dataset, plan, trained.device)
                in_memory.go_on(self.population, dataset, chosen, callbacks)
            else:
                self.population = in_memory.train(dataset, self.algorithm, members, chosen, callbacks)
        self._stored_in = None if out is None else Path(out)
        return self

    def update(self, batch: Batch) -> dict[str, np.ndarray]:
        """One training step on a batch from :meth:`prudent.data.Dataset.batches`; metrics by name, each (P,).

        The first call makes the population from the dataset that the batch came from, and initialises values as
        ``value_init`` says. Batches have ``batch_size`` rows; every member gets the same rows.

        Raises:
            PrudentError: the batch has another size or other shapes, or does not say which dataset it came from.
        """
        return self._update(batch, "update")

    def update_critic(self, batch: Batch) -> dict[str, np.ndarray]:
        """Only the critics' part of a step.

        :meth:`update_critic`, :meth:`update_actor` and :meth:`update_target`, called in this order on one batch, equal
        one :meth:`update` with ``actor_period`` and ``target_period`` at 1. Here the caller decides how often
        each runs.
        """
        return self._update(batch, "update_critic")

    def update_actor(self, batch: Batch) -> dict[str, np.ndarray]:
        """Only the actor's and the temperature's part of a step."""
        return self._update(batch, "update_actor")

    def update_target(self) -> None:
        """Only the target networks' part of a step. As the last of the three parts it counts the step."""
        population = self._fitted()
        population.algorithm.update_target(population.state, population.hyper)
        population.state.step += 1

    def _update(self, batch: Batch, part: str) -> dict[str, np.ndarray]:
        if self.population is None:
            self.population = single_steps.begin(batch, self.algorithm, self._members(), self.device)
        self._stored_in = None
        return single_steps.take(self.population, batch, part, self._noise)

    # --- use ------------------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """The members' names, such as ``alpha=5,seed=0``."""
        return self.population.names if self.population else [m.name for m in self._members()]

    @property
    def encoding(self) -> Encoding | None:
        """What columns and actions are called in the data: ``encoding.features``, ``encoding.label(action)``."""
        return self._fitted().scaling.encoding

    def predict(self, observation: Any, member: int = 0, mask: np.ndarray | None = None) -> np.ndarray:
        """The action: one observation (S,) -> (A,), several (B, S) -> (B, A), in the log's units.

        It is the likeliest one, unless ``population.acting`` is ``sample``, as with some policies of ``prudent tune``.
        An observation may have names: a dictionary of the log's columns, or several (see :attr:`encoding`). Discrete
        actions are the log's numbers, () and (B,). ``mask`` (A,) or (B, A) bool says which are allowed.

        Raises:
            PrudentError: nothing was trained or loaded, or shapes do not fit.
        """
        return self.act(observation, self._fitted().acting == MODE, member, mask=mask)[0]

    def act(
        self,
        observation: Any,
        deterministic: bool = False,
        member: int = 0,
        generator: torch.Generator | None = None,
        mask: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """An action and its log-density in the log's units: (S,) -> (A,) and (), (B, S) -> (B, A) and (B,).

        Discrete actions are the log's numbers, () and (B,), with log-probabilities. ``mask`` (A,) or (B, A) bool says
        which are allowed. ``generator`` makes a sampled action reproducible.

        Raises:
            PrudentError: nothing was trained or loaded, or shapes do not fit.
        """
        population = self._fitted()
        if not isinstance(generator, torch.Generator | None):
            raise ConfigError(f"generator must be a torch.Generator, got {generator!r}")
        rows, single = observation_rows(population, observation)
        allowed = None if mask is None else mask_rows(mask, len(rows), population.spec)[None]
        action_1B, log_prob_1B = population.act_with_log_prob(
            rows[None], deterministic, generator, member_index(member, population.size), allowed
        )
        action, log_prob = action_1B[0], log_prob_1B[0]
        return (action[0], log_prob[0]) if single else (action, log_prob)

    def q_value(self, observation: Any, action: Any, member: int = 0) -> np.ndarray:
        """The smallest Q of the critics, (S,) and (A,) -> (), (B, S) and (B, A) -> (B,); discrete actions () and (B,).

        The unit is the discounted sum of rewards, transformed if the settings transform them.

        Raises:
            PrudentError: nothing was trained or loaded, shapes do not fit, or there is no critic.
        """
        population = self._fitted()
        observations, single = observation_rows(population, observation)
        actions = action_rows(population, action, len(observations))
        q = population.q_value(observations[None], actions[None], member_index(member, population.size))[0]
        return q[0] if single else q

    def evaluate(self, env: str, episodes: int = 10, seed: int = 0) -> dict[str, Any]:
        """Run the policies in a Gymnasium environment; the result has the keys of ``prudent evaluate --json``."""
        return evaluate_both(self._fitted(), env, episodes=episodes, seed=seed).summary()

    def save(self, path: Path | str) -> Path:
        """Write a checkpoint to ``path/checkpoints/step_N`` for :func:`load`. It replaces an earlier one.

        Raises:
            PrudentError: nothing was trained or loaded, or ``path`` is the folder of a run.
        """
        folder, population = Path(path), self._fitted()
        if (folder / "config.json").exists() or tuned.is_tuned(folder):
            raise ConfigError(f"{folder} is the folder of a run, which keeps its own checkpoints: choose another")
        return checkpoint.save_only(folder, population)

    def _fitted(self) -> Population:
        if self.population is None:
            raise PrudentError(f"this {type(self).__name__} has not been trained: call fit, update or prudent.load")
        return self.population


_ANEW = (
    "this {} was trained or loaded before: fit drops that and starts from new weights; to go on from the present ones, "
    "fit(..., warm_start=True)"
)


def _agent_type(name: str) -> type[Agent]:
    title = algorithms.get(name).TITLE
    doc = f"{title}; settings are the fields of :class:`prudent.algorithms.{name}.Config`."
    return type(class_name(title), (Agent,), {"algorithm": name, "__doc__": doc, "__module__": __name__})


copies.register()


AGENTS: dict[str, type[Agent]] = {name: _agent_type(name) for name in algorithms.names()}
"""The agent of each algorithm, by the algorithm's name."""


def __getattr__(name: str) -> type[Agent]:
    for agent in AGENTS.values():
        if agent.__name__ == name:
            return agent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def agent_class(algorithm: Given) -> type[Agent]:
    """The agent of an algorithm of your own, from the path of its file or its module; or of one that has a name.

    Raises:
        ConfigError: the file raised, or does not keep the contract of :mod:`prudent.algorithms`.
    """
    name = algorithms.take(algorithm)
    if name not in AGENTS or algorithms.code_of(algorithms.get(name)) is not None:
        AGENTS[name] = _agent_type(name)
    return AGENTS[name]


def load(
    path: Path | str, device: str = "auto", outside_range: str | None = None, algorithm: Given | None = None
) -> Agent:
    """The agent saved at ``path``: a run folder, a tuned folder, what :meth:`Agent.save` wrote, or one checkpoint.

    ``outside_range`` (``clip``, ``warn`` or ``refuse``) replaces the stored setting of that name. ``algorithm`` is the
    file or module of an algorithm of your own that it was trained with.

    Raises:
        PrudentError: there is nothing that verifies, or a tuning keeps no policy; the line has its verdict.
    """
    if str(path).startswith("hf://"):
        raise ConfigError(f"{path} is an exported policy, which acts without an agent: prudent.hub.load({str(path)!r})")
    if algorithm is not None:
        algorithms.take(algorithm)
    population, _ = checkpoint.load(path, str(choose_device(device)))
    if outside_range is not None:
        set_outside_range(population, outside_range)
    agent = agent_class(population.algorithm_name)()
    agent.settings = chosen_settings(population.members)
    agent.seeds = list(dict.fromkeys(m.seed for m in population.members))
    agent.device, agent.population, agent._stored_in = device, population, Path(path)
    return agent
