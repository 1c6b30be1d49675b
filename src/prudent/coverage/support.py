"""Which decisions of a policy lie outside the data: :func:`support`.

The episodes of a log fall into folds. A decision made in an episode of one fold is held against the logged decisions of
the others: a row is never compared with its own episode, in which the next state is always near. How far the log's own
decisions lie from those of other episodes is the measure of how far a policy's may.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prudent.config import check_whole
from prudent.coverage.actions import action_table, diverged
from prudent.coverage.neighbours import Neighbourhood
from prudent.coverage.result import STRICT, Measure, SupportResult
from prudent.data import Dataset
from prudent.data.columns import counted
from prudent.engine.population import Population
from prudent.errors import ConfigError, DataError, PrudentError
from prudent.ope import policy as policies
from prudent.ope.policy import ContinuousPolicy, DiscretePolicy, Policy
from prudent.runs.folder import write_json

FOLDS = 5
"""Parts of the episodes, where there are as many: each is held against the others."""

KINDS = ("decision", "state", "action")
"""The scores, as :class:`prudent.coverage.neighbours.Scores` has them."""

QUICK_REFERENCE = 10_000
"""Rows that decisions are held against at the end of every training: a second or two."""


@dataclass(frozen=True)
class Settings:
    """How support is measured."""

    neighbours: int = 10  # k: how many logged decisions have to be near
    level: float = 0.95  # share of held-out logged decisions that the threshold lets pass
    decisions: int = 2_000  # states at which the log's decision and each policy's are looked at, at most
    reference: int = 20_000  # logged decisions that they are held against, at most; beyond that a random sample
    deterministic: bool = True  # the policy's mode, as deployed; off samples from it
    seed: int = 0  # of the division into folds, of the sample of rows and of sampled actions

    def __post_init__(self):
        check_whole(self, 1, "neighbours", "decisions", "reference")
        check_whole(self, 0, "seed")
        if not 0.5 <= self.level < STRICT:
            raise ConfigError(f"level must lie within [0.5, {STRICT:g}), got {self.level:g}")


def support(agent: Any, dataset: Dataset, *, at: Dataset | None = None, **settings: Any) -> SupportResult:
    """Which decisions of a policy lie outside the log ``dataset``.

    Args:
        agent: a population, an agent that holds one, or a :class:`prudent.ope.Policy`, which is taken as it samples.
        dataset: what the policy learned from.
        at: a log whose states the policy decides at, such as its own rollouts; None takes states of ``dataset``. Only
            with it can the policy's states be unusual: those of the log are the measure.
        settings: fields of :class:`Settings`.

    Returns:
        Scores, thresholds and shares outside; equal arguments give equal figures.

    Raises:
        ConfigError: the policy is for other spaces, is not fitted or has diverged, or a setting is out of its range.
        DataError: there are too few episodes or rows to tell.
    """
    asked = Settings(**settings)
    names = _check(agent, dataset)
    if at is not None:
        _check(agent, at)
        if at.fingerprint == dataset.fingerprint:
            raise ConfigError(f"{at.name} is the log itself, in which every state is near: leave out at")
    rng = np.random.default_rng(asked.seed)
    fold_of_episode = _folds(dataset, rng)
    rows = _sample(len(dataset), asked.decisions, rng)
    own_fold = fold_of_episode[_episodes(dataset, rows)]
    place, decided, fold = dataset, rows, own_fold
    if at is not None:
        place, decided = at, _sample(len(at), asked.decisions, rng)
        fold = rng.integers(fold_of_episode.max() + 1, size=at.n_episodes)[_episodes(at, decided)]
    some = _sample(len(dataset), asked.reference, rng)
    mask = place.extra["mask"][decided] if "mask" in place.extra else None
    actions = _actions(agent, place.observation[decided], mask, asked)
    references = list(_references(dataset, fold_of_episode, asked, rng))
    logged = _scores(references, own_fold, dataset.observation[rows], dataset.action[rows][np.newaxis])
    taken = _scores(references, fold, place.observation[decided], actions)
    return SupportResult(
        dataset=dataset.name,
        states=place.name,
        names=names,
        own_states=at is not None,
        settings=asked,
        measures=_measures(dataset, asked, logged, own_fold, taken),
        reference_rows=min(len(known) for known in references),
        rows=decided,
        episodes=_episodes(place, decided),
        actions=action_table(dataset.action[some], actions, dataset.spec),
    )


def write(folder: Path, population: Population, dataset: Dataset) -> None:
    """``support.json`` of a run: what :func:`support` finds, held against fewer rows; or why it cannot be told."""
    try:
        found = support(population, dataset, reference=QUICK_REFERENCE).to_json()
    except PrudentError as error:
        found = {"reading": [f"It is not known which decisions lie outside the data: {error}."]}
    write_json(folder / "support.json", {"step": population.state.step, **found})


def _check(agent: Any, dataset: Dataset) -> tuple[str, ...]:
    """The policies' names, once they fit the dataset."""
    policies.check(policies.as_policy(agent), dataset)
    return (agent.name,) if isinstance(agent, Policy) else tuple(getattr(agent, "population", agent).names)


