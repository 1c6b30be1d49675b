"""Columns of equal length and the episodes they fall into."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from prudent.data import columns, masks, returns
from prudent.data.columns import Bound
from prudent.errors import DataError
from prudent.types import Batch, Spec

KNOWN = ("episode_bounds", "episode_returns", "followed", "observation_moments", "fingerprint")
"""Figures that follow from the rows alone."""
COLUMNS = ("observation", "action", "reward", "next_observation", "terminated", "truncated")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A log of decisions: one row per transition, episodes one after another.

    ``terminated`` ends value; ``truncated`` only ends the recording. No row crosses an episode boundary:
    every ``next_observation`` belongs to the row's own episode. Build one with :meth:`from_columns` (or a
    reader), which checks shapes and values.

    Shapes: ``observation`` and ``next_observation`` (rows, S) float32, ``action`` (rows, A) float32 in the
    units of the log (discrete: (rows,) int64), ``reward`` (rows,) float32, ``terminated`` and ``truncated``
    (rows,) bool. ``extra`` holds optional columns of the same length (``dt``, ``group``,
    ``step``, ``behavior_log_prob``, ...): ``mask`` and ``next_mask`` (rows, n_actions) bool, both or neither, say which
    discrete actions were allowed at ``observation`` and at ``next_observation``. ``notes`` holds what the reader
    inferred or dropped, one line each.
    """

    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    next_observation: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    spec: Spec
    name: str = "dataset"
    notes: tuple[str, ...] = ()
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def from_columns(
        cls,
        *,
        observation: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        next_observation: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        action_low: Bound | None = None,
        action_high: Bound | None = None,
        discrete: bool = False,
        n_actions: int | None = None,
        name: str = "dataset",
        notes: Sequence[str] = (),
        extra: Mapping[str, np.ndarray] | None = None,
    ) -> "Dataset":
        """Check the columns and build a dataset.

        A single bound holds for every action feature. ``n_actions`` declares how many discrete actions there
        are, so that one the log never took still counts; without it the masks decide, or the largest one seen.

        Raises:
            DataError: a column is empty, of the wrong shape, not numeric or not finite, an action lies outside
                the declared bounds, or a mask forbids it or everything.
        """
        own = next_observation is observation
        strays = None if own else columns.finite_strays_of(observation, next_observation)
        finite = strays is not None
        observation = columns.floats(observation, "observations", name, ndim=2, finite=finite)
        next_observation = (
            observation if own else columns.floats(next_observation, "next_observations", name, ndim=2, finite=finite)
        )
        reward = columns.floats(reward, "rewards", name, ndim=1)
        action = columns.actions(action, discrete, name)
        # A copy, since whoever records goes on to write.
        terminated = columns.flags(terminated, "terminals", name).copy()
        truncated = columns.flags(truncated, "timeouts", name) & ~terminated
        rows = len(observation)
        if rows == 0:
            raise DataError(f"{name}: the dataset has no transitions")
        if next_observation.shape != observation.shape:
            raise DataError(
                f"{name}: next_observations has shape {next_observation.shape}, observations {observation.shape}"
            )
        extra = dict(extra or {})
        others = {
            "actions": action,
            "rewards": reward,
            "terminals": terminated,
            "timeouts": truncated,
            **extra,
        }
        for key, column in others.items():
            if len(column) != rows:
                raise DataError(f"{name}: {key} has {len(column)} rows, observations has {rows}")
        allowed = masks.check(extra, action, terminated, name)
        extra |= allowed
        n_actions = masks.count(allowed, n_actions, name)
        spec = Spec(
            observation_size=observation.shape[1],
            action_size=columns.count_actions(action, n_actions, name) if discrete else action.shape[1],
            discrete=discrete,
            action_low=columns.bounds(action_low, action, "action_low", name),
            action_high=columns.bounds(action_high, action, "action_high", name),
        )
        columns.check_bounds(action, spec, name)
        # The recording ends with the file: an episode still open there is truncated, not lost.
        truncated[-1] |= not terminated[-1]
        dataset = cls(
            observation,
            action,
            reward,
            next_observation,
            terminated,
            truncated,
            spec,
            name,
            tuple(notes),
            extra,
        )
        return dataset if strays is None else dataset._told({"strays": strays})

    def __len__(self) -> int:
        return len(self.reward)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self)} transitions, {self.n_episodes} episodes)"

    # --- episodes -------------------------------------------------------------------------------------------

    @cached_property
    def episode_bounds(self) -> np.ndarray:
        """(episodes + 1,) int64: episode k is the rows ``bounds[k]`` to ``bounds[k + 1] - 1``."""
        ends = np.flatnonzero(self.terminated | self.truncated) + 1
        return np.concatenate([[0], ends]).astype(np.int64)

    @property
    def n_episodes(self) -> int:
        return len(self.episode_bounds) - 1

    @cached_property
    def episode_lengths(self) -> np.ndarray:
        """(episodes,) int64, in steps."""
        return np.diff(self.episode_bounds)

    @cached_property
    def episode_returns(self) -> np.ndarray:
        """(episodes,) float64: undiscounted sum of rewards."""
        starts, rows = self.episode_bounds[:-1], len(self)
        # Whole episodes together, about a block of rows at a time.
        cuts = np.unique([*np.searchsorted(starts, range(0, rows, columns.BLOCK)), len(starts)])
        parts = []
        for first, last in pairwise(cuts.tolist()):
            begin, end = self.episode_bounds[[first, last]]
            parts.append(np.add.reduceat(self.reward[begin:end].astype(np.float64), starts[first:last] - begin))
        return np.concatenate(parts)

    @cached_property
    def episode_of_row(self) -> np.ndarray:
        """(rows,) int64."""
        return np.repeat(np.arange(self.n_episodes), self.episode_lengths)

    @cached_property
    def strays(self) -> np.ndarray:
        """(rows,) bool: where ``next_observation`` differs from the next row's observation; never the last row."""
        return columns.strays_of(self.observation, self.next_observation)

    @cached_property
    def followed(self) -> np.ndarray:
        """(rows,) bool: where the next row goes on in the same episode, from the state this one led to."""
        return ~(self.terminated | self.truncated | self.strays)

    @cached_property
    def observation_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of every observation feature, (S,) float64."""
        return columns.moments(self.observation)

    def check_order(self) -> None:
        """Refuse rows that stand in no order of time, out of which nothing can be said of what came next.

        Raises:
            DataError: most rows do not lead to the next one of their episode.
        """
        inside = ~(self.terminated | self.truncated)
        if inside.any() and self.followed[inside].mean() < 0.5:
            broken = np.flatnonzero(inside & ~self.followed)
            raise DataError(
                f"{self.name}: {len(broken)} of {int(inside.sum())} rows do not lead to the next one (the first is "
                f"row {broken[0]}): rows in no order of time have no next actions, returns or best episodes"
            )

    def returns_to_go(self, discount: float, reward: np.ndarray | None = None) -> np.ndarray:
        """Discounted return from each row on, (rows,) float32; a step of length ``dt`` costs ``discount ** dt``.

        An episode that was truncated is taken to go on as it ended: with the mean reward of its last ``1 / (1
        - discount)`` units of time, for ever. Ending the sum there instead would say that the recorder's stop
        costs the agent its future; leaving such episodes out would leave nothing of halfcheetah. ``reward``
        replaces the dataset's own (rows,), for transformed rewards.
        """
        reward = self.reward if reward is None else np.asarray(reward)
        if reward.shape != (len(self),):
            raise DataError(f"{self.name}: reward has shape {reward.shape}, expected ({len(self)},)")
        if not 0 <= discount <= 1:
            raise DataError(f"{self.name}: discount must lie in [0, 1], got {discount}")
        return returns.to_go(reward, self.episode_bounds, self.terminated, self.extra.get("dt"), discount)

    def knowing(self, **figures: Any) -> "Dataset":
        """The same dataset, told figures (of :data:`KNOWN`) that it would otherwise have to read all rows for."""
        return replace(self)._told(figures)

    def relabelled(self, **changes: Any) -> "Dataset":
        """The same rows under another ``name``, ``spec`` or ``notes``; what is known of the rows stays known."""
        return replace(self, **changes)._told({key: vars(self)[key] for key in KNOWN if key in vars(self)})

    def _told(self, figures: Mapping[str, Any]) -> "Dataset":
        # Where cached properties keep what they have found.
        vars(self).update(figures)
        return self

    # --- pieces ---------------------------------------------------------------------------------------------

    def episodes(self, indices: Sequence[int] | np.ndarray) -> "Dataset":
        """A dataset of the episodes named, in that order.

        Raises:
            DataError: no episode is named.
        """
        if len(indices) == 0:
            raise DataError(f"{self.name}: a selection needs at least one episode")
        rows = np.concatenate([np.arange(self.episode_bounds[k], self.episode_bounds[k + 1]) for k in indices])
        table = {key: getattr(self, key)[rows] for key in COLUMNS}
        return replace(self, **table, extra={key: column[rows] for key, column in self.extra.items()})

    def with_successors(
        self,
        keep: np.ndarray,
        next_observation: np.ndarray,
        truncated: np.ndarray,
        notes: Sequence[str] = (),
        next_mask: np.ndarray | None = None,
    ) -> "Dataset":
        """The rows where ``keep`` (rows,) is set, with these successors and truncation flags; for readers.

        ``next_mask`` None leaves the dataset's own.
        """
        changed = replace(self, next_observation=next_observation, truncated=truncated & ~self.terminated)
        every = keep.all()
        table = {key: getattr(changed, key) if every else getattr(changed, key)[keep] for key in COLUMNS}
        table["truncated"][-1] |= not table["terminated"][-1]
        extra = dict(self.extra) if next_mask is None else {**self.extra, "next_mask": next_mask}
        extra = {key: column[keep] for key, column in extra.items()}
        return replace(changed, **table, extra=extra, notes=(*self.notes, *notes))

    def split(self, fraction: float, seed: int = 0) -> tuple["Dataset", "Dataset"]:
        """Two datasets of whole episodes, the first with about ``fraction`` of them; deterministic by seed.

        Where there is a column ``group``, the episodes of a group stay together.

        Raises:
            DataError: there are fewer than two episodes (or groups), or the fraction is not inside (0, 1).
        """
        unit_E, by = self.units()
        size_U = np.bincount(unit_E)
        if len(size_U) < 2 or not 0 < fraction < 1:
            raise DataError(f"{self.name}: splitting needs two or more {by}s and 0 < fraction < 1")
        order_U = np.random.default_rng(seed).permutation(len(size_U))
        taken_U = size_U[order_U].cumsum()[:-1]
        cut = int(np.abs(taken_U - fraction * self.n_episodes).argmin()) + 1
        first_E = np.isin(unit_E, order_U[:cut])
        return self.episodes(np.flatnonzero(first_E)), self.episodes(np.flatnonzero(~first_E))

    def units(self) -> tuple[np.ndarray, str]:
        """The unit of each episode, (episodes,) int64 from 0 on, and what a unit is: ``group`` or ``episode``.

        Units are what may be divided, resampled and counted; none may be torn apart. They are the groups where the
        dataset has a column ``group``, of which an episode's first row counts, and otherwise the episodes.
        """
        column = self.extra.get("group")
        if column is None:
            return np.arange(self.n_episodes), "episode"
        return np.unique(np.asarray(column)[self.episode_bounds[:-1]], return_inverse=True)[1].ravel(), "group"

    @staticmethod
    def join(datasets: Sequence["Dataset"], name: str | None = None) -> "Dataset":
        """One dataset of several, in the order given.

        Raises:
            DataError: spaces differ, or nothing was given.
        """
        if not datasets:
            raise DataError("joining needs at least one dataset")
        first = datasets[0]
        # A log rarely takes every discrete action: what one file lacks, another may show.
        most = max(d.spec.action_size for d in datasets)
        spec = replace(first.spec, action_size=most) if first.spec.discrete else first.spec
        for other in datasets[1:]:
            same = replace(other.spec, action_size=most) if other.spec.discrete else other.spec
            if same != spec:
                raise DataError(f"{other.name} does not fit {first.name}: it has {spec.difference_from(same)}")
        if len(datasets) == 1:
            return first if name is None else first.relabelled(name=name)
        extras, filled = masks.join([(d.name, len(d), d.extra) for d in datasets], spec.action_size)
        shared = set.intersection(*(set(extra) for extra in extras))
        dropped = sorted(set().union(*(set(extra) for extra in extras)) - shared)
        notes = [f"{d.name}: {note}" for d in datasets for note in d.notes] + filled
        if dropped:
            notes.append(f"columns not in every file were left out: {', '.join(dropped)}")
        table = {key: np.concatenate([getattr(d, key) for d in datasets]) for key in COLUMNS}
        return Dataset(
            **table,
            spec=spec,
            name=name or "+".join(d.name for d in datasets),
            notes=tuple(notes),
            extra={key: np.concatenate([extra[key] for extra in extras]) for key in sorted(shared)},
        )

    # --- use ------------------------------------------------------------------------------------------------

    def batches(
        self, batch_size: int, steps: int | None = None, seed: int = 0, discount: float | None = None
    ) -> Iterator[Batch]:
        """Batches (B, ...) drawn with replacement, in the units of the log; endless without ``steps``.

        With ``discount`` they carry returns-to-go, which Cal-QL learns from.

        Raises:
            DataError: ``batch_size`` is no count; with ``discount``: rows stand in no order of time.
        """
        if batch_size < 1:
            raise DataError(f"batch_size must be 1 or more, got {batch_size}")
        if discount is not None:
            self.check_order()
        to_go = None if discount is None else self.returns_to_go(discount)
        generator = np.random.default_rng(seed)
        done = 0
        while steps is None or done < steps:
            rows = generator.integers(len(self), size=batch_size)
            yield Batch(
                observation=torch.from_numpy(self.observation[rows]),
                action=torch.from_numpy(self.action[rows]),
                reward=torch.from_numpy(self.reward[rows]),
                next_observation=torch.from_numpy(self.next_observation[rows]),
                terminated=torch.from_numpy(self.terminated[rows]),
                dt=torch.from_numpy(self.extra["dt"][rows].astype(np.float32)) if "dt" in self.extra else None,
                mask=torch.from_numpy(self.extra["mask"][rows]) if "mask" in self.extra else None,
                next_mask=torch.from_numpy(self.extra["next_mask"][rows]) if "next_mask" in self.extra else None,
                return_to_go=None if to_go is None else torch.from_numpy(to_go[rows]),
                next_action=torch.from_numpy(self.action[np.minimum(rows + 1, len(self) - 1)]),
                next_action_known=torch.from_numpy(self.followed[rows]),
                source=self,
            )
            done += 1

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the columns, 16 hexadecimal digits: two datasets with equal content have the same."""
        digest = hashlib.sha256()
        table = {key: getattr(self, key) for key in COLUMNS} | {key: self.extra[key] for key in sorted(self.extra)}
        for key, column in table.items():
            digest.update(f"{key}{column.dtype}{column.shape}".encode())
            for block in columns.blocks(len(self)):
                digest.update(np.ascontiguousarray(column[block]).data)
        return digest.hexdigest()[:16]
