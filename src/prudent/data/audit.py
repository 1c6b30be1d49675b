"""What is wrong or suspicious with a dataset, with row numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from prudent.data.columns import differing_rows
from prudent.data.dataset import Dataset
from prudent.data.mapped.folder import is_mapped

SHOWN = 10
"""Row numbers kept per finding; ``count`` tells how many there are."""

FEW_PER_ACTION = 1000

LONG = 10
"""A step that takes this many times the usual time is a gap."""

_REGULAR = 0.75


@dataclass(frozen=True)
class Finding:
    """One problem: ``kind``, the first rows (or features: ``unit``) it concerns, how many, and what to do."""

    kind: str
    rows: tuple[int, ...]
    count: int
    advice: str
    unit: str = "rows"

    def __str__(self) -> str:
        return f"{self.kind} ({self.count:,}): {self.advice}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": self.kind,
            "unit": self.unit,
            "count": self.count,
            "rows": list(self.rows),
            "advice": self.advice,
        }


def audit(dataset: Dataset) -> list[Finding]:
    """All problems of a dataset, in the order in which to look at them; empty if nothing was found.

    Row numbers are those of the dataset, so rows that a reader dropped (see ``dataset.notes``) do not count.
    NaN and infinity never get this far: readers refuse them; :func:`not_finite` finds them in raw columns.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        findings = [check(dataset) for check in CHECKS]
    return [finding for finding in findings if finding is not None]


def cautions(dataset: Dataset) -> list[Finding]:
    """The findings of :func:`audit` that take no time to speak of, for whoever is about to learn from the data.

    Rows that lie in files are not read for this but for their rewards.
    """
    checks = (single_episode, reward_constant) if is_mapped(dataset) else [c for c in CHECKS if c is not duplicates]
    with np.errstate(over="ignore", invalid="ignore"):
        return [finding for check in checks if (finding := check(dataset)) is not None]


def not_finite(columns: Mapping[str, np.ndarray]) -> list[Finding]:
    """One finding per raw column (rows, ...) that holds NaN or infinity."""
    findings = []
    for key, column in columns.items():
        column = np.asarray(column)
        if column.dtype.kind == "f":
            bad = ~np.isfinite(column.reshape(len(column), -1)).all(axis=1)
            found = _finding(f"NaN or infinity in {key}", bad, "remove the episodes they are in, or repair the source")
            findings.append(found)
    return [finding for finding in findings if finding is not None]


# --- checks -------------------------------------------------------------------------------------------------


def out_of_range_actions(dataset: Dataset) -> Finding | None:
    """Actions outside [-1, 1] where no bounds are declared; declared ones are checked on loading."""
    if dataset.spec.discrete or dataset.spec.action_low is not None:
        return None
    largest = np.abs(dataset.action).max(axis=0)
    features = np.flatnonzero(largest > 1 + 1e-5).tolist()
    advice = (
        f"no bounds are declared; give action_low and action_high (--action-low, --action-high), "
        f"the log reaches {dataset.action.min():.4g} to {dataset.action.max():.4g} (features {features})"
    )
    return _finding("actions outside [-1, 1]", (np.abs(dataset.action) > 1 + 1e-5).any(axis=1), advice)


def successor_mismatch(dataset: Dataset) -> Finding | None:
    """Rows inside an episode whose next observation is not the following row's observation."""
    ends = dataset.terminated | dataset.truncated
    wrong = np.zeros(len(dataset), dtype=bool)
    differs = differing_rows(dataset.next_observation[:-1], dataset.observation[1:])
    wrong[:-1] = differs & ~ends[:-1]
    if wrong.sum() > 0.5 * (~ends).sum():
        advice = "rows stand in no order of time; episodes, returns and returns-to-go mean nothing here"
    else:
        advice = "an episode ends there without a flag, or rows are missing; flag them as truncated"
    return _finding("successor mismatch", wrong, advice)


def mask_mismatch(dataset: Dataset) -> Finding | None:
    """Rows inside an episode whose next mask is not the following row's mask."""
    if "mask" not in dataset.extra:
        return None
    wrong = np.zeros(len(dataset), dtype=bool)
    differs = (dataset.extra["next_mask"][:-1] != dataset.extra["mask"][1:]).any(axis=1)
    wrong[:-1] = differs & ~(dataset.terminated | dataset.truncated)[:-1]
    return _finding("mask mismatch", wrong, "next_action_masks is not the next row's action_masks: which is right?")


def unsorted_steps(dataset: Dataset) -> Finding | None:
    """Rows whose step is not above that of the row before them in the same episode; where steps are numbered."""
    if "step" not in dataset.extra:
        return None
    wrong = np.zeros(len(dataset), dtype=bool)
    inside = ~(dataset.terminated | dataset.truncated)[:-1]
    wrong[1:] = inside & (np.diff(dataset.extra["step"]) <= 0)
    return _finding("unsorted steps", wrong, "rows follow each other that did not; sort every episode by its steps")


def gaps(dataset: Dataset) -> Finding | None:
    """Rows behind which steps are missing: numbers leap where they are otherwise regular, or much time passes."""
    wrong = np.zeros(len(dataset), dtype=bool)
    inside = ~(dataset.terminated | dataset.truncated)
    if "step" in dataset.extra and inside[:-1].any():
        rise = np.diff(dataset.extra["step"])
        usual = np.median(rise[inside[:-1]])
        # Unsorted steps leap as well, which is told already.
        if rise[inside[:-1]].min() > 0 and (rise[inside[:-1]] == usual).mean() >= _REGULAR:
            wrong[:-1] = inside[:-1] & (rise > max(usual, 1))
    if "dt" in dataset.extra and inside.any():
        dt = dataset.extra["dt"]
        wrong |= inside & (dt > LONG * np.median(dt[inside]))
    return _finding("gaps", wrong, "what happened in between is not in the log; end the episode there, as truncated")


