"""Checks of how episodes end: whether their outcome was dropped, or counts as the end of the recording alone."""

from collections.abc import Callable

import numpy as np

from prudent.data.dataset import Dataset
from prudent.data.episodes.dropped import is_telling, percent
from prudent.data.finding import Finding, rows_finding
from prudent.data.logged_prob import contradiction

FEW_STEPS = 2
"""Episodes of so few steps leave nothing to judge by what would come after them."""


def dropped_reward(dataset: Dataset) -> Finding | None:
    """Rows that the reader dropped hold more reward than their number explains."""
    dropped = dataset.dropped
    if dropped is None or not dropped.telling:
        return None
    advice = (
        f"dropped rows hold {percent(dropped.share)} of all reward: is an episode's last row its end? "
        "then read the original log with --last-rows terminated"
    )
    return Finding("reward on dropped rows", (), dropped.rows, advice)


def truncated_reward(dataset: Dataset) -> Finding | None:
    """The last rows of truncated episodes hold more reward than their number explains."""
    cut = np.asarray(dataset.truncated)
    reward = np.abs(np.asarray(dataset.reward, dtype=np.float64))
    rows, magnitude, total = int(np.count_nonzero(cut)), float(reward[cut].sum()), float(reward.sum())
    if not is_telling(rows, magnitude, len(cut) - rows, total - magnitude):
        return None
    advice = (
        f"{percent(magnitude / total)} of all reward is on last rows that are truncated, so values go on after it: "
        "is an episode's last row its end? then flag it as terminated"
    )
    return rows_finding("reward on truncated last rows", cut, advice)


def short_truncated_episodes(dataset: Dataset) -> Finding | None:
    """Most episodes are cut after one or two steps: their values rest on what nobody saw."""
    ends = dataset.episode_bounds[1:] - 1
    cut = np.asarray(dataset.truncated)[ends]
    if np.count_nonzero(cut) < max(2, dataset.n_episodes / 2) or dataset.episode_lengths[cut].max() > FEW_STEPS:
        return None
    which = f"all {dataset.n_episodes:,}" if cut.all() else f"{np.count_nonzero(cut):,} of {dataset.n_episodes:,}"
    advice = (
        f"{which} episodes are cut after at most {FEW_STEPS} steps, so their values rest on states after which nothing "
        "was seen: if such a step is the end of value, flag it as terminated"
    )
    rows = np.zeros(len(dataset), dtype=bool)
    rows[ends[cut]] = True
    return rows_finding("short truncated episodes", rows, advice)


CHECKS: tuple[Callable[[Dataset], Finding | None], ...] = (dropped_reward, truncated_reward, short_truncated_episodes)


def warnings(dataset: Dataset) -> list[str]:
    """What these checks find, and contradictory probabilities, one line each; every verb that reads a log shows it."""
    findings = [check(dataset) for check in (*CHECKS, contradiction)]
    return [f"{dataset.name}: {finding}" for finding in findings if finding is not None]
