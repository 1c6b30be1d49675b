"""Finds what is wrong or suspicious in a dataset, with row numbers."""

from collections.abc import Callable, Mapping

import numpy as np

from prudent.data import features, logged_prob, outcomes
from prudent.data.columns import differing_rows
from prudent.data.dataset import Dataset
from prudent.data.episodes.recorders import hint
from prudent.data.finding import Finding, rows_finding
from prudent.data.mapped.folder import is_mapped
from prudent.progress import ticking

FEW_PER_ACTION = 1000
"""Fewer transitions than this, per action feature or discrete action, are a problem."""

LONG = 10
"""A step that takes more than this many times the median time is a gap."""

_ROUGH = "take a larger alpha if you set it yourself (prudent tune chooses it, and its intervals show how rough)"
"""What to do where the data are few. In a tuning alpha is chosen already."""

_REGULAR = 0.75
"""Step numbers are regular if at least this share of them rise by the median."""


def audit(dataset: Dataset) -> list[Finding]:
    """All problems of a dataset, in the order in which to look at them; empty if there are none.

    Row numbers are those of the dataset: rows that a reader dropped (see ``dataset.notes``) do not count. Readers
    refuse NaN and infinity; :func:`not_finite` finds them in raw columns.
    """
    findings = []
    with np.errstate(over="ignore", invalid="ignore"), ticking("looking for problems", len(CHECKS), "checks") as wait:
        for check in CHECKS:
            findings.append(check(dataset))
            wait.advance()
    return [finding for finding in findings if finding is not None]


@ticking("looking for problems")
def cautions(dataset: Dataset) -> list[Finding]:
    """The findings of :func:`audit` that take almost no time, to show before a training.

    If the rows are on disk, only rewards, flags of ends and discrete actions are read, and of probabilities some rows.
    """
    quick = (single_episode, reward_constant, counts_from_one, actions_with_gaps, *outcomes.CHECKS)
    quick += (logged_prob.contradiction,)
    checks = quick if is_mapped(dataset) else [c for c in CHECKS if c is not duplicates]
    with np.errstate(over="ignore", invalid="ignore"):
        return [finding for check in checks if (finding := check(dataset)) is not None]


def not_finite(columns: Mapping[str, np.ndarray]) -> list[Finding]:
    """One finding for each raw column (rows, ...) that holds NaN or infinity."""
    findings = []
    for key, column in columns.items():
        column = np.asarray(column)
        if column.dtype.kind == "f":
            bad = ~np.isfinite(column.reshape(len(column), -1)).all(axis=1)
            advice = "remove the episodes of these rows, or repair the source"
            findings.append(rows_finding(f"NaN or infinity in {key}", bad, advice))
    return [finding for finding in findings if finding is not None]


# --- checks -------------------------------------------------------------------------------------------------


def out_of_range_actions(dataset: Dataset) -> Finding | None:
    """Actions outside [-1, 1] where no bounds are declared; readers check declared bounds."""
    if dataset.spec.discrete or dataset.spec.action_low is not None:
        return None
    largest = np.abs(dataset.action).max(axis=0)
    outside = np.flatnonzero(largest > 1 + 1e-5).tolist()
    advice = (
        f"no bounds are declared: give action_low and action_high (--action-low, --action-high); "
        f"the log has {dataset.action.min():.4g} to {dataset.action.max():.4g} (features {outside})"
    )
    return rows_finding("actions outside [-1, 1]", (np.abs(dataset.action) > 1 + 1e-5).any(axis=1), advice)


def successor_mismatch(dataset: Dataset) -> Finding | None:
    """Rows inside an episode whose next observation is not the following row's observation."""
    ends = dataset.terminated | dataset.truncated
    wrong = np.zeros(len(dataset), dtype=bool)
    differs = differing_rows(dataset.next_observation[:-1], dataset.observation[1:])
    wrong[:-1] = differs & ~ends[:-1]
    if wrong.sum() > 0.5 * (~ends).sum():
        advice = "the rows are not in order of time: episodes and returns mean nothing here"
        advice += hint(dataset.observation, dataset.next_observation, ends)
    else:
        advice = "an episode ends there without a flag, or rows are missing: flag these rows as truncated"
    return rows_finding("successor mismatch", wrong, advice)