# --- the log in folds -------------------------------------------------------------------------------------------------


def _folds(dataset: Dataset, rng: np.random.Generator) -> np.ndarray:
    """The fold of each episode, (episodes,): as many of the units in each, in random order."""
    unit, what = dataset.units()
    count = int(unit.max()) + 1
    if count < 2:
        raise DataError(
            f"{dataset.name}: one {what} only, support needs 2 or more: decisions are held against those of others; "
            "flag where episodes end, or collect more"
        )
    return (rng.permutation(count) % min(FOLDS, count))[unit]


def _sample(count: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """So many of the numbers below ``count``, all of them where there are no more; in order."""
    return np.arange(count) if count <= most else np.sort(rng.choice(count, most, replace=False))


def _episodes(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """The episode of each row named: looked up, as a log larger than memory has no room for a number per row."""
    return np.searchsorted(dataset.episode_bounds, rows, side="right") - 1


def _others(dataset: Dataset, own: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """So many rows, at most, of the episodes that are not a fold's ``own`` (episodes,); in order."""
    starts, lengths = dataset.episode_bounds[:-1][~own], dataset.episode_lengths[~own]
    ends = np.cumsum(lengths)
    numbers = _sample(int(ends[-1]), most, rng)
    episode = np.searchsorted(ends, numbers, side="right")
    return starts[episode] + numbers - (ends - lengths)[episode]


def _references(
    dataset: Dataset, fold_of_episode: np.ndarray, asked: Settings, rng: np.random.Generator
) -> Iterator[Neighbourhood]:
    """For each fold what its decisions are held against."""
    for fold in range(int(fold_of_episode.max()) + 1):
        rows = _others(dataset, fold_of_episode == fold, asked.reference, rng)
        if len(rows) < asked.neighbours:
            raise DataError(
                f"{dataset.name}: {counted(len(rows), 'row')} to compare with, fewer than the {asked.neighbours} "
                "neighbours: take fewer neighbours, or collect more"
            )
        yield Neighbourhood(dataset.observation[rows], dataset.action[rows], asked.neighbours)


# --- scores -----------------------------------------------------------------------------------------------------------


def _scores(
    references: list[Neighbourhood], fold: np.ndarray, observation: np.ndarray, action: np.ndarray
) -> dict[str, np.ndarray]:
    """Every score (P, R) of the actions (P, R, A) at the observations (R, S), each row by the reference of its fold."""
    shape = action.shape[:2]
    found = {name: np.empty(shape) for name in KINDS}
    for index, known in enumerate(references):
        own = fold == index
        scores = known.scores(observation[own], action[:, own])
        for name in KINDS:
            found[name][:, own] = getattr(scores, name)
    return found


def _actions(agent: Any, observation: np.ndarray, mask: np.ndarray | None, asked: Settings) -> np.ndarray:
    """What each policy does, (P, R, A), discrete (P, R)."""
    if isinstance(agent, ContinuousPolicy):
        return policies.draws(agent, observation, 1, asked.seed)[np.newaxis, :, 0]
    if isinstance(agent, DiscretePolicy):
        cumulative = policies.probabilities(agent, observation, mask).cumsum(axis=1, dtype=np.float64)
        luck = np.random.default_rng([asked.seed, 2]).random((len(observation), 1)) * cumulative[:, -1:]
        return (cumulative <= luck).sum(axis=1)[np.newaxis]
    population: Population = getattr(agent, "population", agent)
    generator = torch.Generator().manual_seed(asked.seed)
    parts = []
    for own in policies.slices(len(observation)):
        stacked = np.broadcast_to(observation[own], (population.size, *observation[own].shape))
        allowed = None if mask is None else np.broadcast_to(mask[own], (population.size, *mask[own].shape))
        parts.append(population.act(stacked, asked.deterministic, generator, mask=allowed))
    found = np.concatenate(parts, axis=1)
    if diverged(found, population.spec.discrete).all():
        raise ConfigError("every member has diverged: none takes actions that are numbers")
    return found


def _measures(
    dataset: Dataset, asked: Settings, logged: dict[str, np.ndarray], fold: np.ndarray, taken: dict[str, np.ndarray]
) -> dict[str, Measure]:
    least = math.ceil(1 / (1 - asked.level) - 1e-9)
    if len(fold) - np.bincount(fold).max() < least:
        raise DataError(
            f"{dataset.name}: {counted(len(fold), 'row')} for the threshold, too few for level {asked.level:g}, which "
            f"needs {least} or more in {FOLDS - 1} of {FOLDS} folds: lower level, or collect more"
        )
    found = {name: Measure.calibrated(logged[name][0], fold, taken[name], asked.level) for name in KINDS}
    if not all(math.isfinite(measure.threshold) for measure in found.values()):
        raise DataError(
            f"{dataset.name}: more than {1 - asked.level:.0%} of its decisions are actions that were logged fewer than "
            f"{asked.neighbours} times elsewhere: take fewer neighbours, or lower level"
        )
    return found
