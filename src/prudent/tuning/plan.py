"""The request of a tuning: the grids, the settings, and checks that the data allow a choice."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from prudent import algorithms, ope
from prudent.config import AUTO, check_names, check_whole
from prudent.data import Dataset
from prudent.data.suggestions import suggest_alpha
from prudent.engine import windows
from prudent.engine.members import grid as members_of
from prudent.engine.members import split_settings
from prudent.engine.options import Options
from prudent.errors import ConfigError
from prudent.ope.behaviour import logged_log_prob
from prudent.ope.episodes import check_rewards, lay_out
from prudent.ope.settings import check_memory
from prudent.tuning import budget, horizon
from prudent.tuning.grid import Grid, Run, around, imitation, shared_config, strength_of, tunable

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
"""Settings that BC takes over from the first grid, so that the two differ only in how they learn."""

_MAY_CHANGE = (
    "splits",
    "rank_steps",
    "final_steps",
    "resamples",
    "env",
    "eval_episodes",
    "device",
    "threads",
)
"""Settings that may differ when a tuning is continued: no run has to be trained again."""

_ALPHA_OF_UNITS = ("cql", "cal_ql", "cpql", "cql_redq", "discrete_cql")
"""Algorithms whose alpha is in the units of the rewards, so that the log suggests it."""


@dataclass(frozen=True)
class Settings:
    """Settings of a tuning, besides those of the algorithms."""

    steps: int | None = None  # gradient steps of every run of the grid, and of BC; none: from the number of rows
    splits: int = 1  # divisions of the episodes, each tuned separately; 5 or more show how stable the choice is
    seed: int = 0  # seed of the divisions and of the estimates
    checkpoints: int = 10  # checkpoints of each run, one of which is chosen by the curve of dataset Q
    rank_steps: int | None = None  # gradient steps of the features that rank the grid; none: from the number of rows
    final_steps: int | None = None  # gradient steps of the features of the final part; none: from the rows
    resamples: int = 40  # resamples of the episodes for the intervals of the final comparison, each refitted
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
        """Estimation settings for ranking the grid."""
        return ope.Settings(**{**asdict(ope.QUICK), "steps": self.rank_steps or budget.LARGEST.rank_steps})

    @property
    def final(self) -> ope.Settings:
        """Estimation settings for the final comparison."""
        return ope.Settings(steps=self.final_steps or budget.LARGEST.final_steps, n_bootstrap=self.resamples)

    @property
    def training(self) -> Options:
        """Training options: no environment, and every checkpoint is kept."""
        steps = self.steps or budget.LARGEST.steps
        every = max(1, steps // self.checkpoints)
        shared = {"device": self.device, "threads": self.threads, "tf32": self.tf32, "log_every": min(1_000, every)}
        return Options(steps=steps, checkpoint_every=every, keep=steps // every + 2, **shared)


@dataclass(frozen=True)
class Plan:
    """The request: the grids, BC, and the settings. ``remarks`` are what the user should know of it, one line each."""

    grids: tuple[Grid, ...]
    seeds: tuple[int, ...]
    settings: Settings
    remarks: tuple[str, ...] = ()

    @property
    def algorithm(self) -> str:
        """The names of the algorithms, ``cql+iql``."""
        return "+".join(grid.algorithm for grid in self.grids)

    @property
    def discount(self) -> float:
        """The discount, the same in all grids."""
        return self.grids[0].config.discount

    def run(self, grid: Grid, values: Sequence[float] | None = None, suffix: str = "") -> Run:
        """The run of a grid, or of other ``values`` with its settings in a folder with another end."""
        first = grid is self.grids[0]
        folder = ("grid" if first else f"grid_{grid.algorithm}") + suffix
        prefix = f"{grid.algorithm}," if len(self.grids) > 1 else ""
        return Run(folder, grid.algorithm, grid.members(self.seeds, values), grid.strength, prefix)

    @property
    def imitators(self) -> Run:
        """The run of BC, a member per seed."""
        first = self.grids[0]
        name = imitation(algorithms.is_discrete(first.algorithm))
        members = members_of(shared_config(name, first.config, _SHARED), {}, self.seeds)
        return Run("bc", name, tuple(members), prefix="BC,")

    def to_json(self, dataset: Dataset) -> dict[str, Any]:
        """The content of ``plan.json``."""
        about = {"name": dataset.name, "fingerprint": dataset.fingerprint, "transitions": len(dataset)}
        return {
            "algorithm": self.algorithm,
            "grids": [grid.to_json() for grid in self.grids],
            "seeds": list(self.seeds),
            "settings": asdict(self.settings),
            "dataset": about | {"episodes": dataset.n_episodes},
        }


def make(
    dataset: Dataset,
    algorithm: str | Sequence[str] | None,
    alpha: Sequence[float] | None,
    seeds: Sequence[int],
    options: Mapping[str, Any],
) -> Plan:
    """The plan; ``options`` are fields of :class:`Settings` and of the algorithms' ``Config``.

    A setting goes to every algorithm that has it. What is not given follows from the log: see ``docs/tuning.md``.

    Raises:
        ConfigError: an algorithm has nothing to choose or is for another kind of action, or a setting is unknown or
            invalid.
        DataError: rows do not follow each other, so that there are no episodes.
    """
    names = _algorithms(dataset, algorithm)
    known = {f.name for f in fields(Settings)}
    settings = Settings(**{key: value for key, value in options.items() if key in known})
    rest = {key: value for key, value in options.items() if key not in known}
    rest |= {} if alpha is None else {"alpha": alpha}
    _check_names(names, rest)
    log_budget = budget.of(len(dataset)) if settings.steps is None else budget.LARGEST
    discount, question = rest.get("discount"), ""
    if _is_discount(discount):
        discount, question = horizon.choose(dataset, None if discount is None else float(discount))
    automatic = {**log_budget.own, "discount": discount}
    grids = tuple(_grid(name, dataset, rest, automatic) for name in names)
    completed = budget.complete(settings, log_budget)
    remarks = [question] if question else []
    if settings.steps is None:
        remarks.append(_budget_text(dataset, completed, grids[0].config))
    plan = Plan(grids, tuple(seeds), completed, tuple(remarks))
    _ = [plan.run(grid) for grid in grids], plan.imitators
    return plan


def _algorithms(dataset: Dataset, algorithm: str | Sequence[str] | None) -> list[str]:
    """The names of the algorithms, checked."""
    names = [algorithm] if isinstance(algorithm, str) else list(algorithm or ())
    names = names or ["discrete_cql" if dataset.spec.discrete else "cql"]
    for name in names:
        if name not in algorithms.names() and algorithms.code_of(algorithms.get(name)) is not None:
            raise ConfigError(
                f"{name} is an algorithm of your own, and tune knows only how the library's become more cautious: "
                "train it with several values of a setting, and compare them with prudent value"
            )
        if strength_of(name) is None:
            known = ", ".join(tunable(algorithms.is_discrete(name)))
            raise ConfigError(f"{name} has no setting to choose, such as alpha: take one of {known}")
        algorithms.check_actions(name, dataset.spec.discrete, dataset.name)
    if len(set(names)) < len(names):
        raise ConfigError(f"algorithm must be one or more different names, got {', '.join(names)}")
    return names


def _check_names(names: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Refuse a setting that none of the algorithms has."""
    known = {f.name for name in names for f in fields(algorithms.get(name).Config)}
    if "alpha" in settings and "alpha" not in known:
        raise ConfigError(f"{names[0]} has no alpha: give values of {strength_of(names[0])}")
    check_names(algorithms.get(names[0]).Config, [name for name in settings if name not in known])


