"""Batches in the networks' units: drawn from a dataset, each member its own, or given by a program."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from prudent.data import Dataset
from prudent.data.mapped.folder import is_mapped
from prudent.data.mapped.rows import READERS, RowFile, is_plain
from prudent.engine import windows
from prudent.engine.inputs import action_numbers
from prudent.engine.prefetch import Prefetcher
from prudent.engine.scaling import Scaling
from prudent.errors import ConfigError, DataError
from prudent.files import human_bytes
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Next

if TYPE_CHECKING:
    from prudent.engine.population import Population

_SHARE = 0.8
"""Share of a GPU's free memory that a dataset may take."""

Column = Tensor | RowFile
"""A column of the dataset in memory or in a file."""


class Source(Protocol):
    """What a population learns from."""

    def sample(self, rng: MemberRng, batch_size: int) -> Batch:
        """A batch (P, B, ...) in the networks' units, drawn with ``rng``."""
        ...


class TrainingData:
    """A dataset in the networks' units; every member draws rows of its own, with replacement.

    A batch is ``batch_size`` row numbers, uniform over all rows (over the best episodes with ``top_fraction``), from
    the member's generator ``sample``, seeded with a hash of that name and the member's seed (``nn/rng.py``). Every
    column is taken at these numbers; the next action is that of the next row.

    ``needs`` names the optional columns to prepare: ``return_to_go``, ``next_action``. Columns are copied to the device
    in the networks' units (``on_device``). Columns that are too large for a GPU, or mapped from files on a CPU, stay
    where they are in the log's units; the next batch is then fetched during a step. The batches are the same.
    """

    def __init__(self, dataset: Dataset, scaling: Scaling, hyper: Hyper, device: torch.device, needs: Sequence[str]):
        self.pools = best_rows(dataset, hyper)
        several_steps = windows.n_steps(hyper) > 1
        if needs or self.pools or several_steps:
            dataset.check_order()
        self.device, self.rows = device, len(dataset)
        self.scaling = scaling.to(device)
        columns = _columns(dataset)
        self.on_device = _fits(columns, device, is_mapped(dataset))
        self.mapped = is_mapped(dataset) and not self.on_device
        readers = ThreadPoolExecutor(READERS, "read")

        def put(column: np.ndarray) -> Tensor:
            return as_tensor(column).to(device) if self.on_device else as_tensor(column)

        def place(column: np.ndarray, scale: Callable[[Tensor], Tensor] | None = None) -> Column:
            if self.on_device:
                return put(column) if scale is None else scale(as_tensor(column))
            # A slice of a mapped file, which a user may pass, is read through the mapping.
            return RowFile(column, readers) if is_plain(column) else put(column)

        self.pools = [pool.to(device) for pool in self.pools]
        observations, actions = self.scaling.observation, self.scaling.action
        units = {
            "observation": observations,
            "next_observation": observations,
            "action": lambda t: actions(t.to(device)),
        }
        placed = {name: place(column, units.get(name)) for name, column in columns.items()}
        self.observation, self.next_observation = placed["observation"], placed["next_observation"]
        self.action, self.reward, self.terminated = placed["action"], placed["reward"], placed["terminated"]
        self.dt, self.mask, self.next_mask = placed.get("dt"), placed.get("mask"), placed.get("next_mask")
        reward_P = torch.stack([hyper.reward_scale, hyper.reward_shift])
        self.reward_scale_P1, self.reward_shift_P1 = reward_P.unsqueeze(-1)
        self.return_to_go_PR: Tensor | None = None
        if "return_to_go" in needs:
            returns = returns_to_go(dataset, hyper)
            # Members with equal settings share one column.
            shared = all(column is returns[0] for column in returns)
            placed_PR = [put(column) for column in (returns[:1] if shared else returns)]
            self.return_to_go_PR = placed_PR[0].expand(len(returns), -1) if shared else torch.stack(placed_PR)
        self.next_actions = "next_action" in needs
        self.followed = place(dataset.followed) if self.next_actions or several_steps else None
        self.windows = self._windows(hyper) if several_steps else None
        self._side = torch.cuda.Stream(device) if device.type == "cuda" and not self.on_device else None
        self._prefetcher = None if self.on_device else Prefetcher(self._draw_aside, self._fetch)

    def sample(self, rng: MemberRng, batch_size: int) -> Batch:
        """A batch (P, B, ...)."""
        if self._prefetcher is None:
            return self._gather(self._draw(rng, batch_size))
        batch = self._prefetcher.next(rng, batch_size)
        if self._side is not None:
            here = torch.cuda.current_stream(self.device)
            here.wait_stream(self._side)
            batch.map(lambda tensor: tensor.record_stream(here))
        return batch

    def forget_returns(self) -> None:
        """Free the returns-to-go; later batches do not have them."""
        if self._prefetcher is not None:
            self._prefetcher.drain()
        self.return_to_go_PR = None

    def memory(self) -> str:
        """Where the columns are and how large they are, as a message."""
        columns = (self.observation, self.next_observation, self.action, self.reward, self.terminated)
        optional = (self.dt, self.mask, self.next_mask, self.return_to_go_PR, self.followed)
        size = human_bytes(sum(_size(c) for c in (*columns, *optional) if c is not None))
        if self.mapped:
            return f"data {size}, mapped from files and read as needed"
        if not self.on_device:
            return f"data {size}, too large for {self.device}: kept in main memory, batches fetched ahead"
        return f"data {size} on {self.device}"

    def _draw(self, rng: MemberRng, batch_size: int) -> Tensor:
        """Row numbers (P, B)."""
        if not self.pools:
            return rng.integers(self.rows, batch_size)
        drawn_PB = rng.integers([len(pool) for pool in self.pools], batch_size)
        return torch.stack([pool.rows(drawn) for pool, drawn in zip(self.pools, drawn_PB, strict=True)])

    def _gather(self, rows_PB: Tensor) -> Batch:
        """The batch of these rows, in the units in which the columns are stored."""
        to_go_PR, after = self.return_to_go_PR, self._next(rows_PB)
        batch = Batch(
            observation=self.observation[rows_PB],
            action=self.action[rows_PB],
            reward=self.reward[rows_PB],
            next_observation=after.observation,
            terminated=self.terminated[rows_PB],
            dt=None if self.dt is None else self.dt[rows_PB],
            mask=None if self.mask is None else self.mask[rows_PB],
            next_mask=after.mask,
            return_to_go=None if to_go_PR is None else to_go_PR.gather(1, rows_PB),
            next_action=after.action,
            next_action_known=after.action_known,
            window=() if self.windows is None else self.windows.gather(rows_PB),
        )
        return batch.in_units(reward=self._reward) if self.on_device else batch

    def _next(self, rows_PB: Tensor) -> Next:
        """What followed these rows."""
        observation = self.next_observation[rows_PB]
        mask = None if self.next_mask is None else self.next_mask[rows_PB]
        if not self.next_actions or self.followed is None:
            return Next(observation, mask)
        return Next(observation, mask, self.action[(rows_PB + 1).clamp(max=self.rows - 1)], self.followed[rows_PB])

    def _windows(self, hyper: Hyper) -> windows.Windows:
        followed, dt = self.followed, self.dt
        assert followed is not None
        return windows.Windows(
            hyper,
            follows=lambda rows: followed[rows.clamp(max=self.rows - 1)],
            reward=lambda rows: self.reward[rows],
            terminated=lambda rows: self.terminated[rows],
            dt=None if dt is None else lambda rows: dt[rows],
            following=self._next,
        )

    def _reward(self, reward_PB: Tensor) -> Tensor:
        return reward_PB * self.reward_scale_P1 + self.reward_shift_P1

    # --- columns that are not on the device ---------------------------------------------------------------------------

    def _draw_aside(self, rng: MemberRng, batch_size: int) -> Tensor:
        # On a separate stream: waiting for the row numbers must not wait for the running step.
        with self._aside():
            return self._draw(rng, batch_size)

    def _aside(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._side is None else torch.cuda.stream(self._side)

    def _fetch(self, rows_PB: Tensor) -> Batch:
        """The batch of these rows on the device, in the networks' units."""
        with self._aside():
            # Copied here, on the stream that drew them: the reader threads only have the default stream.
            rows_PB = rows_PB.cpu()
            batch = self._gather(rows_PB)
            # Some devices have no float64.
            batch = batch.in_units(observation=self.scaling.centered)
            if self._side is not None:
                batch = batch.map(lambda tensor: tensor.pin_memory().to(self.device, non_blocking=True))
            return batch.in_units(self.scaling.standardized, self.scaling.action, self._reward)


# --- batches that a program draws itself ------------------------------------------------------------------------------


def network_batch(population: "Population", batch: Batch) -> Batch:
    """A batch (B, ...) in the log's units as one (P, B, ...) in the networks' units, the same for every member.

    Raises:
        DataError: its rows are not ``batch_size``, a column is missing, or a shape does not fit.
        ConfigError: rewards are to be shifted, which returns-to-go that are already summed cannot be; or targets are to
            have several steps, and such a batch has one.
    """
    _check_columns(population, batch)
    scaling, hyper = population.scaling, population.hyper
    placed = batch.map(lambda t: t.to(population.device))
    scaled = replace(
        placed,
        observation=scaling.observation(batch.observation),
        next_observation=scaling.observation(batch.next_observation),
        action=scaling.action(placed.action),
        next_action=None if placed.next_action is None else scaling.action(placed.next_action),
    )
    stacked = scaled.map(lambda t: t.unsqueeze(0).expand(population.size, *t.shape))
    scale_P1, shift_P1 = hyper.reward_scale.unsqueeze(-1), hyper.reward_shift.unsqueeze(-1)
    to_go = None if stacked.return_to_go is None else stacked.return_to_go * scale_P1
    return replace(stacked, reward=stacked.reward * scale_P1 + shift_P1, return_to_go=to_go)


def _check_columns(population: "Population", batch: Batch) -> None:
    """Refuse a batch of another size, without a column that is needed, or with one of another shape."""
    rows, spec, needs = population.hyper.batch_size, population.spec, population.algorithm.NEEDS
    if (steps := windows.n_steps(population.hyper)) > 1:
        raise ConfigError(f"a batch has single steps, n_steps is {steps}: train with fit, or set n_steps to 1")
    if len(batch.reward) != rows:
        raise DataError(f"the batch has {len(batch.reward)} rows, the agent's batch_size is {rows}")
    next_action = ("next_action", "next_action_known") if "next_action" in needs else ()
    missing = [name for name in dict.fromkeys((*needs, *next_action)) if getattr(batch, name) is None]
    if missing:
        hint = "; take it from Dataset.batches(..., discount=...)" if missing == ["return_to_go"] else ""
        raise DataError(f"the batch has no {missing[0]}, which {population.algorithm_name} learns from{hint}")
    if "return_to_go" in needs and population.hyper.reward_shift.any():
        raise ConfigError("returns-to-go of a batch cannot be shifted: train with fit, or leave reward_shift at 0")
    features, actions = (rows, spec.observation_size), (rows,) if spec.discrete else (rows, spec.action_size)
    shapes = {"observation": features, "next_observation": features, "action": actions}
    if batch.mask is not None or batch.next_mask is not None:
        shapes |= dict.fromkeys(("mask", "next_mask"), (rows, spec.action_size))
    if next_action:
        shapes |= {"next_action": actions, "next_action_known": (rows,)}
    for name, expected in shapes.items():
        column = getattr(batch, name)
        shape = None if column is None else tuple(column.shape)
        if shape != expected:
            raise DataError(f"the batch's {name} has shape {shape}, expected {expected}")
    if spec.discrete and batch.action.device.type == "cpu":  # elsewhere the check would wait for the device
        action_numbers(batch.action, spec)


# --- rows of a dataset ------------------------------------------------------------------------------------------------


class Pool:
    """The rows of selected episodes, numbered from 0."""

    def __init__(self, starts: Tensor, lengths: Tensor):
        self.starts, self.ends = starts, lengths.cumsum(0)  # (episodes,): first rows, and ends in the numbering
        self.size = int(self.ends[-1])

    def __len__(self) -> int:
        return self.size

    def to(self, device: torch.device) -> "Pool":
        """The same on another device."""
        return Pool(self.starts.to(device), torch.diff(self.ends, prepend=self.ends.new_zeros(1)).to(device))

    def rows(self, numbers: Tensor) -> Tensor:
        """The dataset's rows (B,) for these numbers (B,)."""
        episode = torch.searchsorted(self.ends, numbers, right=True)
        return self.starts[episode] + numbers - (self.ends[episode - 1] * (episode > 0))


def _columns(dataset: Dataset) -> dict[str, np.ndarray]:
    """The columns of every batch; step lengths and masks where the dataset has them."""
    names = ("observation", "next_observation", "action", "reward", "terminated")
    columns = {name: getattr(dataset, name) for name in names}
    if "dt" in dataset.extra:
        columns["dt"] = dataset.extra["dt"].astype(np.float32, copy=False)
    if dataset.spec.discrete and "mask" in dataset.extra:
        columns |= {name: dataset.extra[name] for name in ("mask", "next_mask")}
    return columns


def _fits(columns: Mapping[str, np.ndarray], device: torch.device, mapped: bool) -> bool:
    """Whether columns fit on a device and leave room for training."""
    if device.type == "cuda":
        # While a column is scaled, it is in memory three times.
        needed = sum(c.nbytes for c in columns.values()) + 2 * max(c.nbytes for c in columns.values())
        return needed < _SHARE * torch.cuda.mem_get_info(device)[0]
    return not (mapped and device.type == "cpu")


def as_tensor(column: np.ndarray) -> Tensor:
    """A tensor that shares a column's memory, which may be read-only."""
    with warnings.catch_warnings():
        # Nothing here writes to it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(column))


def _size(column: Column) -> int:
    """Bytes; a column that several members share counts once."""
    return column.untyped_storage().nbytes() if isinstance(column, Tensor) else column.nbytes


def best_rows(dataset: Dataset, hyper: Hyper) -> list[Pool]:
    """Each member's rows of the best episodes by return: the fewest that hold ``top_fraction`` of all rows.

    Empty if no member has a ``top_fraction`` below 1: every row may then be drawn.
    """
    fractions = [getattr(config, "top_fraction", 1.0) for config in hyper.members]
    if min(fractions) >= 1:
        return []
    order = np.argsort(-dataset.episode_returns, kind="stable")
    reached = np.cumsum(dataset.episode_lengths[order])
    pools = []
    for fraction in fractions:
        # The factor guards against rounding: 0.1 of 30 rows is 3, not 4.
        count = int(np.searchsorted(reached, fraction * len(dataset) * (1 - 1e-9))) + 1
        chosen = np.sort(order[:count])
        starts, lengths = dataset.episode_bounds[:-1][chosen], dataset.episode_lengths[chosen]
        pools.append(Pool(torch.from_numpy(starts), torch.from_numpy(lengths)))
    return pools


def returns_to_go(dataset: Dataset, hyper: Hyper) -> list[np.ndarray]:
    """Each member's return-to-go (rows,), computed once per distinct discount and reward transform."""
    columns: dict[tuple[Any, ...], np.ndarray] = {}
    settings = [(c.discount, c.reward_scale, c.reward_shift) for c in hyper.members]
    for discount, scale, shift in dict.fromkeys(settings):
        columns[discount, scale, shift] = dataset.returns_to_go(discount, dataset.reward * scale + shift)
    return [columns[key] for key in settings]
