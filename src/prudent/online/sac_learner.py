"""SAC from scratch in an environment, trained until it reaches a given return."""

import math
import signal
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, fields

import numpy as np
import torch

from prudent.algorithms import sac
from prudent.engine.members import Member
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.environments.make import spec_of
from prudent.errors import ConfigError, Interrupted, PrudentError
from prudent.evaluation.rollouts import evaluate
from prudent.online.explorers import Explorer, Uniform
from prudent.online.interaction import Interaction, env_seeds
from prudent.online.recording import TransitionLog
from prudent.online.replay_buffer import ReplayBuffer
from prudent.training.interrupts import stop_requests
from prudent.training.progress import Progress
from prudent.types import Spec


@dataclass(frozen=True)
class SacSettings:
    """How SAC learns online."""

    sac_steps: int = 1_000_000  # environment steps at most
    learning_starts: int = 1_000  # steps with uniformly random actions before the first gradient step
    updates_per_step: float = 1.0  # gradient steps per environment step; below 1 sees more in the same time
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
        if not 0 < self.updates_per_step <= 100:
            raise ConfigError(f"updates_per_step must be above 0 and at most 100, got {self.updates_per_step:g}")
        self.config()

    def config(self) -> sac.Config:
        """SAC's Config. Observations are not standardised: there is no dataset with statistics."""
        shared = {f.name for f in fields(self)} & {f.name for f in fields(sac.Config)}
        return sac.Config(
            normalize_observations=False, outside_range="warn", **{name: getattr(self, name) for name in shared}
        )


@dataclass(frozen=True)
class Evaluated:
    """An evaluation on the way: after ``steps`` environment steps and ``updates`` gradient steps."""

    steps: int
    updates: int
    mean_return: float


