"""Fitted Q evaluation: the values of a policy, learned from the log.

Le, Voloshin & Yue 2019 (arXiv 1903.08738) iterate ``y = r + gamma^dt (1 - terminated) E_{a' ~ pi(.|s')} Q(s', a')`` and
fit Q to y. Here Q is linear in features that were learned from the log (:mod:`prudent.ope.features`), and the fixed
point of these iterations is solved exactly (:mod:`prudent.ope.last_layer`). Gradient steps would either stop before a
long horizon is learned or, with more of them, run away in directions that the log does not determine.

The expectation is a sum over discrete actions, and a mean over some draws of a continuous policy. Each fit uses the
features of one member. There is no minimum over fits, since a lower bound is not an estimate. Fits may have their own
rows: all but one fold, or a resample with replacement.

There are no targets over several steps (``n_steps``): they bring values sooner to critics that learn by gradient steps.
Here the fixed point is solved, and they would only lean the estimate towards the behaviour policy.

Rewards are raw. Internally Q is ``centre + spread * phi(s, a) theta``, so that coefficients are of order one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from prudent.data import Dataset
from prudent.engine.batches import as_tensor
from prudent.ope import policy as policies
from prudent.ope.episodes import Episodes, goes_on
from prudent.ope.features import LogFeatures, LogRows, level
from prudent.ope.last_layer import Solution, System
from prudent.ope.policy import ContinuousPolicy, Policy
from prudent.ope.settings import Settings


@dataclass(frozen=True, eq=False)
class Decisions:
    """The log as fitted Q evaluation reads it: rows in the units of the networks, and the policy's actions there.

    Attributes:
        observation, next_observation, action: see :class:`prudent.ope.features.LogRows`.
        reward: (rows,) raw.
        discount: (rows,) float64, ``gamma^dt``, 0 at a termination.
        policy, next_policy: the policy at s and at s': probabilities (rows, A) of discrete actions, or draws (rows, N,
            A) of continuous ones, standardised.
        policy_actions: ``policy`` in the units of the log.
        centre, spread: Q is ``centre + spread * phi theta``.
        bad_end: (rows,) 1 where an episode ended badly, else 0; None if none did (:func:`bad_ends`).
    """

    observation: Tensor
    next_observation: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    policy: Tensor
    next_policy: Tensor
    policy_actions: np.ndarray
    centre: float
    spread: float
    bad_end: Tensor | None = None

    @property
    def discrete(self) -> bool:
        """Whether actions are discrete."""
        return not self.action.is_floating_point()


def decisions(episodes: Episodes, policy: Policy, rows: LogRows, settings: Settings, seed: int) -> Decisions:
    """The log with the actions of ``policy`` in its states.

    Raises:
        ConfigError: the policy has diverged.
    """
    dataset = episodes.dataset
    if not isinstance(policy, ContinuousPolicy):
        table, next_table = policies.tables(policy, dataset)
        return _assemble(episodes, rows, rows.action, torch.from_numpy(table), torch.from_numpy(next_table), table)
    count = 1 if policy.log_prob is None else settings.draws  # without chance all draws are the same
    drawn = policies.draws(policy, dataset.observation, count, seed)
    next_drawn = policies.draws(policy, dataset.next_observation, count, seed + 1)
    scaled, next_scaled = rows.standardized(drawn), rows.standardized(next_drawn)
    return _assemble(episodes, rows, rows.action, scaled, next_scaled, drawn)


def behaviour_decisions(episodes: Episodes, rows: LogRows) -> Decisions:
    """The log with a single action that the policy always takes: fitting it learns V of the behaviour policy."""
    always = np.ones((len(episodes.dataset), 1), dtype=np.float32)
    no_choice, table = torch.zeros(len(always), dtype=torch.int64), torch.from_numpy(always)
    return _assemble(episodes, rows, no_choice, table, table, always)


def _assemble(
    episodes: Episodes, rows: LogRows, action: Tensor, policy: Tensor, next_policy: Tensor, policy_actions: np.ndarray
) -> Decisions:
    dataset = episodes.dataset
    discount = np.where(goes_on(dataset), episodes.discount**episodes.dt, 0.0)
    centre, spread = level(dataset.reward, discount)
    ended = bad_ends(dataset)
    return Decisions(
        observation=rows.observation,
        next_observation=rows.next_observation,
        action=action,
        reward=as_tensor(dataset.reward),
        discount=torch.from_numpy(discount),  # float64: with short steps it is close to 1
        policy=policy,
        next_policy=next_policy,
        policy_actions=policy_actions,
        centre=centre,
        spread=spread,
        bad_end=torch.from_numpy(ended.astype(np.float32)) if ended.any() else None,
    )


def bad_ends(dataset: Dataset) -> np.ndarray:
    """(rows,) bool: the episode terminated here with a loss.

    A loss is a reward below 0 and below all but a hundredth of the rewards of the rows that did not terminate.
    """
    going_on = dataset.reward[goes_on(dataset)]
    if not len(going_on):
        return np.zeros(len(dataset), dtype=bool)
    return ~goes_on(dataset) & (dataset.reward < min(0.0, float(np.quantile(going_on, 0.01))))


# --- values -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FittedValues:
    """Fitted values of P fits. Every method returns raw reward units, float64.

    ``member`` (P,) is the member of the features that each fit uses.
    """

    problem: Decisions
    features: LogFeatures
    member: tuple[int, ...]
    solutions: tuple[Solution, ...]

    @property
    def bad_end(self) -> "FittedValues | None":
        """Values of a reward of 1 at a bad end: its discounted chance. None if no episode of the log ended badly."""
        if self.problem.bad_end is None:
            return None
        problem = replace(self.problem, centre=0.0, spread=1.0, reward=self.problem.bad_end)
        chances = tuple(s.bad_end for s in self.solutions if s.bad_end is not None)
        return replace(self, problem=problem, solutions=chances)

    def logged_q(self, fits: Sequence[int], rows: np.ndarray) -> np.ndarray:
        """Q of the logged actions, (fits, rows)."""
        if self.problem.discrete:
            taken = torch.nn.functional.one_hot(self.problem.action, self.problem.policy.shape[1]).double()
            return self._expected(fits, rows, taken, following=False)
        return self._expected(fits, rows, self.problem.action.unsqueeze(1), following=False)

    def value(self, fits: Sequence[int], rows: np.ndarray) -> np.ndarray:
        """V of the states of these rows, (fits, rows)."""
        return self._expected(fits, rows, self.problem.policy, following=False)

    def next_value(self, fits: Sequence[int], rows: np.ndarray) -> np.ndarray:
        """V of the next states of these rows, (fits, rows)."""
        return self._expected(fits, rows, self.problem.next_policy, following=True)

    def errors(self, fit: int) -> np.ndarray:
        """``r + gamma^dt V(s') - Q(s, a)`` of every row, (rows,)."""
        rows = np.arange(len(self.problem.reward))
        ahead = self.problem.discount.numpy() * self.next_value([fit], rows)[0]
        return self.problem.reward.double().numpy() + ahead - self.logged_q([fit], rows)[0]

    @torch.no_grad()
    def _expected(self, fits: Sequence[int], rows: np.ndarray, actions: Tensor, *, following: bool) -> np.ndarray:
        values = np.empty((len(fits), len(rows)))
        observation = self.problem.next_observation if following else self.problem.observation
        for member in {self.member[fit] for fit in fits}:
            places = [place for place, fit in enumerate(fits) if self.member[fit] == member]
            solutions = [self.solutions[fits[place]] for place in places]
            state = self.features.next_state(member) if following else self.features.state(member)
            for piece in policies.slices(len(rows)):
                index = torch.from_numpy(rows[piece])
                h, chosen = state[index], actions[index]
                if self.problem.discrete:
                    tables = h @ torch.stack([s.state for s in solutions])
                    raw = tables[..., 0] + (tables[..., 1:] * chosen.double()).sum(-1)
                else:
                    pair = self.features.mean_pair(member, observation[index], chosen)
                    both = [(s.state, s.pair) for s in solutions if s.pair is not None]
                    raw = torch.stack([(h @ of_state + pair @ of_pair).squeeze(1) for of_state, of_pair in both])
                values[places, piece] = raw.numpy()
        return self.problem.centre + self.problem.spread * values


def combine(values_P: np.ndarray) -> np.ndarray:
    """One value from those of the members (P, ...): their mean, never their minimum."""
    return values_P.mean(axis=0)


# --- fitting ----------------------------------------------------------------------------------------------------------


def all_rows(episodes: Episodes) -> Tensor:
    """Every row once: (rows,) of ones."""
    return torch.ones(len(episodes.dataset), dtype=torch.double)


def rows_of(episodes: Episodes, counts_E: np.ndarray) -> Tensor:
    """How often each row is there, (rows,), if each episode is there ``counts_E`` (episodes,) times."""
    return torch.from_numpy(counts_E[episodes.dataset.episode_of_row].astype(np.float64))


def fit(
    problem: Decisions, features: LogFeatures, counts: Sequence[Tensor], starts: np.ndarray | None = None
) -> FittedValues:
    """One fit for each of ``counts`` (:func:`all_rows`, :func:`rows_of`); they take turns with the features' members.

    With ``starts``, the first row of each episode, the solutions have ``visits``.
    """
    member = tuple(k % features.members for k in range(len(counts)))
    solutions: dict[int, Solution] = {}
    begin = None if starts is None else torch.from_numpy(starts)
    for m in range(min(features.members, len(counts))):
        turns = [k for k, chosen in enumerate(member) if chosen == m]
        solved = System(problem, features, m).solve([counts[k] for k in turns], begin)
        solutions |= dict(zip(turns, solved, strict=True))
    return FittedValues(problem, features, member, tuple(solutions[k] for k in range(len(counts))))