def mask_mismatch(dataset: Dataset) -> Finding | None:
    """Rows inside an episode whose next mask is not the following row's mask."""
    if "mask" not in dataset.extra:
        return None
    wrong = np.zeros(len(dataset), dtype=bool)
    differs = (dataset.extra["next_mask"][:-1] != dataset.extra["mask"][1:]).any(axis=1)
    wrong[:-1] = differs & ~(dataset.terminated | dataset.truncated)[:-1]
    return rows_finding(
        "mask mismatch", wrong, "next_action_masks differs from the next row's action_masks: check which is right"
    )


def unsorted_steps(dataset: Dataset) -> Finding | None:
    """Rows whose step number is not above that of the row before them in the same episode."""
    if "step" not in dataset.extra:
        return None
    wrong = np.zeros(len(dataset), dtype=bool)
    inside = ~(dataset.terminated | dataset.truncated)[:-1]
    wrong[1:] = inside & (np.diff(dataset.extra["step"]) <= 0)
    return rows_finding(
        "unsorted steps", wrong, "the rows are not in the order of their step numbers: sort each episode by step"
    )


def gaps(dataset: Dataset) -> Finding | None:
    """Rows after which steps are missing: regular step numbers jump, or a step takes much longer than usual."""
    wrong = np.zeros(len(dataset), dtype=bool)
    inside = ~(dataset.terminated | dataset.truncated)
    if "step" in dataset.extra and inside[:-1].any():
        rise = np.diff(dataset.extra["step"])
        usual = np.median(rise[inside[:-1]])
        # Unsorted steps jump as well, and are reported already.
        if rise[inside[:-1]].min() > 0 and (rise[inside[:-1]] == usual).mean() >= _REGULAR:
            wrong[:-1] = inside[:-1] & (rise > max(usual, 1))
    if "dt" in dataset.extra and inside.any():
        dt = dataset.extra["dt"]
        wrong |= inside & (dt > LONG * np.median(dt[inside]))
    return rows_finding(
        "gaps", wrong, "steps are missing from the log there: end the episode at this row, as truncated"
    )


def missing_truncation_flags(dataset: Dataset) -> Finding | None:
    """A long log of a single episode that never terminates: the flags are probably missing."""
    if dataset.n_episodes > 1 or len(dataset) <= 1000 or dataset.terminated.any():
        return None
    advice = "no episode ever ends: if the task has a time limit, give it as horizon, or add timeouts"
    return Finding("missing truncation flags", (len(dataset) - 1,), 1, advice)


def single_episode(dataset: Dataset) -> Finding | None:
    """A log of a single episode, unless its truncation flags are missing."""
    if dataset.n_episodes > 1 or missing_truncation_flags(dataset) is not None:
        return None
    advice = "one episode cannot tell luck from skill, and no value can be estimated from it: collect more"
    return Finding("a single episode", (), 1, advice, unit="episodes")


def short_episodes(dataset: Dataset) -> Finding | None:
    """Episodes of a single step."""
    single = dataset.episode_lengths == 1
    if dataset.n_episodes == len(dataset):
        return None  # a bandit: all of its episodes are one step long; outcomes looks at their flags
    rows = np.zeros(len(dataset), dtype=bool)
    rows[dataset.episode_bounds[:-1][single]] = True
    return rows_finding("episodes of length one", rows, "often an end flag was recorded twice: check the recorder")


def duplicates(dataset: Dataset) -> Finding | None:
    """Rows that repeat an earlier one exactly."""
    table = np.column_stack([dataset.observation, dataset.action.reshape(len(dataset), -1), dataset.next_observation])
    table = np.ascontiguousarray(np.column_stack([table, dataset.reward]), dataset.observation.dtype) + np.float32(0)
    _, first = np.unique(table.view(np.dtype((np.void, table.itemsize * table.shape[1]))).ravel(), return_index=True)
    repeated = np.ones(len(dataset), dtype=bool)
    repeated[first] = False
    return rows_finding("duplicate transitions", repeated, "they count twice: do the joined files share episodes?")


def constant_actions(dataset: Dataset) -> Finding | None:
    """Action features that never change, or a single discrete action."""
    if dataset.spec.discrete:
        taken = _counts(dataset) > 0
        constant = taken if taken.sum() == 1 else np.zeros_like(taken)
        kind, unit = "a single action", "actions"
    else:
        constant, kind, unit = np.ptp(dataset.action, axis=0) == 0, "constant action features", "features"
    return rows_finding(kind, constant, "nothing can be learned about other actions", unit, dataset.spec.first_action)


