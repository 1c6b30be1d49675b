"""The request of a tuning: the grid, the settings, and checks that the data allow a choice."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from prudent import algorithms, ope
from prudent.config import check_names, check_whole, from_json, member_fields, to_json
from prudent.data import Dataset
from prudent.engine.members import Member, grid, split_settings
from prudent.engine.options import Options
from prudent.errors import ConfigError
from prudent.ope.behaviour import logged_log_prob
from prudent.ope.episodes import check_rewards, lay_out
from prudent.ope.settings import check_memory

ALPHAS: tuple[float, ...] = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
SEEDS: tuple[int, ...] = (0, 1, 2)

MOST_SPLITS = 1_000
"""Divisions of one tuning. All are made before the first is trained, so that none turns out to be impossible later."""

_SHARED = (
    "hidden",
    "batch_size",
    "normalize_observations",
    "outside_range",
    "orthogonal_init",
    "discount",
    "reward_scale",
)
"""Settings that BC takes over from the grid, so that the two differ only in how they learn."""

_MAY_CHANGE = ("splits", "env", "eval_episodes", "device", "threads")
"""Settings that may differ when a tuning is continued."""


@dataclass(frozen=True)
class Settings:
    """Settings of a tuning, besides those of the algorithm."""

    steps: int = 100_000  # gradient steps of every run of the grid, and of BC
    splits: int = 1  # divisions of the episodes, each tuned separately; 5 or more show how stable the choice is
    seed: int = 0  # seed of the divisions and of the estimates
    checkpoints: int = 10  # checkpoints of each run, one of which is chosen by the curve of dataset Q
    rank_steps: int = 4_000  # gradient steps of the values that rank the grid
    final_steps: int = 10_000  # gradient steps of the values in the final comparison
    resamples: int = 20  # resamples of the episodes for the intervals of the final comparison, each refitted
    env: str | None = None  # Gymnasium id to run the policies in afterwards; a check that does not change the choice
    eval_episodes: int = 10  # episodes per policy in that environment
    device: str = "auto"  # auto, cpu, cuda or mps
    threads: int | None = None  # CPU threads; none leaves it to PyTorch
    tf32: bool = True  # let CUDA round the factors of float32 products to 10 bits (TF32), several times as fast

    def __post_init__(self):
        check_whole(self, 1, "steps", "splits", "checkpoints", "rank_steps", "final_steps", "eval_episodes")
        check_whole(self, 0, "seed")
        if self.splits > MOST_SPLITS:
            raise ConfigError(f"splits must be {MOST_SPLITS} or fewer, got {self.splits}: each is a tuning of its own")
        if isinstance(self.resamples, bool) or not isinstance(self.resamples, int) or self.resamples < 2:
            raise ConfigError(
                f"resamples must be 2 or more, got {self.resamples!r}: the verdict rests on its intervals"
            )
        _ = self.final, self.training

    @property
    def ranking(self) -> ope.Settings:
        """Estimation settings for ranking the grid: no refits."""
        return ope.Settings(**{**asdict(ope.QUICK), "steps": self.rank_steps})

    @property
    def final(self) -> ope.Settings:
        """Estimation settings for the final comparison."""
        return ope.Settings(steps=self.final_steps, n_bootstrap=self.resamples)

    @property
    def training(self) -> Options:
        """Training options: no environment, and every checkpoint is kept."""
        every = max(1, self.steps // self.checkpoints)
        shared = {"device": self.device, "threads": self.threads, "tf32": self.tf32, "log_every": min(1_000, every)}
        return Options(steps=self.steps, checkpoint_every=every, keep=self.steps // every + 2, **shared)


@dataclass(frozen=True)
class Plan:
    """The request: the grid, BC, and the settings."""

    algorithm: str
    alpha: tuple[float, ...]
    seeds: tuple[int, ...]
    config: Any
    settings: Settings

    @property
    def members(self) -> list[Member]:
        """Members of the grid: alpha x seed, seeds fastest."""
        return grid(self.config, {"alpha": self.alpha}, self.seeds)

    @property
    def imitation(self) -> str:
        """Name of the BC algorithm for the same kind of actions."""
        return "discrete_bc" if algorithms.is_discrete(self.algorithm) else "bc"

    @property
    def imitators(self) -> list[Member]:
        """Members of BC, one per seed."""
        config_type = algorithms.get(self.imitation).Config
        names = {f.name for f in fields(self.config)}
        shared = {name: getattr(self.config, name) for name in _SHARED if name in names}
        return grid(from_json(config_type, to_json(config_type()) | shared), {}, self.seeds)

    def to_json(self, dataset: Dataset) -> dict[str, Any]:
        """The content of ``plan.json``."""
        config = {name: value for name, value in to_json(self.config).items() if name != "alpha"}
        about = {"name": dataset.name, "fingerprint": dataset.fingerprint, "transitions": len(dataset)}
        return {
            "algorithm": self.algorithm,
            "alpha": list(self.alpha),
            "seeds": list(self.seeds),
            "config": config,
            "settings": asdict(self.settings),
            "dataset": about | {"episodes": dataset.n_episodes},
        }


def make(
    dataset: Dataset,
    algorithm: str | None,
    alpha: Sequence[float],
    seeds: Sequence[int],
    options: Mapping[str, Any],
) -> Plan:
    """The plan; ``options`` are fields of :class:`Settings` and of the algorithm's ``Config``.

    Raises:
        ConfigError: the algorithm has no alpha or is for another kind of action, or a setting is unknown or invalid.
    """
    name = algorithm or ("discrete_cql" if dataset.spec.discrete else "cql")
    config_type = algorithms.get(name).Config
    if "alpha" not in member_fields(config_type) or algorithms.get(name).q_value is None:
        known = ", ".join(tunable(algorithms.is_discrete(name)))
        raise ConfigError(f"{name} has no alpha, so there is nothing to choose: take one of {known}")
    algorithms.check_actions(name, dataset.spec.discrete, dataset.name)
    names = {f.name for f in fields(Settings)}
    settings = Settings(**{key: value for key, value in options.items() if key in names})
    rest = {key: value for key, value in options.items() if key not in names}
    if "alpha" in rest:
        raise ConfigError("alpha is tuned: give its values as alpha, a list")
    check_names(config_type, rest)
    config, lists = split_settings(config_type(), rest)
    if lists:
        raise ConfigError(f"{next(iter(lists))} takes one value here: only alpha is tuned")
    plan = Plan(name, tuple(float(a) for a in alpha), tuple(seeds), config, settings)
    _ = plan.members, plan.imitators
    return plan


def tunable(discrete: bool) -> list[str]:
    """Names of the algorithms with an alpha and a critic, for one kind of actions."""
    return [
        name
        for name in algorithms.names()
        if algorithms.is_discrete(name) == discrete
        and algorithms.get(name).q_value is not None
        and "alpha" in member_fields(algorithms.get(name).Config)
    ]


def check_data(dataset: Dataset, plan: Plan) -> None:
    """Refuse data that do not allow a choice, before anything is trained.

    Raises:
        DataError: with these rewards all policies have the same value, rows do not follow each other, or the log's own
            probabilities are not probabilities.
    """
    check_rewards(dataset)
    check_memory(plan.settings.final, dataset)
    lay_out(dataset, plan.config.discount, least=1)  # divide() checks the number of episodes
    logged_log_prob(dataset)


def difference(plan: Mapping[str, Any], stored: Mapping[str, Any]) -> str:
    """How a stored plan differs from this one, in a few words; empty if the tuning may be continued."""
    stored = {**stored, "algorithm": algorithms.stored(str(stored.get("algorithm")))}
    for key in ("algorithm", "alpha", "seeds"):
        if plan[key] != stored.get(key):
            return f"its {key} is {stored.get(key)}, not {plan[key]}"
    former = algorithms.stored_settings(plan["algorithm"], stored.get("config") or {})
    for group, stored_group in (("config", former), ("settings", stored.get("settings") or {})):
        for key, value in plan[group].items():
            if key not in _MAY_CHANGE and stored_group.get(key) != value:
                return f"its {key} is {stored_group.get(key)}, not {value}"
    if plan["dataset"]["fingerprint"] != (stored.get("dataset") or {}).get("fingerprint"):
        return "it used other data (fingerprint differs)"
    return ""
