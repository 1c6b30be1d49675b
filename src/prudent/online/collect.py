"""Datasets made by running policies: a random policy, a finished run, or SAC trained to a given level."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prudent.data import Dataset
from prudent.data.scores import reference
from prudent.engine.population import Population
from prudent.environments.make import check_fits, spec_of, versions
from prudent.errors import ConfigError, PrudentError
from prudent.online.explorers import Explorer, Uniform
from prudent.online.interaction import env_seeds
from prudent.online.kept_training import KeptTraining
from prudent.online.recording import Recording, TransitionLog, envs_for, roll_out
from prudent.online.sac_learner import Evaluated, SacLearner, SacSettings, check_continuous, most_steps
from prudent.runs import checkpoint
from prudent.runs.folder import create, locked, read_json
from prudent.runs.status import check_ended
from prudent.version import __version__

LEVELS = {"medium": (1 / 3,), "expert": (1.0,), "medium-expert": (1 / 3, 1.0)}
"""Levels as shares of the way from a random policy's return to an expert's. Several are reached one after the other."""
REPLAY = "medium-replay"
MOST_AT_ONCE = 1_000
"""Environments at once, at most."""


@dataclass(frozen=True)
class Plan:
    """What to collect.

    Attributes:
        env: Gymnasium id.
        policies: ``random``, ``sac`` or run folders.
        shares: of the ``steps``, one per policy; None gives each the same.
        steps: transitions in all.
        level: of SAC: one of :data:`LEVELS`, ``medium-replay`` or a share as text.
        reference: the returns (random, expert) that levels refer to; None takes published ones.
        deterministic: take the policies' modes.
        noise: exploration on top of the policies, see :class:`prudent.online.explorers.Explorer`.
        member: the member of a run that acts, by name or number; None takes the best one.
        seed: equal seeds give equal datasets.
        envs: environments at once. None trains SAC in one, and records in one for each 10,000 rows, 8 at most.
        keep: a folder for SAC's training; see :mod:`prudent.online.kept_training`.
        or_best: if SAC does not reach the level, record the best policy that it reached.
        learning: how SAC learns.
    """

    env: str
    policies: tuple[str, ...] = ("random",)
    shares: tuple[float, ...] | None = None
    steps: int | None = None
    level: str = "medium"
    reference: tuple[float, float] | None = None
    deterministic: bool = False
    noise: float = 0.0
    member: str | None = None
    seed: int = 0
    envs: int | None = None
    keep: Path | None = None
    or_best: bool = False
    learning: SacSettings = field(default_factory=SacSettings)

    def __post_init__(self):
        if not self.policies:
            raise ConfigError("collect: name a policy: random, sac, or a run folder")
        shares = self.parts
        if len(shares) != len(self.policies) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
            raise ConfigError(
                f"collect: shares must be one positive number per policy and add up to 1, got {list(shares)} "
                f"for {len(self.policies)} policies"
            )
        if not 0 <= self.noise <= 1:
            raise ConfigError(f"collect: noise must lie within [0, 1], got {self.noise:g}")
        if self.seed < 0:
            raise ConfigError(f"collect: seed must be 0 or more, got {self.seed}")
        if self.envs is not None and not 1 <= self.envs <= MOST_AT_ONCE:
            raise ConfigError(f"collect: envs must lie between 1 and {MOST_AT_ONCE}, got {self.envs}")
        self._check_steps()
        self._check_idle()
        if "sac" in self.policies:
            level_shares(self.level)
        elif self.level != "medium" or self.reference is not None or self.keep is not None or self.or_best:
            raise ConfigError(
                "collect: level, reference, keep and or_best are for the policy sac, which is not among those named"
            )

    def _check_steps(self) -> None:
        if self.level == REPLAY:
            if self.steps is not None or self.policies != ("sac",):
                raise ConfigError("collect: medium-replay is all that sac saw on its way: no --steps, no other policy")
        elif self.steps is None or self.steps < len(self.policies) * len(LEVELS.get(self.level, (0,))):
            raise ConfigError(f"collect: steps must be one or more for each policy, got {self.steps}")

    def _check_idle(self) -> None:
        """Refuse settings that would have no effect."""
        if set(self.policies) == {"random"} and (self.noise or self.deterministic):
            raise ConfigError("collect: noise and deterministic are for runs and sac, a random policy has neither")
        if self.level == REPLAY and (self.noise or self.deterministic):
            raise ConfigError("collect: medium-replay is what sac saw while it learned: no --noise, no --deterministic")
        if self.member is not None and not set(self.policies) - {"random", "sac"}:
            raise ConfigError("collect: member is one of a run, and no run is among the policies")

    @property
    def parts(self) -> tuple[float, ...]:
        """The share of each policy."""
        return (1 / len(self.policies),) * len(self.policies) if self.shares is None else self.shares

    def targets(self) -> list[float]:
        """The returns that SAC has to reach, one after the other.

        Raises:
            ConfigError: there is no such level, or no reference returns are known.
        """
        low, high = self.returns()
        return [low + share * (high - low) for share in level_shares(self.level)]

    def returns(self) -> tuple[float, float]:
        """The returns (random, expert) that levels refer to.

        Raises:
            ConfigError: none are known.
        """
        returns = reference(self.env) if self.reference is None else self.reference
        if returns is None:
            raise ConfigError(f"collect: no reference returns are known for {self.env}: give --reference RANDOM EXPERT")
        low, high = returns
        if not low < high:
            raise ConfigError(f"collect: the expert's return must be above the random one, got {low:g} and {high:g}")
        return returns


def level_shares(level: str) -> tuple[float, ...]:
    """The shares of the way from random to expert that a level stands for.

    Raises:
        ConfigError: it is no name of a level and no number above 0.
    """
    if level == REPLAY:
        return LEVELS["medium"]
    if level in LEVELS:
        return LEVELS[level]
    try:
        share = float(level)
    except ValueError:
        share = float("nan")
    if not 0 < share < 10:
        names = ", ".join([*LEVELS, REPLAY])
        raise ConfigError(f"collect: level must be {names} or a share such as 0.33, got {level!r}")
    return (share,)


def collect(plan: Plan, name: str) -> tuple[Dataset, dict[str, Any]]:
    """The dataset, and how it was made as JSON values. The same plan gives the same dataset.

    Raises:
        ConfigError: environment, policies and plan do not fit each other.
        PrudentError: SAC did not reach the level, or the environment failed.
    """
    spec = spec_of(plan.env)
    if "sac" in plan.policies:
        check_continuous(plan.env, spec)
        plan.targets()
    loaded = {policy: _load(policy, plan) for policy in plan.policies if policy not in ("random", "sac")}
    bounds = np.rint(np.cumsum([0.0, *plan.parts]) * (plan.steps or 0)).astype(int)
    parts: list[Dataset] = []
    made: list[dict[str, Any]] = []
    for index, (policy, steps) in enumerate(zip(plan.policies, np.diff(bounds).tolist(), strict=True)):
        # Each policy has its own seed, so that two of them begin in different states.
        seed = int(np.random.SeedSequence([plan.seed, index]).generate_state(1)[0])
        if policy == "sac":
            recorded = _from_sac(plan, seed, steps)
        else:
            envs = plan.envs or envs_for(steps)
            seeds, about = env_seeds(seed, envs), {"policy": "random"}
            actor = Uniform(spec, seeds)
            if policy != "random":
                population, about = loaded[policy]
                actor = Explorer(population, seeds, plan.noise, plan.deterministic)
            recorded = [(roll_out(plan.env, actor, seed, steps, policy, envs), {**about, "envs": envs})]
        for part, about in recorded:
            parts.append(part.dataset)
            made.append({**about, **part.figures()})
    dataset = Dataset.join(parts, name=name) if len(parts) > 1 else parts[0]
    return dataset, _about(plan, dataset, made)


def _from_sac(plan: Plan, seed: int, steps: int) -> list[tuple[Recording, dict[str, Any]]]:
    """Transitions of SAC at each of its targets; for ``medium-replay`` all transitions of its training."""
    learning, replay = plan.learning, plan.level == REPLAY
    envs = plan.envs or 1
    with ExitStack() as stack:
        needs_log = replay or plan.keep is not None
        log = TransitionLog(spec_of(plan.env), most_steps(learning, envs), envs) if needs_log else None
        learner = stack.enter_context(closing(SacLearner(plan.env, learning, seed, plan.deterministic, envs, log)))
        if plan.keep is not None and log is not None:
            stack.enter_context(locked(create(plan.keep)))
            KeptTraining(plan.keep, learner, log)
        recorded = []
        targets = plan.targets()
        bounds = np.rint(np.linspace(0, steps, len(targets) + 1)).astype(int)
        for target, rows in zip(targets, np.diff(bounds).tolist(), strict=True):
            reached = learner.reach(target, plan.or_best)
            about = _about_level(plan, target, reached)
            if reached.mean_return < target:
                print(f"sac did not reach the level: {about['level_reached']}", flush=True)
            if replay:
                assert log is not None
                return [(log.recording("sac", reached.steps if reached.mean_return >= target else None), about)]
            # A new seed: neither the training nor another level had these start states and this noise.
            fresh_seed = seed + 1 + len(recorded)
            count = plan.envs or envs_for(rows)
            policy = learner.policy(reached)
            actor = Explorer(policy, env_seeds(fresh_seed, count), plan.noise, plan.deterministic)
            recorded.append((roll_out(plan.env, actor, fresh_seed, rows, "sac", count), about))
        return recorded


def _about_level(plan: Plan, target: float, reached: Evaluated) -> dict[str, Any]:
    """What was asked of SAC and what it reached, as JSON values."""
    low, high = plan.returns()
    share = (reached.mean_return - low) / (high - low)
    return {
        "policy": "sac",
        "level": plan.level,
        "return_asked": target,
        "return_reached": reached.mean_return,
        "level_reached": f"{'' if reached.mean_return >= target else 'up to '}{share:.0%} of the reference",
        "trained_steps": reached.steps,
        "updates": reached.updates,
        "learning": asdict(plan.learning),
    }


def _load(policy: str, plan: Plan) -> tuple[Population, dict[str, Any]]:
    """A member of a finished run as a population of one, and its description."""
    path = Path(policy)
    if not path.is_dir():
        raise ConfigError(f"collect: no policy is called {policy!r}: random, sac, or a run folder")
    check_ended(path)
    population, _ = checkpoint.load(path, say=print)
    check_fits(plan.env, population.spec, f"the policy of {policy}")
    index = _member(path, population, plan.member)
    about = {
        "policy": policy,
        "algorithm": population.algorithm_name,
        "member": population.names[index],
        "trained_steps": population.state.step,
    }
    return population.member(index), about


def _member(path: Path, population: Population, wanted: str | None) -> int:
    """The index of the member ``wanted``, by name or number; without one, the member with the best evaluation."""
    if wanted is not None:
        numbers = [str(index) for index in range(population.size)]
        for labels in (population.names, numbers):
            if wanted in labels:
                return labels.index(wanted)
        raise ConfigError(f"collect: {path} has no member {wanted!r}: {', '.join(population.names)}")
    folder = next((f for f in (path, path.parent.parent) if (f / "evaluation.json").is_file()), None)
    if folder is None:
        if population.size > 1:
            raise ConfigError(
                f"collect: {path} was never evaluated: choose with --member ({', '.join(population.names)})"
            )
        return 0
    figures = read_json(folder / "evaluation.json").get("members", {})
    returns = [figures.get(name, {}).get("return_mean") for name in population.names]
    if all(value is None for value in returns):
        raise PrudentError(f"collect: every member of {path} has diverged")
    return max(range(population.size), key=lambda index: -np.inf if returns[index] is None else returns[index])


def _about(plan: Plan, dataset: Dataset, made: Sequence[dict[str, Any]]) -> dict[str, Any]:
    returns = reference(plan.env) if plan.reference is None else plan.reference
    return {
        "made_by": "prudent data collect",
        "env": plan.env,
        "policy": "+".join(dict.fromkeys(part["policy"] for part in made)),
        "parts": list(made),
        "seed": plan.seed,
        "deterministic": plan.deterministic,
        "noise": plan.noise,
        "reference": None if returns is None else list(returns),
        "fingerprint": dataset.fingerprint,
        "versions": {"prudent": __version__, "torch": torch.__version__, **versions()},
    }
