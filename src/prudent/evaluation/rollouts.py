"""Rollouts: the returns of policies in their environment, beside the values that their critics predict.

All members and episodes run together, with one policy call per time step. All members have the same start states.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from prudent import statistics
from prudent.engine import memory
from prudent.environments import vector
from prudent.environments.make import at_once, check_fits
from prudent.errors import ConfigError
from prudent.evaluation.result import COLUMNS, BothEvaluations, Evaluation
from prudent.progress import Wait

if TYPE_CHECKING:
    import torch

    from prudent.types import Spec


class Acting(Protocol):
    """P policies with the same spaces, such as a :class:`prudent.engine.population.Population`."""

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
        """(P,): the discount (gamma) of each member."""
        ...

    @property
    def reward_scale(self) -> float | np.ndarray:
        """The critics' rewards are ``reward_scale * reward + reward_shift``; one number, or one per member."""
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

        ``mask`` (P, B, A) bool says which discrete actions are allowed; None allows all. The action of a policy that
        has diverged is NaN, or if discrete one below the first.
        """
        ...

    def predicted_value(
        self, observation: np.ndarray, generator: torch.Generator | None, *, mask: np.ndarray | None = None
    ) -> np.ndarray | None:
        """(P, B, S) raw observations -> (P, B) values E_{a~pi}[min_e Q_e(s, a)] in transformed rewards.

        ``mask`` as in :meth:`act`. None if the algorithm learns no values.
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

    Episode k starts from the same state for every member, and again whenever the ``seed`` is the same. A member's
    figures do not depend on the other members, up to the rounding of matrix products. ``max_steps`` truncates episodes
    in environments without a time limit.

    Raises:
        ConfigError: the environment does not exist or does not fit the policies' spaces, or ``episodes`` or ``seed`` is
            too small.
        PrudentError: the environment failed or returned NaN.
    """
    import torch

    if episodes < 1 or seed < 0:
        raise ConfigError(f"episodes must be 1 or more and the seed 0 or more, got {episodes} and {seed}")
    check_memory(population.size, episodes)
    check_fits(env_id, population.spec, "the policy")
    # generate_state(K) begins with generate_state(K - 1): with more episodes, the first ones stay the same.
    # Its seeds spread over 32 bits, so that evaluations with seeds 0 and 1 share no start states.
    seeds = np.random.SeedSequence(seed).generate_state(episodes)
    parts: list[dict[str, np.ndarray]] = []
    predictions: list[np.ndarray] = []
    # The same for populations of any size: the number of episodes in a call decides their noise.
    portion = at_once(env_id)
    wait = Wait(f"evaluating in {env_id}, {'likeliest' if deterministic else 'sampled'} actions", episodes)
    for first in range(0, episodes, portion):
        portion_seeds = seeds[first : first + portion]
        # Two generators: how often the first is used depends on the length of the other members' episodes.
        acting, predicting = (torch.Generator().manual_seed(int(portion_seeds[0]) + offset) for offset in (0, 1))
        with vector.Environments(env_id, population.size * len(portion_seeds)) as environments, _one_thread(), wait:
            start, mask, columns = _rollout(
                population,
                environments,
                portion_seeds,
                deterministic,
                acting,
                max_steps,
                lambda share, before=first: wait.update(before + share * min(portion, episodes - before)),
            )
        parts.append(columns)
        predicted = population.predicted_value(start, predicting, mask=mask)
        if predicted is not None:
            predictions.append(predicted)
    return Evaluation(
        env_id,
        tuple(population.names),
        deterministic,
        predicted=np.concatenate(predictions, axis=1).astype(np.float64) if predictions else None,
        **{key: np.concatenate([part[key] for part in parts], axis=1) for key in COLUMNS},
    )


def check_memory(members: int, episodes: int) -> None:
    """Refuse an evaluation whose figures do not fit into memory.

    Raises:
        ConfigError: they do not.
    """
    numbers = (len(COLUMNS) + 1) * members * episodes
    memory.check(8 * numbers, f"the figures of {episodes} episodes", "take fewer episodes")


def evaluate_both(population: Acting, env_id: str, **options: Any) -> BothEvaluations:
    """:func:`evaluate` twice, deterministic and stochastic, from the same start states and with the same options."""
    return BothEvaluations(
        evaluate(population, env_id, deterministic=True, **options),
        evaluate(population, env_id, deterministic=False, **options),
    )


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    # A few dozen rows are too few for two threads: on a busy machine they wait for each other (30 rows through two
    # layers of 256: 0.2 ms with one thread, 2 to 7 with two).
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
    done: Callable[[float], None],
) -> tuple[np.ndarray, np.ndarray | None, dict[str, np.ndarray]]:
    """One episode per member and seed: start states (P, K, S), their masks, and (P, K) columns of an Evaluation.

    ``done`` is called after every step with the share that is done at least: of episodes, or of the time limit.
    """
    limit = min(max_steps, environments.time_limit or max_steps)
    shape, spec = (population.size, len(seeds)), population.spec
    observation = environments.reset(np.tile(seeds, population.size)).reshape(*shape, -1)
    start, start_mask = observation, _mask(population, environments, shape)
    lengths = np.zeros(shape, dtype=np.int64)
    terminated, diverged = np.zeros((2, *shape), dtype=bool)
    rewards: list[np.ndarray] = []
    while environments.active.any() and len(rewards) < max_steps:
        # Finished episodes get actions too, which are ignored: leaving them out would change the noise and the rounding
        # of the others, and a member would have other returns alone than in a population.
        mask = _mask(population, environments, shape)
        action = population.act(observation, deterministic, generator, mask=mask)
        # NaN never reaches the simulator: only the episodes of the diverged member end here.
        valid = action >= spec.first_action if spec.discrete else np.isfinite(action).all(axis=-1)
        stopped = environments.active.reshape(shape) & ~valid
        diverged |= stopped
        environments.active &= ~stopped.ravel()
        lengths += environments.active.reshape(shape)
        flat, reward, ended, _ = environments.step(action.reshape(len(environments), *action.shape[2:]))
        observation = flat.reshape(observation.shape)
        terminated |= ended.reshape(shape)
        rewards.append(reward.reshape(shape))
        done(max(len(rewards) / limit, 1 - float(environments.active.mean())))
    reward_TPK = np.array(rewards)
    scale_P1, shift_P1 = (np.reshape(x, (-1, 1)) for x in (population.reward_scale, population.reward_shift))
    transformed_TPK = scale_P1 * reward_TPK + shift_P1
    realized, continuation, weight = statistics.discounted(transformed_TPK, lengths, terminated, population.discount)
    columns = {
        "returns": np.where(diverged, np.nan, reward_TPK.sum(axis=0)),
        "lengths": lengths,
        "truncated": ~terminated & ~diverged,
        "realized": np.where(diverged, np.nan, realized),
        "continuation": continuation,
        "tail_weight": weight,
    }
    return start, start_mask, columns


def _mask(population: Acting, environments: vector.Environments, shape: tuple[int, int]) -> np.ndarray | None:
    allowed = environments.allowed(population.spec.action_size)
    return None if allowed is None else allowed.reshape(*shape, -1)
