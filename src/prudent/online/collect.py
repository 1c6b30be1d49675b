"""Datasets made by running policies: a random policy, a finished run, or SAC trained to a given level."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prudent.data import Dataset
from prudent.data.scores import reference
from prudent.engine import memory
from prudent.engine.population import Population
from prudent.environments.make import check_fits, spec_of, versions
from prudent.errors import ConfigError, PrudentError
from prudent.online.explorers import Explorer, Uniform
from prudent.online.interaction import Actor, Interaction, Transition
from prudent.online.sac_learner import SacLearner, SacSettings, check_continuous
from prudent.runs import checkpoint
from prudent.runs.folder import read_json
from prudent.runs.status import check_ended
from prudent.training.progress import Progress
from prudent.types import Spec
from prudent.version import __version__

LEVELS = {"medium": (1 / 3,), "expert": (1.0,), "medium-expert": (1 / 3, 1.0)}
"""Levels as shares of the way from a random policy's return to an expert's. Several are reached one after the other."""
REPLAY = "medium-replay"


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
        self._check_steps()
        self._check_idle()
        if "sac" in self.policies:
            level_shares(self.level)
        elif self.level != "medium" or self.reference is not None:
            raise ConfigError("collect: level and reference are for the policy sac, which is not among those named")

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
        returns = reference(self.env) if self.reference is None else self.reference
        if returns is None:
            raise ConfigError(f"collect: no reference returns are known for {self.env}: give --reference RANDOM EXPERT")
        low, high = returns
        if not low < high:
            raise ConfigError(f"collect: the expert's return must be above the random one, got {low:g} and {high:g}")
        return [low + share * (high - low) for share in level_shares(self.level)]


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


class TransitionLog:
    """Transitions of one environment, in order, with room for ``capacity`` of them."""

    def __init__(self, spec: Spec, capacity: int):
        self.spec, self.rows = spec, 0
        size = 16 * spec.observation_size + (8 if spec.discrete else 4 * spec.action_size) + 6
        memory.check(capacity * size, f"{capacity} transitions", "take fewer steps")
        # Untouched memory costs nothing, and float64 loses no digit of an environment that has it.
        features = (capacity, spec.observation_size)
        self.table: dict[str, np.ndarray] = {
            "observation": np.empty(features),
            "action": np.empty(capacity, np.int64) if spec.discrete else np.empty((capacity, spec.action_size), "f4"),
            "reward": np.empty(capacity, np.float32),
            "next_observation": np.empty(features),
            "terminated": np.empty(capacity, bool),
            "truncated": np.empty(capacity, bool),
        }
        self.masks: dict[str, np.ndarray] = {}

    def add(self, step: Transition) -> None:
        """Store the transition of the first member."""
        for name, column in self.table.items():
            column[self.rows] = getattr(step, name)[0]
        if step.mask is not None and step.next_mask is not None:
            if not self.masks:
                shape = (len(self.table["reward"]), self.spec.action_size)
                self.masks = {"mask": np.ones(shape, bool), "next_mask": np.ones(shape, bool)}
            self.masks["mask"][self.rows], self.masks["next_mask"][self.rows] = step.mask[0], step.next_mask[0]
        self.rows += 1

    def dataset(self, name: str) -> Dataset:
        """The transitions so far. An episode that still runs counts as truncated."""
        spec = self.spec
        table: dict[str, Any] = {key: column[: self.rows] for key, column in self.table.items()}
        return Dataset.from_columns(
            **table,
            action_low=spec.action_low,
            action_high=spec.action_high,
            discrete=spec.discrete,
            n_actions=spec.action_size if spec.discrete else None,
            first_action=spec.first_action,
            name=name,
            extra={key: column[: self.rows] for key, column in self.masks.items()},
        )


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
        elif policy == "random":
            recorded = [(roll_out(plan.env, Uniform(spec, [seed]), seed, steps, "random"), {"policy": "random"})]
        else:
            population, about = loaded[policy]
            actor = Explorer(population, [seed], plan.noise, plan.deterministic)
            recorded = [(roll_out(plan.env, actor, seed, steps, policy), about)]
        for part, about in recorded:
            parts.append(part)
            made.append({**about, "steps": len(part), "mean_return": _mean_return(part)})
    dataset = Dataset.join(parts, name=name) if len(parts) > 1 else parts[0]
    return dataset, _about(plan, dataset, made)


def roll_out(env_id: str, actor: Actor, seed: int, steps: int, name: str) -> Dataset:
    """``steps`` transitions of one policy, episode after episode. The last episode is cut."""
    with Interaction(env_id, [seed]) as interaction, Progress(steps) as progress:
        recording = TransitionLog(interaction.spec, steps)
        for step in range(1, steps + 1):
            recording.add(interaction.step(actor))
            progress.update(step)
            if step == steps or step % max(1, steps // 4) == 0:
                progress.log(step, {})
    return recording.dataset(name)


def _from_sac(plan: Plan, seed: int, steps: int) -> list[tuple[Dataset, dict[str, Any]]]:
    """Transitions of SAC at each of its targets; for ``medium-replay`` all transitions of its training."""
    targets = plan.targets()
    replay = TransitionLog(spec_of(plan.env), plan.learning.sac_steps) if plan.level == REPLAY else None
    watch = None if replay is None else replay.add
    recorded = []
    with closing(SacLearner(plan.env, plan.learning, seed, plan.deterministic, watch)) as learner:
        bounds = np.rint(np.linspace(0, steps, len(targets) + 1)).astype(int)
        for target, share in zip(targets, np.diff(bounds).tolist(), strict=True):
            reached = learner.reach(target)
            about = {
                "policy": "sac",
                "level": plan.level,
                "return_asked": target,
                "return_reached": reached,
                "trained_steps": learner.steps,
                "learning": asdict(plan.learning),
            }
            if replay is not None:
                return [(replay.dataset("sac"), about)]
            # A new seed: neither the training nor another level had these start states and this noise.
            fresh_seed = seed + 1 + len(recorded)
            actor = Explorer(learner.population, [fresh_seed], plan.noise, plan.deterministic)
            recorded.append((roll_out(plan.env, actor, fresh_seed, share, "sac"), about))
    return recorded


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


def _mean_return(part: Dataset) -> float:
    """The mean return without the last episode, which may be cut by the end of the steps."""
    complete = part.episode_returns[:-1] if part.truncated[-1] and part.n_episodes > 1 else part.episode_returns
    return float(complete.mean())


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
