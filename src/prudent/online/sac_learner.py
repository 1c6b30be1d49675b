"""SAC from scratch in an environment, trained until it reaches a given return."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch

from prudent.algorithms import sac
from prudent.engine.members import Member
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.environments.make import spec_of
from prudent.errors import ConfigError, PrudentError
from prudent.evaluation.rollouts import evaluate
from prudent.online.explorers import Explorer, Uniform
from prudent.online.interaction import Interaction, Transition
from prudent.online.replay_buffer import ReplayBuffer
from prudent.training.progress import Progress
from prudent.types import Spec


@dataclass(frozen=True)
class SacSettings:
    """How SAC learns online. It makes one gradient step per environment step."""

    sac_steps: int = 1_000_000  # environment steps at most
    learning_starts: int = 1_000  # steps with uniformly random actions before the first gradient step
    eval_every: int = 5_000  # steps between evaluations; training may end after each
    eval_episodes: int = 10  # episodes per evaluation
    hidden: tuple[int, ...] = (256, 256)  # widths of the hidden layers of actor and critics
    actor_lr: float = 3e-4  # Adam learning rate of the actor
    critic_lr: float = 3e-4  # Adam learning rate of the critics
    temperature_lr: float = 3e-4  # Adam learning rate of log tau, the log of the temperature
    batch_size: int = 256  # transitions per gradient step
    discount: float = 0.99  # discount factor gamma
    polyak: float = 0.005  # share of the critic that enters the target network at each step

    def __post_init__(self):
        for name in ("sac_steps", "learning_starts", "eval_every", "eval_episodes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, got {getattr(self, name)}")
        self.config()

    def config(self) -> sac.Config:
        """SAC's Config. Observations are not standardised: there is no dataset with statistics."""
        shared = {f.name for f in fields(self)} & {f.name for f in fields(sac.Config)}
        return sac.Config(
            normalize_observations=False, outside_range="warn", **{name: getattr(self, name) for name in shared}
        )


class SacLearner:
    """A SAC agent and its environment.

    ``watch`` is called with every transition. ``deterministic`` evaluates the policy's mode instead of samples.

    Raises:
        ConfigError: the actions are discrete or have no finite bounds.
    """

    def __init__(
        self,
        env_id: str,
        learning: SacSettings,
        seed: int,
        deterministic: bool = False,
        watch: Callable[[Transition], None] | None = None,
    ):
        spec = spec_of(env_id)
        check_continuous(env_id, spec)
        self.env_id, self.learning, self.deterministic, self.watch = env_id, learning, deterministic, watch
        self.population = Population("sac", [Member(f"seed={seed}", seed, learning.config())], spec, identity(spec))
        self.interaction = Interaction(env_id, [seed])
        self.random, self.explorer = Uniform(spec, [seed]), Explorer(self.population, [seed])
        self.buffer = ReplayBuffer(self.population, learning.sac_steps)
        self.steps, self.best, self.reached = 0, -math.inf, -math.inf

    def reach(self, target: float) -> float:
        """Train until an evaluation's mean return is at least ``target``, and give that return.

        Raises:
            PrudentError: ``sac_steps`` steps were not enough.
        """
        options = self.learning
        with Progress(options.sac_steps, self.steps) as progress:
            while self.reached < target:
                if self.steps >= options.sac_steps:
                    raise PrudentError(
                        f"sac reached a return of {self.best:.4g} in {self.steps} steps, the level asked for needs "
                        f"{target:.4g}: give more --sac-steps, other settings, or a lower --level"
                    )
                self.step()
                progress.update(self.steps)
                if self.steps % options.eval_every == 0 or self.steps == options.sac_steps:
                    self.reached = self.evaluate()
                    self.best = max(self.best, self.reached)
                    progress.log(self.steps, {"eval/return": self.reached})
        return self.reached

    def step(self) -> None:
        """One step in the environment and, after ``learning_starts`` steps, one gradient step."""
        starting = self.steps < self.learning.learning_starts
        transition = self.interaction.step(self.random if starting else self.explorer)
        self.buffer.add(transition)
        if self.watch is not None:
            self.watch(transition)
        self.steps += 1
        if not starting:
            self.population.step(self.buffer)

    def evaluate(self) -> float:
        """Mean return of the policy, acting as it will when data are collected."""
        episodes = self.learning.eval_episodes
        returns = evaluate(self.population, self.env_id, episodes=episodes, deterministic=self.deterministic).returns
        return float(returns.mean()) if np.isfinite(returns).all() else -math.inf

    def close(self) -> None:
        """Release the simulators."""
        self.interaction.close()


def check_continuous(env_id: str, spec: Spec) -> None:
    """Refuse an environment that SAC cannot learn in.

    Raises:
        ConfigError: its actions are discrete or have no finite bounds.
    """
    if spec.discrete:
        raise ConfigError(
            f"sac is for continuous actions, {env_id} has discrete ones: collect with --policy random, "
            "or with the run of a discrete algorithm"
        )
    if spec.action_low is None:
        raise ConfigError(f"{env_id} declares no finite action bounds, and sac needs them")


def identity(spec: Spec) -> Scaling:
    """A scaling that leaves observations alone and takes action bounds from the environment."""
    low, high = (torch.tensor(bound, dtype=torch.float32) for bound in (spec.action_low, spec.action_high))
    size = spec.observation_size
    return Scaling(torch.zeros(size), torch.ones(size), (low + high) / 2, (high - low) / 2)