def _is_discount(value: Any) -> bool:
    """Whether a discount, None if none was given, may be looked at: others are refused with the other settings."""
    return value is None or (isinstance(value, int | float | np.number) and bool(0 <= value < 1))


def _grid(name: str, dataset: Dataset, settings: Mapping[str, Any], automatic: Mapping[str, Any]) -> Grid:
    """The grid of one algorithm: with the settings that it has, and where they are not given, with automatic ones."""
    config_type, strength = algorithms.get(name).Config, strength_of(name)
    assert strength is not None
    known = {f.name for f in fields(config_type)}
    own = {key: value for key, value in settings.items() if key in known and key != strength}
    own = {key: value for key, value in automatic.items() if key in known} | own
    if own.keys().isdisjoint(("reward_scale", "return_range")):
        own["reward_scale"] = AUTO  # so that alpha means the same in whatever unit the rewards are
    config, lists = split_settings(config_type(), own)
    if lists:
        raise ConfigError(f"{next(iter(lists))} takes one value here: only {strength} of {name} is tuned")
    values = settings.get(strength)
    if values is None:
        return Grid(name, config, strength, around(_suggested(name, dataset, config, strength)), given=False)
    listed = np.atleast_1d(values).tolist() if isinstance(values, int | float | np.generic) else list(values)
    if any(isinstance(v, bool) or not isinstance(v, int | float | np.number) for v in listed):
        raise ConfigError(f"{strength} must be one or more numbers, got {values!r}")
    return Grid(name, config, strength, tuple(float(v) for v in listed), given=True)


