"""What a policy earns in its environment, and whether it was predicted too high.

All members and episodes run at once, one policy call per time step. Every member meets the same start states.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from prudent import statistics
from prudent.environments import vector
from prudent.environments.make import at_once, check_fits
from prudent.errors import ConfigError
from prudent.evaluation.result import COLUMNS, BothEvaluations, Evaluation

if TYPE_CHECKING:
    import torch

    from prudent.types import Spec


class Acting(Protocol):
    """What can be evaluated: P policies with the same spaces, as :class:`prudent.engine.population.Population`."""

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
    check_fits(env_id, population.spec, "the policy")
    # generate_state(K) begins with generate_state(K - 1): asking for more episodes keeps the first ones.
    # Seeds spread over 32 bits, so that evaluations with seeds 0 and 1 share no start states.
    seeds = np.random.SeedSequence(seed).generate_state(episodes)
    parts: list[dict[str, np.ndarray]] = []
    predictions: list[np.ndarray | None] = []
    # Not fewer for a larger population: how many sample together decides their noise.
    portion = at_once(env_id)
    for first in range(0, episodes, portion):
        some = seeds[first : first + portion]
        # A generator each: how often the first was used depends on how long the other members lasted.
        acting, predicting = (torch.Generator().manual_seed(int(some[0]) + offset) for offset in (0, 1))
        with vector.Environments(env_id, population.size * len(some)) as environments, _one_thread():
            start, mask, columns = _rollout(population, environments, some, deterministic, acting, max_steps)
        parts.append(columns)
        predictions.append(population.predicted_value(start, predicting, mask=mask))
    known = [values for values in predictions if values is not None]
    return Evaluation(
        env_id,
        tuple(population.names),
        deterministic,
        predicted=np.concatenate(known, axis=1).astype(np.float64) if known else None,
        **{key: np.concatenate([part[key] for part in parts], axis=1) for key in COLUMNS},
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
    environments: vector.Environments,
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


def _mask(population: Acting, environments: vector.Environments, shape: tuple[int, int]) -> np.ndarray | None:
    allowed = environments.allowed(population.spec.action_size)
    return None if allowed is None else allowed.reshape(*shape, -1)