def counts_from_one(dataset: Dataset) -> Finding | None:
    """Discrete actions that nobody declared to begin at 1, though 0 is never taken and the largest number is."""
    spec = dataset.spec
    if not spec.discrete or spec.first_action != 0 or dataset.action.min() == 0:
        return None
    if dataset.action.max() != spec.last_action:
        return None
    advice = "does the log count from 1? then --first-action 1 (first_action=1); a Minari dataset says so itself"
    return Finding("action 0 is never taken", (0,), 1, advice, unit="actions")


def actions_with_gaps(dataset: Dataset) -> Finding | None:
    """Discrete actions of which only every tenth, say, occurs: amounts, or choices that are not numbered one by one."""
    if not dataset.spec.discrete:
        return None
    taken = np.flatnonzero(_counts(dataset)) + dataset.spec.first_action
    width = int(np.gcd.reduce(np.diff(taken))) if len(taken) > 1 else 1
    if width < 2:
        return None
    listed = ", ".join(map(str, taken[:5].tolist())) + (", ..." if len(taken) > 5 else "")
    advice = (
        f"only {listed} occur of {dataset.spec.first_action} to {dataset.spec.last_action}, all {width} or a multiple "
        f"of it apart, so most choices were never taken: if these are amounts, declare discrete=False (--discrete no); "
        "if choices, number them one by one in the log"
    )
    return Finding("action numbers with gaps", tuple(taken[:10].tolist()), len(taken), advice, unit="actions")


def reward_outliers(dataset: Dataset) -> Finding | None:
    """Rewards so far from the others that they would dominate the critic's squared error."""
    low, high = np.quantile(dataset.reward, [0.005, 0.995])
    spread = high - low
    if spread == 0:
        return None  # sparse rewards: the rare ones are meant
    outlying = (dataset.reward < low - 5 * spread) | (dataset.reward > high + 5 * spread)
    advice = f"99 % of the rewards lie between {low:.4g} and {high:.4g}: a sensor fault, or a penalty to clip?"
    return rows_finding("reward outliers", outlying, advice)


def few_per_action(dataset: Dataset) -> Finding | None:
    """Too few transitions to cover the actions; if they are discrete, which actions have too few."""
    if dataset.spec.discrete:
        return _few_per_discrete_action(dataset)
    needed = FEW_PER_ACTION * dataset.spec.action_size
    if len(dataset) >= needed:
        return None
    advice = (
        f"{len(dataset)} for {dataset.spec.action_size} action features, {needed} or more are usual, so values are "
        f"rough: {_ROUGH}"
    )
    return Finding("few transitions", (), len(dataset), advice, unit="transitions")


def _few_per_discrete_action(dataset: Dataset) -> Finding | None:
    counts = _counts(dataset)
    advice = (
        f"{FEW_PER_ACTION} or more of each action are usual, the rarest has {counts.min()}, so values of these actions "
        f"are rough: {_ROUGH}"
    )
    return rows_finding("few transitions", counts < FEW_PER_ACTION, advice, "actions", dataset.spec.first_action)


def _counts(dataset: Dataset) -> np.ndarray:
    """How often each discrete action was taken."""
    return np.bincount(dataset.spec.index_of(dataset.action), minlength=dataset.spec.action_size)


def reward_constant(dataset: Dataset) -> Finding | None:
    """A reward that is always the same."""
    if dataset.reward.max() > dataset.reward.min() or (dataset.reward[0] != 0 and dataset.terminated.any()):
        return None  # a constant reward until termination: the task is to last long, or to be quick
    if dataset.dropped is not None and dataset.dropped.telling:
        return None  # the rewards that differ were on dropped rows: another finding says so
    advice = "every policy is worth the same; is this the right column?"
    return Finding("constant reward", (0,), len(dataset), advice)


CHECKS: tuple[Callable[[Dataset], Finding | None], ...] = (
    out_of_range_actions,
    successor_mismatch,
    mask_mismatch,
    unsorted_steps,
    gaps,
    missing_truncation_flags,
    *outcomes.CHECKS,
    single_episode,
    short_episodes,
    duplicates,
    reward_constant,
    reward_outliers,
    logged_prob.contradiction,
    *features.CHECKS,
    constant_actions,
    counts_from_one,
    actions_with_gaps,
    few_per_action,
)