class SacLearner:
    """A SAC agent and its environments.

    ``envs`` environments run at once, and steps are counted over all of them. ``log`` records every transition.
    ``deterministic`` evaluates the policy's mode instead of samples.

    Attributes:
        steps: environment steps so far.
        curve: the evaluations so far.
        policies: the policies of :meth:`improvements`, by gradient step.
        save: called after each evaluation, and before a signal stops the training; without it signals act at once.

    Raises:
        ConfigError: the actions are discrete or have no finite bounds.
    """

    def __init__(
        self,
        env_id: str,
        learning: SacSettings,
        seed: int,
        deterministic: bool = False,
        envs: int = 1,
        log: TransitionLog | None = None,
    ):
        spec = spec_of(env_id)
        check_continuous(env_id, spec)
        self.env_id, self.learning, self.deterministic, self.envs, self.log = env_id, learning, deterministic, envs, log
        self.population = Population("sac", [Member(f"seed={seed}", seed, learning.config())], spec, identity(spec))
        seeds = env_seeds(seed, envs)
        self.interaction = Interaction(env_id, seeds)
        self.random, self.explorer = Uniform(spec, seeds), Explorer(self.population, seeds)
        self.buffer = ReplayBuffer(self.population, most_steps(learning, envs) * envs)
        self.steps = 0
        self.curve: list[Evaluated] = []
        self.policies: dict[int, Population] = {}
        self.save: Callable[[], None] | None = None

    def reach(self, target: float, or_best: bool = False) -> Evaluated:
        """Train until an evaluation's mean return is at least ``target``, and give the first one that is.

        If ``sac_steps`` steps are not enough, ``or_best`` gives the best evaluation.

        Raises:
            Interrupted: a signal stopped it, after :attr:`save`.
            PrudentError: ``sac_steps`` steps were not enough, and ``or_best`` is off.
        """
        options, keys = self.learning, ("eval/return", "eval/best", "eval/target")
        stopping = nullcontext([]) if self.save is None else stop_requests()
        with stopping as requests, Progress(options.sac_steps, self.steps, keys=keys) as progress:
            while (reached := self._first_at(target)) is None:
                if self.steps >= options.sac_steps:
                    if or_best:
                        return self.best
                    raise PrudentError(
                        f"sac reached a return of {self.best.mean_return:.4g} in {self.steps} steps, the level asked "
                        f"for needs {target:.4g}: give more --sac-steps, other settings, or a lower --level"
                    )
                self.step()
                progress.update(min(self.steps, options.sac_steps))
                if self._is_evaluated(self.steps):
                    latest = self._evaluate()
                    figures = latest.mean_return, self.best.mean_return, target
                    progress.log(min(self.steps, options.sac_steps), dict(zip(keys, figures, strict=True)))
                if requests:
                    assert self.save is not None
                    self.save()
                    name = signal.Signals(requests[0]).name
                    raise Interrupted(f"stopped by {name} at step {self.steps} of sac; go on with the same command")
        return reached

    def step(self) -> None:
        """One step in every environment; after ``learning_starts`` steps also the gradient steps that are due."""
        options = self.learning
        starting = self.steps < options.learning_starts
        transition = self.interaction.step(self.random if starting else self.explorer)
        for row in transition.rows():
            self.buffer.add(row)
        if self.log is not None:
            self.log.add(transition)
        self.steps += self.envs
        if not starting:
            begun = -(-options.learning_starts // self.envs) * self.envs
            due = int(options.updates_per_step * (self.steps - begun))
            while self.population.state.step < due:
                self.population.step(self.buffer)

    @property
    def best(self) -> Evaluated:
        """The best evaluation so far, the first of equal ones."""
        return max(self._counted(), key=lambda evaluated: evaluated.mean_return)

    def improvements(self) -> set[int]:
        """The gradient steps of the evaluations that were better than all regular ones before them."""
        found: set[int] = set()
        bar: float | None = None
        for evaluated in self.curve:
            if bar is None or evaluated.mean_return > bar:
                found.add(evaluated.updates)
                bar = evaluated.mean_return if self._is_regular(evaluated.steps) else bar
        return found

    def policy(self, evaluated: Evaluated) -> Population:
        """The policy of an evaluation that was better than all before it."""
        return self.policies[evaluated.updates]

    def evaluate(self) -> float:
        """Mean return of the policy, acting as it will when data are collected."""
        episodes = self.learning.eval_episodes
        returns = evaluate(self.population, self.env_id, episodes=episodes, deterministic=self.deterministic).returns
        return float(returns.mean()) if np.isfinite(returns).all() else -math.inf

    def close(self) -> None:
        """Release the simulators."""
        self.interaction.close()

    def _evaluate(self) -> Evaluated:
        latest = Evaluated(self.steps, self.population.state.step, self.evaluate())
        self.curve.append(latest)
        if latest.updates in self.improvements() - self.policies.keys():
            self.policies[latest.updates] = self.population.member(0)
        if self.save is not None:
            self.save()
        return latest

    def _is_regular(self, steps: int) -> bool:
        """Whether a training of any length evaluates after ``steps``."""
        return steps % self.learning.eval_every < self.envs

    def _is_evaluated(self, steps: int) -> bool:
        """Whether a training of ``sac_steps`` evaluates after ``steps``: every ``eval_every`` steps and at the end."""
        return self._is_regular(steps) or steps >= self.learning.sac_steps

    def _counted(self) -> list[Evaluated]:
        """The evaluations without those at the end of a shorter training, from which this one goes on.

        In one go they are not made, so nothing may depend on them.
        """
        return [evaluated for evaluated in self.curve if self._is_evaluated(evaluated.steps)]

    def _first_at(self, target: float) -> Evaluated | None:
        """The first evaluation that reached ``target``."""
        return next((evaluated for evaluated in self._counted() if evaluated.mean_return >= target), None)


def most_steps(learning: SacSettings, envs: int) -> int:
    """The steps of each environment in ``sac_steps`` steps of all."""
    return -(-learning.sac_steps // envs)


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
