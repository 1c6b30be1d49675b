"""Whether the log's own probabilities of its discrete actions can be true: ``behavior_log_prob`` against the actions.

True probabilities b(a|s) of the actions taken obey, whatever the policy:

- ``mean of 1{a = k} / b`` is the share of states in which action k can be taken, so at most 1. More means that the
  probabilities are too low.
- in one state, the chance that another row has the same action is b. If the same action is taken less often in equal
  states, the probabilities are too high, as 1 in every row of a log that explored.
- for an action m that is chosen without looking at a, the mean of ``1{a = m} (1 - b) / b`` is that of ``1{a != m}``. If
  the second is larger, the probabilities are too high.

Where states do not repeat, m is the action on which the neighbours of a row agree, in those rows where they agree most.
A policy without chance also changes its action from one state to the next, but the less the closer these are. So the
rows with the closest neighbours must say the same. Where neighbours hardly ever agree, nothing is said.
"""

from dataclasses import dataclass

import numpy as np

from prudent.data.dataset import Dataset
from prudent.data.finding import Finding

COLUMNS = ("behavior_log_prob", "behaviour_log_prob")
"""Column with the log-probability of each logged action (log-density in the log's units): the name that readers use,
and the British spelling."""

LEAST, MOST, ASKED = 100, 20_000, 4_000
"""Rows below which nothing is said; rows that are looked at; rows whose neighbours are looked for."""
NEIGHBOURS, UNITED = 10, 0.85
"""Neighbours of a row, and the share of them from which on they are said to agree."""
SUREST, CLOSEST = 0.2, 0.1
"""Shares of the rows: those whose neighbours agree most, and those with the closest neighbours."""
ALIKE = 0.5
"""The nearest neighbour is a like state if its distance is below this share of that of any two states."""
TOO_LOW, TOO_HIGH = 0.1, 0.03
"""A mean of 1{a = k} / b may be this much above 1, and a share of rows this much below its probability."""
ERRORS, BOTH = 4.0, 3.0
"""Standard errors that are allowed for besides: of one figure, and of each of two that must agree."""


def contradiction(dataset: Dataset) -> Finding | None:
    """The log's own probabilities of discrete actions cannot be those of its actions."""
    names = [name for name in COLUMNS if name in dataset.extra]
    if not dataset.spec.discrete or len(names) != 1 or len(dataset) < LEAST:
        return None
    column = np.asarray(dataset.extra[names[0]])
    if column.dtype.kind not in "fiu" or column.size != len(dataset):
        return None  # reading it as probabilities is refused, with a line of its own
    rows = _sample(len(dataset), MOST)
    log_prob = column.reshape(-1)[rows].astype(np.float64)
    if not np.isfinite(log_prob).all() or (log_prob > 1e-6).any():
        return None
    log = _Rows.of(dataset, rows, np.exp(np.minimum(log_prob, 0.0)))
    problem = _too_low(log, dataset.spec.first_action) or _too_high(log)
    if not problem:
        return None
    advice = f"{names[0]} {problem}: correct it, or leave it out, and a model of the behaviour is fitted instead"
    return Finding("logged probabilities contradict the actions", (), len(dataset), advice)


def doubt(dataset: Dataset) -> str:
    """The finding in words; ``""`` without one."""
    finding = contradiction(dataset)
    return "" if finding is None else f"{finding.kind}: {finding.advice}"


@dataclass(frozen=True, eq=False)
class _Rows:
    """Some rows (R,): states (R, S) in standard deviations, the number of the mask, the index of the action, its
    probability, the episode.
    """

    state: np.ndarray
    choices: np.ndarray
    action: np.ndarray
    probability: np.ndarray
    episode: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset, rows: np.ndarray, probability: np.ndarray) -> "_Rows":
        observation = np.asarray(dataset.observation[rows], dtype=np.float64)
        centred = observation - observation.mean(0)
        spread = centred.std(0)
        varies = spread > 1e-9 * np.abs(observation).max(0, initial=0.0)
        choices = np.zeros(len(rows), dtype=np.int64)
        if "mask" in dataset.extra:
            choices = np.unique(np.asarray(dataset.extra["mask"][rows]), axis=0, return_inverse=True)[1].ravel()
        return cls(
            centred[:, varies] / spread[varies],
            choices,
            dataset.spec.index_of(np.asarray(dataset.action[rows])),
            probability,
            np.searchsorted(dataset.episode_bounds, rows, side="right"),
        )