def _suggested(name: str, dataset: Dataset, config: Any, strength: str) -> float:
    """The value in the middle of a default grid: what the log suggests for alpha of CQL, else the algorithm's default.

    A suggested alpha is for scaled rewards, so it follows a scale that the user gave.
    """
    suggestion = suggest_alpha(dataset, config.discount) if name in _ALPHA_OF_UNITS else None
    if suggestion is None:
        return getattr(config, strength)
    return suggestion.alpha if config.reward_scale == AUTO else suggestion.raw * config.reward_scale


def _budget_text(dataset: Dataset, settings: Settings, config: Any) -> str:
    layers = " x ".join(str(width) for width in config.hidden)
    return (
        f"{len(dataset):,} rows: {settings.steps:,} steps with batches of {config.batch_size} and layers of {layers} "
        "(--steps and other settings replace what the log suggests)"
    )


def check_data(dataset: Dataset, plan: Plan) -> None:
    """Refuse data that do not allow a choice, before anything is trained.

    Raises:
        DataError: with these rewards all policies have the same value, rows do not follow each other, or the log's own
            probabilities are not probabilities.
        ConfigError: ``n_steps`` is longer than every episode.
    """
    check_rewards(dataset)
    check_memory(plan.settings.final, dataset)
    lay_out(dataset, plan.discount, least=1)  # divide() checks the number of episodes
    logged_log_prob(dataset)
    for grid in plan.grids:
        windows.fitted_to(dataset, plan.run(grid).members)


def difference(plan: Mapping[str, Any], stored: Mapping[str, Any]) -> str:
    """How a stored plan differs from this one, in a few words; empty if the tuning may be continued.

    Algorithms may be added at the end, or left out there: those before keep their runs.
    """
    if plan["seeds"] != stored.get("seeds"):
        return f"its seeds is {stored.get('seeds')}, not {plan['seeds']}"
    former = _stored_grids(stored)
    pairs = list(zip(plan["grids"], former, strict=False))
    if not pairs:
        return "it has no algorithm"
    for grid, stored_grid in pairs:
        text = _grid_difference(grid, stored_grid)
        if text:
            return text
    settings = stored.get("settings") or {}
    for key, value in plan["settings"].items():
        if key not in _MAY_CHANGE and settings.get(key) != value:
            return f"its {key} is {settings.get(key)}, not {value}"
    if plan["dataset"]["fingerprint"] != (stored.get("dataset") or {}).get("fingerprint"):
        return "it used other data (fingerprint differs)"
    return ""


def _stored_grids(stored: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The grids of a stored plan. Before there were several, a plan had one ``algorithm``, ``alpha`` and ``config``."""
    if "grids" in stored:
        return list(stored["grids"])
    one = {"algorithm": stored.get("algorithm"), "strength": "alpha", "values": stored.get("alpha")}
    return [one | {"config": stored.get("config") or {}}]


def _grid_difference(grid: Mapping[str, Any], stored: Mapping[str, Any]) -> str:
    name, former = grid["algorithm"], algorithms.stored(str(stored.get("algorithm")))
    if name != former:
        return f"its algorithm is {former}, not {name}"
    strength = grid["strength"]
    if strength != stored.get("strength") or grid["values"] != stored.get("values"):
        return f"its {stored.get('strength')} is {stored.get('values')}, not {grid['values']}"
    config = algorithms.stored_settings(name, stored.get("config") or {})
    for key, value in grid["config"].items():
        if config.get(key) != value:
            return f"its {key} is {config.get(key)}, not {value}"
    return ""
