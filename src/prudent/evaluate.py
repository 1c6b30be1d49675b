"""What a policy earns in its environment, and whether it was predicted too high.

All members and episodes run at once, one policy call per time step. Every member meets the same start states.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from prudent import envs, statistics
from prudent.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from prudent.types import Spec


class Acting(Protocol):
    """What can be evaluated: P policies with the same spaces, as :class:`prudent.population.Population`."""

    @property
    def size(self) -> int:
        """P, the number of members."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """One distinct name per member."""
        ...

    @property
    def spec(self) -> Spec:
        """Observations and actions, in environment units."""
        ...

    @property
    def discount(self) -> np.ndarray:
        """(P,): gamma of each member."""
        ...

    @property
    def reward_scale(self) -> float | np.ndarray:
        """Values are in units of ``reward_scale * reward + reward_shift``; one number, or one per member."""
        ...

    @property
    def reward_shift(self) -> float | np.ndarray:
        """See ``reward_scale``."""
        ...

    def act(
        self,
        observation: np.ndarray,
        deterministic: bool,
        generator: torch.Generator | None,
        *,
        mask: np.ndarray | None = None,
    ) -> np.ndarray:
        """(P, B, S) raw observations -> (P, B, A) actions in environment units (discrete: (P, B) int64).

        ``mask`` (P, B, A) bool says which discrete actions are allowed; None allows all. What has diverged takes NaN,
        or -1 of discrete actions.
        """
        ...

    def predicted_value(
        self, observation: np.ndarray, generator: torch.Generator | None, *, mask: np.ndarray | None = None
    ) -> np.ndarray | None:
        """(P, B, S) raw observations -> (P, B) values E_{a~pi}[min_e Q_e(s, a)] in transformed rewards.

        ``mask`` as in :meth:`act`. None where the algorithm learns no values.
        """
        ...


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Episodes of P members. Arrays are (P, K) for K episodes; row k of every member began in the same state.

    Attributes:
        env_id: the environment.
        names: one per member.
        deterministic: whether the policies took their mode or sampled.
        returns: undiscounted sums of raw rewards. NaN where a member's action was not a number: it has
            diverged, and no return would be honest.
        lengths: steps.
        truncated: ended by a time limit, not by the task.
        realized: discounted sums of transformed rewards with the member's own discount, the counterpart of
            ``predicted``. A truncated episode is taken to go on as it ended, see
            :func:`prudent.statistics.discounted`.
        continuation: the part of ``realized`` that stands for the time after a truncation; 0 elsewhere.
        tail_weight: gamma ** length where truncated, else 0: how much of the future was not watched.
        predicted: values of the start states under the *stochastic* policy; None without a critic.
    """

    env_id: str
    names: tuple[str, ...]
    deterministic: bool
    returns: np.ndarray
    lengths: np.ndarray
    truncated: np.ndarray
    realized: np.ndarray
    continuation: np.ndarray
    tail_weight: np.ndarray
    predicted: np.ndarray | None

    def select(self, members: Iterable[int]) -> Evaluation:
        """The same for some members, by index: the seeds of one setting, say."""
        rows = np.array(list(members), dtype=np.int64)
        columns = {key: getattr(self, key)[rows] for key in _COLUMNS}
        predicted = None if self.predicted is None else self.predicted[rows]
        names = tuple(self.names[row] for row in rows)
        return Evaluation(self.env_id, names, self.deterministic, predicted=predicted, **columns)

    @property
    def diverged(self) -> list[str]:
        """Names of the members whose policy returned NaN."""
        return [name for name, row in zip(self.names, self.returns, strict=True) if np.isnan(row).any()]

    def summary(self) -> dict[str, Any]:
        """``{"overall", "members": {name: figures}, "settings": {name: figures}}``, ready for JSON.

        None stands for what has no value. ``overall`` is over all members. Where they differ in more than their
        seed that is nobody's figure, and ``settings`` has those of the seeds of each (``alpha=5``), see
        :func:`settings_of`; it is empty where there is one setting only.

        ``return_mean`` and ``return_std``, ``iqm`` and its bootstrap interval ``ci95`` ``[low, high]`` are
        raw returns over all episodes, :mod:`prudent.statistics` says how; ``normalized_score`` is that of the
        mean, where the environment has references. ``predicted_value`` and ``realized_value`` are means over
        start states of discounted transformed rewards, ``lower_bound_share`` the share of start states where
        the prediction was no higher than what was realised. One realised return is one draw: an unbiased
        prediction would score about a half, a lower bound close to 1.
        """
        members = {name: self.select([index])._figures() for index, name in enumerate(self.names)}
        groups = settings_of(self.names)
        settings = {name: self.select(group)._figures() for name, group in groups.items()} if len(groups) > 1 else {}
        return {"overall": self._figures(), "members": members, "settings": settings}

    def _figures(self) -> dict[str, Any]:
        interval = statistics.interval(self.returns)
        figures = {
            "return_mean": _number(self.returns.mean()),
            "return_std": _number(self.returns.std()),
            "normalized_score": _score(self.env_id, self.returns.mean()),
            "iqm": _number(statistics.iqm(self.returns.ravel())),
            "ci95": None if interval is None else list(interval),
            "predicted_value": None if self.predicted is None else _number(self.predicted.mean()),
            "realized_value": _number(self.realized.mean()),
            "lower_bound_share": None,
        }
        # The critic values the policy that samples. The deterministic one usually earns more: holding the
        # prediction against its return would make a prediction that is too high look like a lower bound.
        if self.predicted is not None and not self.deterministic:
            known = np.isfinite(self.predicted) & np.isfinite(self.realized)
            if known.all():
                figures["lower_bound_share"] = float((self.predicted <= self.realized).mean())
        return figures