def missing_truncation_flags(dataset: Dataset) -> Finding | None:
    """One endless episode in a long log: more likely the flags are missing than that nothing ever ended."""
    if dataset.n_episodes > 1 or len(dataset) <= 1000 or dataset.terminated.any():
        return None
    advice = "no episode ever ends; if the log has a time limit, give it as horizon, or add timeouts"
    return Finding("missing truncation flags", (len(dataset) - 1,), 1, advice)


def single_episode(dataset: Dataset) -> Finding | None:
    """A log that is one episode, which has ended."""
    if dataset.n_episodes > 1 or missing_truncation_flags(dataset) is not None:
        return None
    advice = "one start and one course of things: nothing tells luck from skill, and no value can be estimated from it"
    return Finding("a single episode", (), 1, advice, unit="episodes")


def short_episodes(dataset: Dataset) -> Finding | None:
    """Episodes of a single step."""
    single = dataset.episode_lengths == 1
    if dataset.n_episodes == len(dataset) and dataset.terminated.all():
        return None  # a bandit: that is what the data is
    rows = np.zeros(len(dataset), dtype=bool)
    rows[dataset.episode_bounds[:-1][single]] = True
    return _finding("episodes of length one", rows, "often a flag repeated after the end; check the recorder")


def duplicates(dataset: Dataset) -> Finding | None:
    """Rows that repeat an earlier one exactly."""
    table = np.column_stack([dataset.observation, dataset.action.reshape(len(dataset), -1), dataset.next_observation])
    table = np.ascontiguousarray(np.column_stack([table, dataset.reward]), dtype=np.float32) + np.float32(0)
    _, first = np.unique(table.view(np.dtype((np.void, table.itemsize * table.shape[1]))).ravel(), return_index=True)
    repeated = np.ones(len(dataset), dtype=bool)
    repeated[first] = False
    return _finding("duplicate transitions", repeated, "they weigh twice; were files joined that share episodes?")


def constant_columns(dataset: Dataset) -> Finding | None:
    """Observation features that never change."""
    constant = np.ptp(dataset.observation, axis=0) == 0
    advice = "harmless (the scaler leaves them at zero), but a sensor may be dead"
    return _finding("constant observation features", constant, advice, unit="features")


def constant_actions(dataset: Dataset) -> Finding | None:
    """Action features that never change, or a single discrete action."""
    if dataset.spec.discrete:
        taken = np.bincount(dataset.action, minlength=dataset.spec.action_size) > 0
        constant = taken if taken.sum() == 1 else np.zeros_like(taken)
        kind, unit = "a single action", "actions"
    else:
        constant, kind, unit = np.ptp(dataset.action, axis=0) == 0, "constant action features", "features"
    return _finding(kind, constant, "nothing can be learned about alternatives to it", unit)


def reward_outliers(dataset: Dataset) -> Finding | None:
    """Rewards so far from the rest that they would dominate the squared error of the critic."""
    low, high = np.quantile(dataset.reward, [0.005, 0.995])
    spread = high - low
    if spread == 0:
        return None  # sparse rewards: the rare ones are the point
    outlying = (dataset.reward < low - 5 * spread) | (dataset.reward > high + 5 * spread)
    advice = f"99 % of the rewards lie in {low:.4g} to {high:.4g}; a sensor fault, or a penalty worth clipping?"
    return _finding("reward outliers", outlying, advice)


def few_per_action(dataset: Dataset) -> Finding | None:
    """Fewer transitions than can be expected to cover the actions, or, of discrete ones, some of them."""
    if dataset.spec.discrete:
        return _few_of_some(dataset)
    needed = FEW_PER_ACTION * dataset.spec.action_size
    if len(dataset) >= needed:
        return None
    advice = (
        f"{len(dataset)} for {dataset.spec.action_size} action features, {needed} or more are usual; "
        "use a larger alpha and believe no value"
    )
    return Finding("few transitions", (), len(dataset), advice, unit="transitions")


def _few_of_some(dataset: Dataset) -> Finding | None:
    counts = np.bincount(dataset.action, minlength=dataset.spec.action_size)
    advice = (
        f"too few data per action: {FEW_PER_ACTION} or more of each are usual, the rarest has {counts.min()}; "
        "use a larger alpha and believe no value of these actions"
    )
    return _finding("few transitions", counts < FEW_PER_ACTION, advice, unit="actions")


def reward_constant(dataset: Dataset) -> Finding | None:
    """A reward that is always the same."""
    if np.ptp(dataset.reward) > 0 or (dataset.reward[0] != 0 and dataset.terminated.any()):
        return None  # a constant reward until the end: the task is to last, or to be quick
    advice = "every policy is worth the same; is this the right column?"
    return Finding("constant reward", (0,), len(dataset), advice)


CHECKS: tuple[Callable[[Dataset], Finding | None], ...] = (
    out_of_range_actions,
    successor_mismatch,
    mask_mismatch,
    unsorted_steps,
    gaps,
    missing_truncation_flags,
    single_episode,
    short_episodes,
    duplicates,
    reward_constant,
    reward_outliers,
    constant_columns,
    constant_actions,
    few_per_action,
)


def _finding(kind: str, mask: np.ndarray | np.bool, advice: str, unit: str = "rows") -> Finding | None:
    found = np.flatnonzero(np.atleast_1d(mask))
    if len(found) == 0:
        return None
    return Finding(kind, tuple(int(row) for row in found[:SHOWN]), len(found), advice, unit)
