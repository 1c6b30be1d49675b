"""The dataset: columns of equal length, divided into episodes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from prudent.data import checks, columns, pieces, returns, sampling
from prudent.data.columns import COLUMNS, Bound
from prudent.data.episodes import recorders
from prudent.data.episodes.dropped import Dropped, Ends
from prudent.data.figures import Figures
from prudent.data.join import join
from prudent.data.meanings import UNKNOWN, Meanings
from prudent.errors import DataError
from prudent.types import Batch, Spec

KNOWN = ("episode_bounds", "episode_returns", "followed", "observation_figures", "fingerprint")
"""Cached properties that depend on the rows alone, not on ``name``, ``spec`` or ``notes``."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A log of decisions: one row per transition, one episode after the other.

    ``terminated`` means that the task ended: no reward follows. ``truncated`` means that only the recording stopped.
    Every ``next_observation`` belongs to the episode of its row. Build a dataset with :meth:`from_columns` or a reader:
    they check shapes and values.

    Shapes: ``observation`` and ``next_observation`` (rows, S) float32, or float64 where float32 would blur a feature;
    ``action`` (rows, A) float32 in the log's units, discrete: (rows,) int64 from ``spec.first_action`` on; ``reward``
    (rows,) float32; ``terminated`` and ``truncated`` (rows,) bool. ``extra`` holds optional columns, such as ``dt``,
    ``group``, ``step``, ``behavior_log_prob``, ``mask`` and ``next_mask``. The masks (rows, n_actions) bool, both or
    neither, say which discrete actions were allowed here and next. ``notes`` say what the reader inferred or dropped;
    ``dropped`` counts the rows that it could not keep, with their reward (None: it kept all); ``meanings`` have names.
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
    dropped: Dropped | None = None
    meanings: Meanings = UNKNOWN

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
        first_action: int = 0,
        name: str = "dataset",
        notes: Sequence[str] = (),
        extra: Mapping[str, np.ndarray] | None = None,
    ) -> "Dataset":
        """Check the columns and build a dataset.

        A single bound holds for every action feature. There are ``n_actions`` discrete actions, numbered from
        ``first_action`` on; None means as many as the masks have columns, or else up to the largest in the log.
        Terminated rows may lack the next observation and mask (NaN): no value depends on them.

        Raises:
            DataError: a column is empty, has the wrong shape, or holds something other than finite numbers; an action
                lies outside the declared bounds; or a mask forbids every action, or the one that was taken.
        """
        table, known = checks.check_columns(
            observation=observation,
            action=action,
            reward=reward,
            next_observation=next_observation,
            terminated=terminated,
            truncated=truncated,
            action_low=action_low,
            action_high=action_high,
            discrete=discrete,
            n_actions=n_actions,
            first_action=first_action,
            extra=dict(extra or {}),
            name=name,
            notes=notes,
        )
        return cls(**table, name=name)._remember(known)

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
        return returns.per_episode(self.reward, self.episode_bounds)

    @cached_property
    def episode_of_row(self) -> np.ndarray:
        """(rows,) int64."""
        return np.repeat(np.arange(self.n_episodes), self.episode_lengths)

    @cached_property
    def strays(self) -> np.ndarray:
        """(rows,) bool: ``next_observation`` differs from the next row's observation; False in the last row."""
        return columns.strays_of(self.observation, self.next_observation)

    @cached_property
    def followed(self) -> np.ndarray:
        """(rows,) bool: the next row continues the same episode, from the state that this row led to."""
        return ~(self.terminated | self.truncated | self.strays)

    @cached_property
    def observation_figures(self) -> Figures:
        """Mean, standard deviation and covered range of every observation feature."""
        return Figures.of(self.observation)

    def check_order(self) -> None:
        """Refuse rows that are not in order of time: their next actions and returns are unknown.

        Raises:
            DataError: most rows do not lead to the next one of their episode.
        """
        inside = ~(self.terminated | self.truncated)
        if inside.any() and self.followed[inside].mean() < 0.5:
            broken = np.flatnonzero(inside & ~self.followed)
            side_by_side = recorders.hint(self.observation, self.next_observation, ~inside)
            raise DataError(
                f"{self.name}: {len(broken)} of {int(inside.sum())} rows do not lead to the next one (the first is "
                f"row {broken[0]}): without an order of time there are no next actions, returns or best episodes"
                f"{side_by_side}"
            )

    def returns_to_go(self, discount: float, reward: np.ndarray | None = None) -> np.ndarray:
        """Discounted return from each row on, (rows,) float32; a step of length ``dt`` discounts by ``discount ** dt``.

        A truncated episode is assumed to continue for ever with the mean reward of its last ``1 / (1 - discount)``
        steps (:func:`prudent.data.returns.to_go`): ending the sum there would treat the end of the recording as the end
        of the task. ``reward`` (rows,), such as transformed rewards, replaces the dataset's own.
        """
        reward = self.reward if reward is None else np.asarray(reward)
        if reward.shape != (len(self),):
            raise DataError(f"{self.name}: reward has shape {reward.shape}, expected ({len(self)},)")
        if not 0 <= discount <= 1:
            raise DataError(f"{self.name}: discount must lie in [0, 1], got {discount}")
        return returns.to_go(reward, self.episode_bounds, self.terminated, self.extra.get("dt"), discount)

    def knowing(self, **figures: Any) -> "Dataset":
        """The same dataset with these values of :data:`KNOWN`, which it then need not compute from all rows."""
        return replace(self)._remember(figures)

    def relabelled(self, **changes: Any) -> "Dataset":
        """The same rows under another ``name``, ``spec`` or ``notes``; values of :data:`KNOWN` are kept."""
        return replace(self, **changes)._remember({key: vars(self)[key] for key in KNOWN if key in vars(self)})

    def _remember(self, figures: Mapping[str, Any]) -> "Dataset":
        vars(self).update(figures)  # where cached properties keep their values
        return self

    # --- pieces ---------------------------------------------------------------------------------------------

    def episodes(self, indices: Sequence[int] | np.ndarray) -> "Dataset":
        """A dataset of the episodes with these indices, in that order.

        Raises:
            DataError: ``indices`` is empty.
        """
        if len(indices) == 0:
            raise DataError(f"{self.name}: a selection needs at least one episode")
        rows = np.concatenate([np.arange(self.episode_bounds[k], self.episode_bounds[k + 1]) for k in indices])
        table = {key: getattr(self, key)[rows] for key in COLUMNS}
        return replace(self, **table, extra={key: column[rows] for key, column in self.extra.items()})

    def with_successors(
        self, ends: Ends, next_observation: np.ndarray, notes: Sequence[str] = (), next_mask: np.ndarray | None = None
    ) -> "Dataset":
        """The rows that have a successor, with these next observations (rows, S) and flags of ends; for readers.

        With ``next_mask`` None the dataset's own stays. ``notes`` come before those of ``ends``.
        """
        return pieces.with_successors(self, ends, next_observation, notes, next_mask)

    def split(self, fractions: float | Sequence[float], seed: int = 0) -> tuple["Dataset", ...]:
        """Datasets of whole episodes that share none and hold all; equal seeds give equal parts.

        ``fractions`` are the shares of the episodes, about: ``(0.6, 0.1, 0.3)``; a single one is that of the first of
        two parts. With a column ``group``, the episodes of a group stay together. The parts are in memory;
        :func:`prudent.data.split` writes them to disk.

        Raises:
            DataError: there are fewer episodes (or groups) than parts, or the fractions are not above 0 with sum 1.
        """
        return pieces.split(self, fractions, seed)

    def units(self) -> tuple[np.ndarray, str]:
        """The unit of each episode, (episodes,) int64 from 0 on, and the kind of unit: ``group`` or ``episode``.

        Units are assumed independent: splits, folds and bootstraps keep each of them whole. With a column ``group``
        the groups are the units (the first row of an episode says which), otherwise the episodes.
        """
        column = self.extra.get("group")
        if column is None:
            return np.arange(self.n_episodes), "episode"
        return np.unique(np.asarray(column)[self.episode_bounds[:-1]], return_inverse=True)[1].ravel(), "group"

    @property
    def n_units(self) -> int:
        """Number of units, see :meth:`units`."""
        return int(self.units()[0].max()) + 1

    @staticmethod
    def join(datasets: Sequence["Dataset"], name: str | None = None) -> "Dataset":
        """The rows of several datasets in one, in the order given; ``name`` None joins the names with ``+``.

        Columns of ``extra`` that not all of them have are left out, with a note; missing masks allow every action.

        Raises:
            DataError: their spaces differ, or ``datasets`` is empty.
        """
        return join(datasets, name)

    def batches(
        self, batch_size: int, steps: int | None = None, seed: int = 0, discount: float | None = None
    ) -> Iterator[Batch]:
        """Batches (B, ...) drawn with replacement, in the units of the log; endless without ``steps``.

        With ``discount`` they carry returns-to-go, which Cal-QL needs.

        Raises:
            DataError: ``batch_size`` is below 1; or, with ``discount``, the rows are not in order of time.
        """
        return sampling.batches(self, batch_size, steps, seed, discount)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the columns, and of ``first_action`` unless it is 0; 16 hexadecimal digits."""
        table = {key: getattr(self, key) for key in COLUMNS} | {key: self.extra[key] for key in sorted(self.extra)}
        return columns.fingerprint(table, self.spec.first_action)