ALL_SEEDS = "all seeds"
"""The setting of members that have no name but their seed."""


def settings_of(names: Sequence[str]) -> dict[str, list[int]]:
    """Indices of the members that differ in nothing but their seed, by what their names have in common.

    ``{"alpha=1": [0, 1], "alpha=5": [2, 3]}``, in the order of the members; :data:`ALL_SEEDS` where nothing is left.
    """
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        common = re.sub(r"(^|,)\s*seed=[^,]*", "", name).strip(", ")
        groups.setdefault(common or ALL_SEEDS, []).append(index)
    return groups


_COLUMNS = ("returns", "lengths", "truncated", "realized", "continuation", "tail_weight")


@dataclass(frozen=True, eq=False)
class BothEvaluations:
    """The same policies taking their mode, and sampling, from the same start states."""

    deterministic: Evaluation
    stochastic: Evaluation

    def summary(self) -> dict[str, Any]:
        """``{"overall", "members", "settings", "deterministic", "stochastic"}``.

        The last two are the summaries of each. The others take from each what is meaningful: returns of the
        deterministic policy, the one deployed; prediction against realisation of the stochastic one, the one the
        critic speaks of.
        """
        deterministic, stochastic = self.deterministic.summary(), self.stochastic.summary()
        merged = {
            key: {name: _merge(figures, stochastic[key][name]) for name, figures in deterministic[key].items()}
            for key in ("members", "settings")
        }
        return {
            "overall": _merge(deterministic["overall"], stochastic["overall"]),
            **merged,
            "deterministic": deterministic,
            "stochastic": stochastic,
        }


def _merge(deterministic: dict[str, Any], stochastic: dict[str, Any]) -> dict[str, Any]:
    value = {key: stochastic[key] for key in ("predicted_value", "realized_value", "lower_bound_share")}
    return {**deterministic, **value}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _score(env_id: str, value: float) -> float | None:
    from prudent.data.scores import normalized_score

    if not np.isfinite(value):
        return None
    score = normalized_score(env_id, float(value))
    return None if score is None else _number(score)


# --- running ----------------------------------------------------------------------------------------------


