"""Which decisions of a policy lie outside the data: :func:`support`.

The episodes of a log are divided into folds. A decision in an episode of one fold is compared with the logged decisions
of the other folds, never with its own episode, where the next state is always near. The distances of the log's own
decisions give the threshold for those of the policy.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prudent.config import check_names, check_whole
from prudent.coverage.actions import action_table, diverged
from prudent.coverage.neighbours import Neighbourhood
from prudent.coverage.result import STRICT, Measure, SupportResult
from prudent.data import Dataset
from prudent.data.columns import counted
from prudent.engine.population import Population
from prudent.errors import ConfigError, DataError, PrudentError
from prudent.ope import policy as policies
from prudent.ope.policy import ContinuousPolicy, DiscretePolicy, Policy
from prudent.progress import Wait
from prudent.runs.folder import write_json

FOLDS = 5
"""Folds of the episodes; fewer where there are fewer episodes."""

KINDS = ("decision", "state", "action")
"""The scores, as in :class:`prudent.coverage.neighbours.Scores`."""

QUICK_REFERENCE = 10_000
"""Logged decisions to compare with at the end of every training, which takes a second or two."""


@dataclass(frozen=True)
class Settings:
    """How support is measured."""

    neighbours: int = 10  # k: the score of a decision is its distance to the k-th nearest logged decision
    level: float = 0.95  # share of held-out logged decisions that lie below the threshold
    decisions: int = 2_000  # largest number of states at which the log's and each policy's decisions are scored
    reference: int = 20_000  # largest number of logged decisions to compare with; a random sample if there are more
    deterministic: bool = True  # take the policy's mode, as deployed; off samples from it
    seed: int = 0  # of the folds, the sampled rows and the sampled actions

    def __post_init__(self):
        check_whole(self, 1, "neighbours", "decisions", "reference")
        check_whole(self, 0, "seed")
        if not 0.5 <= self.level < STRICT:
            raise ConfigError(f"level must lie within [0.5, {STRICT:g}), got {self.level:g}")


def support(agent: Any, dataset: Dataset, *, at: Dataset | None = None, **settings: Any) -> SupportResult:
    """Which decisions of a policy lie outside the log ``dataset``.

    Args:
        agent: a population, an agent that holds one, or a :class:`prudent.ope.Policy`, which always samples.
        dataset: the log that the policy learned from.
        at: a log with the states at which the policy decides, such as its own rollouts; None takes states of
            ``dataset``. The states of ``dataset`` itself are never unusual, so only ``at`` can show unusual states.
        settings: fields of :class:`Settings`.

    Returns:
        Scores, thresholds and shares outside; equal arguments give equal figures.

    Raises:
        ConfigError: the policy is for other spaces, is not fitted or has diverged, or a setting is out of its range.
        DataError: there are too few episodes or rows.
    """
    check_names(Settings, settings)
    options = Settings(**settings)
    policies.check(policies.as_policy(agent), dataset)
    if at is not None:
        policies.check(policies.as_policy(agent), at)
        if at.fingerprint == dataset.fingerprint:
            raise ConfigError(f"{at.name} is the log itself, where no state is unusual: leave out at")
    rng = np.random.default_rng(options.seed)
    fold_of_episode = _fold_of_episode(dataset, rng)
    logged = states = _States(dataset, _sample(len(dataset), options.decisions, rng), fold_of_episode)
    if at is not None:
        rows = _sample(len(at), options.decisions, rng)
        states = _States(at, rows, rng.integers(fold_of_episode.max() + 1, size=at.n_episodes))
    table_rows = _sample(len(dataset), options.reference, rng)
    actions = _policy_actions(agent, states, options)
    neighbourhoods = list(_neighbourhoods(dataset, fold_of_episode, options, rng))
    logged_scores = _scores(neighbourhoods, logged, _logged(dataset, logged.rows)[np.newaxis])
    policy_scores = _scores(neighbourhoods, states, actions)
    return SupportResult(
        dataset=dataset.name,
        states=states.log.name,
        names=_names(agent),
        own_states=at is not None,
        settings=options,
        measures=_measures(dataset, options, logged_scores, logged.fold, policy_scores),
        reference_rows=min(len(neighbourhood) for neighbourhood in neighbourhoods),
        rows=states.rows,
        episodes=states.episodes,
        actions=action_table(_logged(dataset, table_rows), actions, dataset.spec, dataset.meanings.labels),
    )


def write(folder: Path, population: Population, dataset: Dataset) -> None:
    """Write ``support.json`` of a run: :func:`support` with fewer logged decisions, or why it cannot be measured."""
    try:
        content = support(population, dataset, reference=QUICK_REFERENCE).to_json()
    except PrudentError as error:
        content = {"reading": [f"Support cannot be measured: {error}."]}
    write_json(folder / "support.json", {"step": population.state.step, **content})


def _names(agent: Any) -> tuple[str, ...]:
    return (agent.name,) if isinstance(agent, Policy) else tuple(getattr(agent, "population", agent).names)


# --- the log in folds -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _States:
    """The states at which decisions are scored: ``rows`` (R,) of a log, and the fold of each of its episodes."""

    log: Dataset
    rows: np.ndarray
    fold_of_episode: np.ndarray

    @property
    def episodes(self) -> np.ndarray:
        """(R,): the episode of each row."""
        # Not episode_of_row: a log larger than memory has no room for a number per row.
        return np.searchsorted(self.log.episode_bounds, self.rows, side="right") - 1

    @property
    def fold(self) -> np.ndarray:
        """(R,): each row is compared with the other folds."""
        return self.fold_of_episode[self.episodes]


def _fold_of_episode(dataset: Dataset, rng: np.random.Generator) -> np.ndarray:
    """The fold of each episode, (episodes,); units are shuffled and divided evenly, and stay whole."""
    (unit, kind), count = dataset.units(), dataset.n_units
    if count < 2:
        raise DataError(
            f"{dataset.name}: one {kind} only, support needs 2 or more, since it compares decisions between them: "
            "flag where episodes end, or collect more"
        )
    return (rng.permutation(count) % min(FOLDS, count))[unit]


def _sample(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """``size`` different numbers below ``count``, or all of them if there are fewer; in order."""
    return np.arange(count) if count <= size else np.sort(rng.choice(count, size, replace=False))


def sampled_rows(dataset: Dataset, size: int, seed: int) -> np.ndarray:
    """``size`` rows of a log at most, from all episodes alike; in order."""
    return _sample(len(dataset), size, np.random.default_rng([seed, 3]))


def _neighbourhoods(
    dataset: Dataset, fold_of_episode: np.ndarray, options: Settings, rng: np.random.Generator
) -> Iterator[Neighbourhood]:
    """For each fold the logged decisions of the other folds."""
    for fold in range(int(fold_of_episode.max()) + 1):
        rows = _sample_episodes(dataset, fold_of_episode != fold, options.reference, rng)
        if len(rows) < options.neighbours:
            raise DataError(
                f"{dataset.name}: {counted(len(rows), 'row')} to compare with, fewer than the {options.neighbours} "
                "neighbours: take fewer neighbours, or collect more"
            )
        yield Neighbourhood(dataset.observation[rows], _logged(dataset, rows), options.neighbours)


def _sample_episodes(dataset: Dataset, selected: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """``size`` rows at most of the ``selected`` (episodes,) bool; in order."""
    starts, lengths = dataset.episode_bounds[:-1][selected], dataset.episode_lengths[selected]
    ends = np.cumsum(lengths)
    numbers = _sample(int(ends[-1]), size, rng)
    episode = np.searchsorted(ends, numbers, side="right")
    return starts[episode] + numbers - (ends - lengths)[episode]


# --- scores -----------------------------------------------------------------------------------------------------------


def _scores(neighbourhoods: list[Neighbourhood], states: _States, action: np.ndarray) -> dict[str, np.ndarray]:
    """Every score (P, R) of the actions (P, R, A) at the states, each compared with the other folds."""
    observation, fold = states.log.observation[states.rows], states.fold
    table = {kind: np.empty(action.shape[:2]) for kind in KINDS}
    with Wait("comparing decisions with the log", len(observation), "states") as wait:
        for index, neighbourhood in enumerate(neighbourhoods):
            rows = fold == index
            scores = neighbourhood.scores(observation[rows], action[:, rows], wait.advance)
            for kind in KINDS:
                table[kind][:, rows] = getattr(scores, kind)
    return table


def _logged(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """The logged actions in some rows, (R, A), discrete (R,), counted from 0."""
    return dataset.spec.index_of(dataset.action[rows])


def _policy_actions(agent: Any, states: _States, options: Settings) -> np.ndarray:
    """The actions of each policy at the states, (P, R, A), discrete (P, R), counted from 0; -1 of a diverged one."""
    log, rows = states.log, states.rows
    observation, mask = log.observation[rows], log.extra["mask"][rows] if "mask" in log.extra else None
    if isinstance(agent, ContinuousPolicy):
        return policies.draws(agent, observation, 1, options.seed)[np.newaxis, :, 0]
    if isinstance(agent, DiscretePolicy):
        cumulative = policies.probabilities(agent, observation, mask).cumsum(axis=1, dtype=np.float64)
        drawn = np.random.default_rng([options.seed, 2]).random((len(observation), 1)) * cumulative[:, -1:]
        return (cumulative <= drawn).sum(axis=1)[np.newaxis]
    population: Population = getattr(agent, "population", agent)
    generator = torch.Generator().manual_seed(options.seed)
    parts = []
    for block in policies.slices(len(observation)):
        stacked = np.broadcast_to(observation[block], (population.size, *observation[block].shape))
        allowed = None if mask is None else np.broadcast_to(mask[block], (population.size, *mask[block].shape))
        parts.append(population.act(stacked, options.deterministic, generator, mask=allowed))
    actions = population.spec.index_of(np.concatenate(parts, axis=1))
    if diverged(actions, population.spec.discrete).all():
        raise ConfigError("every member has diverged: their actions are not numbers")
    return actions


def _measures(
    dataset: Dataset,
    options: Settings,
    logged: dict[str, np.ndarray],
    fold: np.ndarray,
    policy: dict[str, np.ndarray],
) -> dict[str, Measure]:
    """The scores with thresholds from the ``logged`` ones; ``fold`` (R,) is that of each logged decision."""
    needed = math.ceil(1 / (1 - options.level) - 1e-9)
    if len(fold) - np.bincount(fold).max() < needed:
        raise DataError(
            f"{dataset.name}: {counted(len(fold), 'row')} for the threshold, too few for level {options.level:g}, "
            f"which needs {needed} or more in {FOLDS - 1} of {FOLDS} folds: lower level, or collect more"
        )
    measures = {kind: Measure.calibrated(logged[kind][0], fold, policy[kind], options.level) for kind in KINDS}
    if not all(math.isfinite(measure.threshold) for measure in measures.values()):
        raise DataError(
            f"{dataset.name}: in more than {1 - options.level:.0%} of its decisions the action was logged fewer than "
            f"{options.neighbours} times in the other folds: take fewer neighbours, or lower level"
        )
    return measures
