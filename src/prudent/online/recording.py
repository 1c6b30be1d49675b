"""Transitions of policies in environments that run at once, recorded as a dataset."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from prudent.data import Dataset
from prudent.engine import memory
from prudent.online.interaction import Actor, Interaction, Transition, env_seeds
from prudent.training.progress import Progress
from prudent.types import Spec

MOST_ENVS = 8
"""Environments at once that are chosen where none are named; with more, a transition takes hardly less time."""
ROWS_PER_ENV = 10_000
"""Rows per environment from which another one is added: the end of the rows cuts an episode of each."""


def envs_for(rows: int) -> int:
    """How many environments at once record ``rows`` transitions."""
    return max(1, min(MOST_ENVS, rows // ROWS_PER_ENV))


class TransitionLog:
    """Transitions of K environments that run at once, with room for ``capacity`` steps of all of them.

    The dataset has each episode in one piece. Episodes are in the order in which they began, those that began at the
    same step in the order of their environments.
    """

    def __init__(self, spec: Spec, capacity: int, envs: int = 1):
        self.spec, self.capacity, self.envs, self.steps = spec, capacity, envs, 0
        size = 16 * spec.observation_size + (8 if spec.discrete else 4 * spec.action_size) + 6
        memory.check(capacity * envs * size, f"{capacity * envs} transitions", "take fewer steps")
        # Untouched memory costs nothing, and float64 loses no digit of an environment that has it.
        lead = (capacity, envs)
        features = (*lead, spec.observation_size)
        self.table: dict[str, np.ndarray] = {
            "observation": np.empty(features),
            "action": np.empty(lead, np.int64) if spec.discrete else np.empty((*lead, spec.action_size), "f4"),
            "reward": np.empty(lead, np.float32),
            "next_observation": np.empty(features),
            "terminated": np.empty(lead, bool),
            "truncated": np.empty(lead, bool),
        }
        self.masks: dict[str, np.ndarray] = {}

    def add(self, step: Transition) -> None:
        """Store one step of every environment."""
        for name, column in self.table.items():
            column[self.steps] = getattr(step, name)
        if step.mask is not None and step.next_mask is not None:
            if not self.masks:
                shape = (self.capacity, self.envs, self.spec.action_size)
                self.masks = {"mask": np.ones(shape, bool), "next_mask": np.ones(shape, bool)}
            self.masks["mask"][self.steps], self.masks["next_mask"][self.steps] = step.mask, step.next_mask
        self.steps += 1

    def extend(self, table: Mapping[str, np.ndarray]) -> None:
        """Store steps that :meth:`part` gave."""
        count = len(table["reward"])
        for name, column in self.table.items():
            column[self.steps : self.steps + count] = table[name]
        self.steps += count

    def part(self, first: int) -> dict[str, np.ndarray]:
        """The columns from step ``first`` on, (steps, K, ...), without masks."""
        return {name: column[first : self.steps] for name, column in self.table.items()}

    def transitions(self) -> Iterator[Transition]:
        """The steps one after the other, without masks."""
        for step in range(self.steps):
            yield Transition(**{name: column[step] for name, column in self.table.items()})

    def running(self, index: int) -> dict[str, np.ndarray]:
        """The columns of the running episode of environment ``index``, (steps, ...); of no step if it only begins."""
        lane = {name: column[: self.steps, index] for name, column in self.table.items()}
        ends = np.flatnonzero(lane["terminated"] | lane["truncated"])
        begin = ends[-1] + 1 if len(ends) else 0
        return {name: column[begin:] for name, column in lane.items()}

    def recording(self, name: str, rows: int | None = None) -> "Recording":
        """The first ``rows`` transitions in order of time, all of them by default. Running episodes are truncated."""
        spec, envs = self.spec, self.envs
        rows = self.steps * envs if rows is None else rows
        steps = -(-rows // envs)
        begin = self._begins(steps).reshape(-1)[:rows]
        # With one environment the rows are in order, and need no copy.
        order = np.lexsort((np.arange(rows), np.arange(rows) % envs, begin)) if envs > 1 else slice(None)
        columns = {
            key: column[:steps].reshape(-1, *column.shape[2:])[:rows][order]
            for key, column in {**self.table, **self.masks}.items()
        }
        table: dict[str, Any] = {key: columns[key] for key in self.table}
        episode = (begin * envs + np.arange(rows) % envs)[order]
        last = np.append(episode[1:] != episode[:-1], True)
        ended = table["terminated"] | table["truncated"]
        table["truncated"] = table["truncated"] | (last & ~ended)
        dataset = Dataset.from_columns(
            **table,
            action_low=spec.action_low,
            action_high=spec.action_high,
            discrete=spec.discrete,
            n_actions=spec.action_size if spec.discrete else None,
            first_action=spec.first_action,
            name=name,
            extra={key: columns[key] for key in self.masks},
        )
        return Recording(dataset, ended[last])

    def _begins(self, steps: int) -> np.ndarray:
        """(steps, K) int64: the step at which the episode of each row began."""
        ended = self.table["terminated"][:steps] | self.table["truncated"][:steps]
        begin = np.zeros(ended.shape, np.int64)
        begin[1:] = np.where(ended[:-1], np.arange(1, steps)[:, None], 0)
        return np.maximum.accumulate(begin, axis=0)


@dataclass(frozen=True)
class Recording:
    """A dataset, and which of its episodes ended by themselves.

    ``complete`` (episodes,) bool is False for episodes that the end of the recording cut.
    """

    dataset: Dataset
    complete: np.ndarray

    def figures(self) -> dict[str, Any]:
        """Rows, episodes, and the returns of complete episodes, or of all if none is complete.

        ``best_tenth`` is the mean return of the best tenth of the episodes, of one at least.
        """
        data = self.dataset
        chosen = self.complete if self.complete.any() else np.ones_like(self.complete)
        returns = np.sort(data.episode_returns[chosen])
        return {
            "steps": len(data),
            "episodes": data.n_episodes,
            "cut_episodes": int((~self.complete).sum()),
            "mean_return": float(returns.mean()),
            "best_return": float(returns[-1]),
            "best_tenth": float(returns[-max(1, len(returns) // 10) :].mean()),
            "mean_length": float(data.episode_lengths[chosen].mean()),
        }


def figures_line(figures: Mapping[str, Any]) -> str:
    """:meth:`Recording.figures` in one line."""
    cut = f", {figures['cut_episodes']} of them cut" if figures["cut_episodes"] else ""
    return (
        f"{figures['steps']:,} transitions in {figures['episodes']:,} episodes{cut}; return mean "
        f"{figures['mean_return']:.4g}, best {figures['best_return']:.4g}, best tenth {figures['best_tenth']:.4g}; "
        f"mean length {figures['mean_length']:.4g}"
    )


def roll_out(env_id: str, actor: Actor, seed: int, steps: int, name: str, envs: int = 1) -> Recording:
    """``steps`` transitions of one policy, in ``envs`` environments at once. The last episode of each is cut.

    ``actor`` acts in all of them: its noise has a seed for each, such as those of :func:`env_seeds`.
    """
    count = -(-steps // envs)
    keys = ("collect/episodes", "collect/return")
    with Interaction(env_id, env_seeds(seed, envs)) as interaction, Progress(steps, keys=keys) as progress:
        log, tally = TransitionLog(interaction.spec, count, envs), Tally(envs)
        for step in range(1, count + 1):
            transition = interaction.step(actor)
            log.add(transition)
            tally.add(transition)
            done = min(step * envs, steps)
            progress.update(done)
            if step == count or step % max(1, count // 4) == 0:
                progress.log(done, tally.metrics())
    return log.recording(name, steps)


class Tally:
    """Counts the episodes of K environments, and adds up their returns."""

    def __init__(self, envs: int):
        self.running = np.zeros(envs)
        self.episodes, self.total = 0, 0.0

    def add(self, step: Transition) -> None:
        """Count one step of every environment."""
        self.running += step.reward
        over = step.terminated | step.truncated
        self.episodes += int(over.sum())
        self.total += float(self.running[over].sum())
        self.running[over] = 0.0

    def metrics(self) -> dict[str, float]:
        """The number of ended episodes, and their mean return if there are any."""
        mean = {"collect/return": self.total / self.episodes} if self.episodes else {}
        return {"collect/episodes": self.episodes, **mean}