def evaluate(
    population: Acting,
    env_id: str,
    *,
    episodes: int = 10,
    seed: int = 0,
    deterministic: bool = True,
    max_steps: int = 10_000,
) -> Evaluation:
    """Run every member for some episodes.

    Episode k starts from the same state for every member, and again for the same ``seed``. A member's figures
    do not depend on the others beside it, up to the rounding of matrix products. ``max_steps`` cuts episodes
    of environments without a time limit of their own; that counts as truncation.

    Raises:
        ConfigError: the environment does not exist or does not fit the population's spaces, or ``episodes`` or
            ``seed`` is no count.
        PrudentError: the environment failed or returned NaN.
    """
    import torch

    if episodes < 1 or seed < 0:
        raise ConfigError(f"episodes must be 1 or more and the seed 0 or more, got {episodes} and {seed}")
    envs.check_fits(env_id, population.spec)
    # generate_state(K) begins with generate_state(K - 1): asking for more episodes keeps the first ones.
    # Seeds spread over 32 bits, so that evaluations with seeds 0 and 1 share no start states.
    seeds = np.random.SeedSequence(seed).generate_state(episodes)
    parts: list[dict[str, np.ndarray]] = []
    predictions: list[np.ndarray | None] = []
    # Not fewer for a larger population: how many sample together decides their noise.
    portion = envs.at_once(env_id)
    for first in range(0, episodes, portion):
        some = seeds[first : first + portion]
        # A generator each: how often the first was used depends on how long the other members lasted.
        acting, predicting = (torch.Generator().manual_seed(int(some[0]) + offset) for offset in (0, 1))
        with envs.Environments(env_id, population.size * len(some)) as environments, _one_thread():
            start, mask, columns = _rollout(population, environments, some, deterministic, acting, max_steps)
        parts.append(columns)
        predictions.append(population.predicted_value(start, predicting, mask=mask))
    known = [values for values in predictions if values is not None]
    return Evaluation(
        env_id,
        tuple(population.names),
        deterministic,
        predicted=np.concatenate(known, axis=1).astype(np.float64) if known else None,
        **{key: np.concatenate([part[key] for part in parts], axis=1) for key in _COLUMNS},
    )


def evaluate_both(population: Acting, env_id: str, **options: Any) -> BothEvaluations:
    """:func:`evaluate` twice, deterministic and stochastic, from the same start states; options as there."""
    return BothEvaluations(
        evaluate(population, env_id, deterministic=True, **options),
        evaluate(population, env_id, deterministic=False, **options),
    )


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    # A few dozen rows are too little to share: on a busy machine two threads wait for each other ten times as
    # long as one takes (30 rows through 2 x 256: 0.2 ms against 2 to 7).
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _rollout(
    population: Acting,
    environments: envs.Environments,
    seeds: np.ndarray,
    deterministic: bool,
    generator: torch.Generator,
    max_steps: int,
) -> tuple[np.ndarray, np.ndarray | None, dict[str, np.ndarray]]:
    """One episode per member and seed: start states (P, K, S), their masks, the (P, K) columns of an Evaluation."""
    shape = (population.size, len(seeds))
    observation = environments.reset(np.tile(seeds, population.size)).reshape(*shape, -1)
    start, start_mask = observation, _mask(population, environments, shape)
    lengths = np.zeros(shape, dtype=np.int64)
    terminated, diverged = np.zeros((2, *shape), dtype=bool)
    rewards: list[np.ndarray] = []
    while environments.active.any() and len(rewards) < max_steps:
        # Finished episodes act along, unheard: leaving them out would shift the noise of the others and round
        # their numbers differently, so that a member would earn something else alone than in company.
        mask = _mask(population, environments, shape)
        action = population.act(observation, deterministic, generator, mask=mask)
        # NaN never reaches the simulator: a diverged member ends here, and must not end the others.
        known = action >= 0 if population.spec.discrete else np.isfinite(action).all(axis=-1)
        lost = environments.active.reshape(shape) & ~known
        diverged |= lost
        environments.active &= ~lost.ravel()
        lengths += environments.active.reshape(shape)
        flat, reward, ended, _ = environments.step(action.reshape(len(environments), *action.shape[2:]))
        observation = flat.reshape(observation.shape)
        terminated |= ended.reshape(shape)
        rewards.append(reward.reshape(shape))
    reward_TPK = np.array(rewards)
    scale_P1, shift_P1 = (
        np.reshape(population.reward_scale, (-1, 1)),
        np.reshape(population.reward_shift, (-1, 1)),
    )
    transformed_TPK = scale_P1 * reward_TPK + shift_P1
    realized, continuation, weight = statistics.discounted(transformed_TPK, lengths, terminated, population.discount)
    return (
        start,
        start_mask,
        {
            "returns": np.where(diverged, np.nan, reward_TPK.sum(axis=0)),
            "lengths": lengths,
            "truncated": ~terminated & ~diverged,
            "realized": np.where(diverged, np.nan, realized),
            "continuation": continuation,
            "tail_weight": weight,
        },
    )


def _mask(population: Acting, environments: envs.Environments, shape: tuple[int, int]) -> np.ndarray | None:
    allowed = environments.allowed(population.spec.action_size)
    return None if allowed is None else allowed.reshape(*shape, -1)
