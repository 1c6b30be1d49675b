"""Problems with exactly known values, to compare estimates with the truth.

:func:`tabular` is a random Markov decision process with few states, solved as linear equations. :func:`quadratic` is a
linear system with quadratic costs and Gaussian policies, solved as a discrete Lyapunov equation. Both truncate
recordings at random, and both log the probabilities of the behaviour policy.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from prudent.data import Dataset
from prudent.ope.policy import ContinuousPolicy, DiscretePolicy, Policy
from prudent.types import Spec


@dataclass(frozen=True)
class Known:
    """A problem: two policies, their true discounted start values, and a function that makes logs of the first."""

    name: str
    discount: float
    behaviour: Policy
    target: Policy
    behaviour_value: float
    target_value: float
    log: Callable[[int, int], Dataset]
    """``log(episodes, seed)``: a log of the behaviour policy."""
    exact: Callable[[DiscretePolicy], float] | None = None
    """True value of any other policy; only for tabular problems."""


def tabular(
    seed: int = 0,
    *,
    states: int = 5,
    actions: int = 3,
    discount: float = 0.9,
    truncation: float = 0.1,
    termination: float = 0.05,
    shift: float = 0.5,
    longest: int = 200,
    concentration: float = 3.0,
    floor: float = 0.3,
    skill: float = 0.0,
) -> Known:
    """A random Markov decision process; observations are one-hot states.

    Each step terminates with probability ``termination``; otherwise it is truncated with probability ``truncation``, or
    at ``longest`` steps. ``shift`` moves the target policy from the behaviour policy (0) to the optimal action (1). The
    behaviour policy mixes a draw from a Dirichlet distribution of this ``concentration`` (small: a favourite action in
    each state) with a ``floor`` shared by all actions. With probability ``skill`` it takes the optimal action instead.
    """
    rng = np.random.default_rng([seed, 1])
    move_SAS = rng.dirichlet(np.full(states, 0.5), size=(states, actions))
    reward_SA = rng.normal(1.0, 1.0, size=(states, actions))
    start_S = rng.dirichlet(np.ones(states))
    behaviour_SA = rng.dirichlet(np.full(actions, concentration), size=states) * (1 - floor) + floor / actions

    def q_of(policy_SA: np.ndarray) -> np.ndarray:
        """Q (S, A) of a policy: V = r_pi + gamma (1 - termination) P_pi V."""
        alive = discount * (1 - termination)
        transition_SS = np.einsum("sa,sat->st", policy_SA, move_SAS)
        value_S = np.linalg.solve(np.eye(states) - alive * transition_SS, (policy_SA * reward_SA).sum(1))
        return reward_SA + alive * move_SAS @ value_S

    best_SA = behaviour_SA
    for _ in range(states * actions):
        best_SA = np.eye(actions)[q_of(best_SA).argmax(1)]
    behaviour_SA = (1 - skill) * behaviour_SA + skill * best_SA
    target_SA = (1 - shift) * behaviour_SA + shift * best_SA
    spec = Spec(states, actions, discrete=True)

    def value(policy_SA: np.ndarray) -> float:
        return float(start_S @ (policy_SA * q_of(policy_SA)).sum(1))

    def policy(table_SA: np.ndarray, name: str) -> DiscretePolicy:
        return DiscretePolicy(spec, lambda observation, _: table_SA[observation.argmax(1)], name, discount)

    def log(episodes: int, log_seed: int) -> Dataset:
        own = np.random.default_rng([seed, log_seed, 2])
        rows: list[tuple[int, int, float, int, bool, bool]] = []
        for _ in range(episodes):
            state = int(own.choice(states, p=start_S))
            for step in range(1, longest + 1):
                action = int(own.choice(actions, p=behaviour_SA[state]))
                following = int(own.choice(states, p=move_SAS[state, action]))
                reward = reward_SA[state, action] + own.normal(0, 0.5)
                ended = own.random() < termination
                cut = not ended and (own.random() < truncation or step == longest)
                rows.append((state, action, reward, following, ended, cut))
                if ended or cut:
                    break
                state = following
        state, action, reward, following, ended, cut = (np.array(column) for column in zip(*rows, strict=True))
        one_hot = np.eye(states, dtype=np.float32)
        return Dataset.from_columns(
            observation=one_hot[state],
            action=action,
            reward=reward,
            next_observation=one_hot[following],
            terminated=ended,
            truncated=cut,
            discrete=True,
            n_actions=actions,
            name=f"tabular-{seed}",
            extra={"behavior_log_prob": np.log(behaviour_SA[state, action])},
        )

    return Known(
        f"tabular-{seed}",
        discount,
        policy(behaviour_SA, "behaviour"),
        policy(target_SA, "target"),
        value(behaviour_SA),
        value(target_SA),
        log,
        lambda any_policy: value(any_policy.probability(np.eye(states, dtype=np.float32), None)),
    )


BOUND = 8.0
"""Declared action bounds of the quadratic problem; no action comes near them."""


def quadratic(
    seed: int = 0, *, discount: float = 0.9, truncation: float = 0.1, shift: float = 0.5, longest: int = 100
) -> Known:
    """A linear system ``s' = A s + B a + e`` in two dimensions, rewards ``-s's - 0.3 a'a``, linear Gaussian policies.

    It never terminates; each step is truncated with probability ``truncation``. ``shift`` scales the distance between
    the feedback gains of target and behaviour policy.
    """
    rng = np.random.default_rng([seed, 3])
    turn = rng.uniform(-0.4, 0.4)
    a_SS = 0.85 * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    b_SA = np.array([[0.3], [0.5]]) * rng.uniform(0.8, 1.2, size=(2, 1))
    behaviour_gain = rng.uniform(-0.2, 0.2, size=(1, 2))
    target_gain = behaviour_gain - shift * np.array([[0.3, 0.5]])
    noise, start, cost = 0.1, 0.8, 0.3
    spread = {"behaviour": 0.6, "target": 0.45}
    spec = Spec(2, 1, action_low=(-BOUND,), action_high=(BOUND,))

    def value(gain: np.ndarray, deviation: float) -> float:
        """E[V(s0)] with V(s) = -(s'Ps + c): P = I + 0.3 K'K + gamma F'PF, F = A + BK."""
        closed = a_SS + b_SA @ gain
        stage = np.eye(2) + cost * gain.T @ gain
        p = np.linalg.solve(np.eye(4) - discount * np.kron(closed.T, closed.T), stage.ravel()).reshape(2, 2)
        moved = noise**2 * np.trace(p) + deviation**2 * float((b_SA.T @ p @ b_SA)[0, 0])
        constant = (cost * deviation**2 + discount * moved) / (1 - discount)
        return -float(start**2 * np.trace(p) + constant)

    def policy(gain: np.ndarray, name: str) -> ContinuousPolicy:
        deviation = spread[name]

        def draw(observation: np.ndarray, generator: torch.Generator) -> np.ndarray:
            luck = torch.randn((len(observation), 1), generator=generator, dtype=torch.float64).numpy()
            return observation @ gain.T + deviation * luck

        def log_prob(observation: np.ndarray, action: np.ndarray) -> np.ndarray:
            distance = (action - observation @ gain.T) / deviation
            return (-0.5 * distance**2 - math.log(deviation) - 0.5 * math.log(2 * math.pi)).sum(-1)

        return ContinuousPolicy(spec, draw, log_prob, name, discount)

    behaviour = policy(behaviour_gain, "behaviour")

    def log(episodes: int, log_seed: int) -> Dataset:
        own = np.random.default_rng([seed, log_seed, 4])
        lengths = np.minimum(own.geometric(truncation, size=episodes), longest)
        parts: list[tuple[np.ndarray, np.ndarray, float, np.ndarray, bool]] = []
        for length in lengths:
            state = own.normal(0, start, size=2)
            for step in range(1, length + 1):
                action = behaviour_gain @ state + spread["behaviour"] * own.normal(size=1)
                following = a_SS @ state + b_SA @ action + noise * own.normal(size=2)
                reward = -float(state @ state + cost * action @ action)
                parts.append((state, action, reward, following, step == length))
                state = following
        state, action, reward, following, cut = (np.array(column) for column in zip(*parts, strict=True))
        assert behaviour.log_prob is not None
        return Dataset.from_columns(
            observation=state,
            action=action,
            reward=reward,
            next_observation=following,
            terminated=np.zeros(len(cut), dtype=bool),
            truncated=cut,
            action_low=-BOUND,
            action_high=BOUND,
            name=f"quadratic-{seed}",
            extra={"behavior_log_prob": behaviour.log_prob(state, action)},
        )

    return Known(
        f"quadratic-{seed}",
        discount,
        behaviour,
        policy(target_gain, "target"),
        value(behaviour_gain, spread["behaviour"]),
        value(target_gain, spread["target"]),
        log,
    )