def _sample(count: int, most: int) -> np.ndarray:
    """Up to ``most`` of ``count`` rows, in order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def _is_above(values: np.ndarray, limit: float, errors: float) -> bool:
    """Whether a mean is above a limit by more than so many standard errors."""
    if len(values) < LEAST // 5:
        return False
    return float(values.mean()) > limit + errors * float(values.std()) / len(values) ** 0.5


def _too_low(log: _Rows, first_action: int) -> str:
    for k in np.unique(log.action):
        inverse = np.where(log.action == k, 1 / np.maximum(log.probability, 1e-300), 0.0)
        if _is_above(inverse, 1 + TOO_LOW, ERRORS):
            return (
                f"gives the actions too low a probability: action {k + first_action} is taken {inverse.mean():.3g} "
                "times as often as it says, at least"
            )
    return ""


def _too_high(log: _Rows) -> str:
    same = _in_equal_states(log)
    if same is not None:
        repeated, share = same
        given = log.probability[repeated]
        # If the probabilities are true, a probability of 1 leaves nothing to chance.
        error = float((given * (1 - given)).mean() / len(given)) ** 0.5
        excess = float((given - share).mean())
        return _text(given, share, "equal") if excess > TOO_HIGH + ERRORS * error else ""
    return _in_like_states(log)


def _text(given: np.ndarray, share: np.ndarray, kind: str) -> str:
    return (
        f"gives the actions a probability of {given.mean():.2f} on average, but in {kind} states the same action is "
        f"taken in only {100 * share.mean():.0f} % of the rows"
    )


def _in_equal_states(log: _Rows) -> tuple[np.ndarray, np.ndarray] | None:
    """Rows whose state occurs again, and the share of the same action in its other rows; None if these are few."""
    _, state = np.unique(np.column_stack([log.state, log.choices]), axis=0, return_inverse=True)
    state = state.ravel()
    visits = np.bincount(state)[state]
    repeated = np.flatnonzero(visits > 1)
    if len(repeated) < max(LEAST, len(state) / 2):
        return None
    _, pair = np.unique(np.column_stack([state, log.action]), axis=0, return_inverse=True)
    alike = np.bincount(pair.ravel())[pair.ravel()]
    return repeated, (alike[repeated] - 1) / (visits[repeated] - 1)


def _in_like_states(log: _Rows) -> str:
    asked, near, distance = _neighbours(log, _sample(len(log.action), ASKED))
    usual = (2 * log.state.shape[1]) ** 0.5  # root mean square distance of any two states
    alike = distance[:, 0] < ALIKE * usual
    asked, near, distance = asked[alike], near[alike], distance[alike]
    if len(asked) < LEAST:
        return ""
    own, given, actions = log.action[asked], log.probability[asked], log.action[near]
    return _if_united(own, given, actions, distance)


def _if_united(own: np.ndarray, given: np.ndarray, actions: np.ndarray, distance: np.ndarray) -> str:
    """From the rows whose neighbours agree most."""
    counts = np.zeros((len(own), int(actions.max()) + 1))
    np.add.at(counts, (np.arange(len(own))[:, None], actions), 1.0)
    agreed, usual = counts.max(1), counts.argmax(1)
    sure = np.flatnonzero(agreed >= np.quantile(agreed, 1 - SUREST))
    closest = sure[np.argsort(distance[sure, 0], kind="stable")[: len(sure) // 2]]
    if agreed[sure].mean() < UNITED * NEIGHBOURS:
        return ""  # chance, or a policy that changes from each state to the next: the log cannot tell
    same = own == usual
    rarer = ~same - np.where(same, (1 - given) / given, 0.0)
    if _is_above(rarer[sure], TOO_HIGH, BOTH) and _is_above(rarer[closest], TOO_HIGH, BOTH):
        return _text(given[sure], same[sure], "like")
    return ""


def _neighbours(log: _Rows, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nearest rows of other episodes with the same choices, nearest first.

    The rows of ``asked`` that have enough of them (Q,), those neighbours and their distances, (Q, NEIGHBOURS).
    """
    squares = np.square(log.state).sum(1)
    kept, near, distance = [], [], []
    parts = np.array_split(asked, max(1, len(asked) * len(squares) // 4_000_000)) if len(squares) > NEIGHBOURS else []
    for part in parts:
        table = squares[part][:, None] + squares - 2 * log.state[part] @ log.state.T
        table[log.episode[part][:, None] == log.episode] = np.inf
        table[log.choices[part][:, None] != log.choices] = np.inf
        chosen = np.argpartition(table, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        found = np.take_along_axis(table, chosen, 1)
        order = np.argsort(found, axis=1, kind="stable")
        enough = np.isfinite(found).all(1)
        kept.append(part[enough])
        near.append(np.take_along_axis(chosen, order, 1)[enough])
        distance.append(np.maximum(np.take_along_axis(found, order, 1), 0.0)[enough] ** 0.5)
    if not kept:
        return asked[:0], np.zeros((0, NEIGHBOURS), dtype=np.int64), np.zeros((0, NEIGHBOURS))
    return np.concatenate(kept), np.concatenate(near), np.concatenate(distance)
