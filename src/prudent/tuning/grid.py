"""The grid of one algorithm: values of its strength times seeds, and how it goes on beyond its edge.

The strength is the setting that says how far a policy may leave the log: alpha where an algorithm has one, beta for
IQL, the actor's penalty for ReBRAC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from prudent import algorithms
from prudent.config import from_json, member_fields, to_json
from prudent.engine.members import Member
from prudent.engine.members import grid as members_of
from prudent.errors import ConfigError

STRENGTHS = ("alpha", "beta", "actor_penalty")
"""Settings that can be the strength, in order of preference."""

FACTORS = (1 / 30, 1 / 10, 1 / 3, 1.0, 3.0, 10.0)
"""Default values of a strength, as multiples of the suggested one."""

STEP, PER_RUN, MOST_RUNS = 3.0, 2, 2
"""Beyond an edge of the grid each value is this factor further; there are so many in each further run, and so many
further runs per edge."""

_BOLDER_UP = ("td3_bc", "iql", "discrete_iql")
"""Algorithms whose policies leave the log further the larger the strength is; for the others it is the other way."""


@dataclass(frozen=True)
class Run:
    """One population to train.

    Attributes:
        folder: its name within the folder of the tuning.
        algorithm, members: who trains.
        strength: the setting in which the members differ besides the seed; None for BC.
        prefix: precedes the names of the members where runs of several algorithms stand side by side.
    """

    folder: str
    algorithm: str
    members: tuple[Member, ...]
    strength: str | None = None
    prefix: str = ""

    def name(self, member: Member) -> str:
        """The member's name among all candidates."""
        return self.prefix + member.name


@dataclass(frozen=True)
class Grid:
    """The values of one algorithm's strength to choose from.

    Attributes:
        algorithm: its name.
        config: its other settings.
        strength: the name of the setting that is varied.
        values: the values, in any order.
        given: whether the user chose the values; the grid then ends at its edges.
    """

    algorithm: str
    config: Any
    strength: str
    values: tuple[float, ...]
    given: bool

    def members(self, seeds: Sequence[int], values: Sequence[float] | None = None) -> tuple[Member, ...]:
        """A member per value and seed, seeds fastest; ``values`` are other ones than the grid's own.

        Raises:
            ConfigError: a value or a seed is repeated or out of its range.
        """
        varied = {self.strength: self.values if values is None else values}
        return tuple(members_of(self.config, varied, seeds))

    def beyond(self, side: str) -> list[tuple[float, ...]]:
        """The values beyond an edge, ``below`` or ``above``, of one further run after the other."""
        edge = min(self.values) if side == "below" else max(self.values)
        factor = 1 / STEP if side == "below" else STEP
        count = PER_RUN * MOST_RUNS
        values = [_rounded(edge * factor**k) for k in range(1, count + 1)] if edge > 0 else []
        if side == "below" and values and self._allows(0.0):
            values[-1] = 0.0
        return [tuple(values[k : k + PER_RUN]) for k in range(0, len(values), PER_RUN)]

    @property
    def cautious_side(self) -> str:
        """Where values lie whose policies stay closer to the log."""
        return "below" if self.algorithm in _BOLDER_UP else "above"

    def _allows(self, value: float) -> bool:
        try:
            replace(self.config, **{self.strength: value})
        except ConfigError:
            return False
        return True

    def to_json(self) -> dict[str, Any]:
        """For ``plan.json``."""
        config = {name: value for name, value in to_json(self.config).items() if name != self.strength}
        return {**asdict(replace(self, config=None)), "values": list(self.values), "config": config}


def strength_of(name: str) -> str | None:
    """The strength of an algorithm; None if it has none, or no critic."""
    module = algorithms.get(name)
    varying = member_fields(module.Config)
    return None if module.q_value is None else next((s for s in STRENGTHS if s in varying), None)


def tunable(discrete: bool) -> list[str]:
    """Names of the algorithms with a strength and a critic, for one kind of actions."""
    return [name for name in algorithms.names() if algorithms.is_discrete(name) == discrete and strength_of(name)]


def around(suggested: float) -> tuple[float, ...]:
    """The default values of a strength."""
    return tuple(_rounded(suggested * factor) for factor in FACTORS)


def at_edge(values: Sequence[float], value: float | None) -> str:
    """``below`` or ``above`` if a value is the smallest or the largest of several; empty otherwise. 0 is no edge."""
    if value is None or len(values) < 2 or value not in values:
        return ""
    return "below" if value == min(values) and value > 0 else "above" if value == max(values) else ""


def edge_note(grid: Mapping[str, Any], values: Sequence[float], value: float | None) -> str:
    """What to try where the best value is the outermost of all that were tried; empty if it is not.

    ``grid`` is :meth:`Grid.to_json`, ``values`` all that were tried.
    """
    side = at_edge(values, value)
    if not side or value is None:
        return ""
    further = _rounded(value / STEP if side == "below" else value * STEP)
    end = "smallest" if side == "below" else "largest"
    return (
        f"the best {grid['strength']} of {grid['algorithm']}, {value:g}, is the {end} that was tried: "
        f"{further:g} may be better"
    )


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


def imitation(discrete: bool) -> str:
    """Name of the BC algorithm for one kind of actions."""
    return "discrete_bc" if discrete else "bc"


def shared_config(name: str, config: Any, names: Sequence[str]) -> Any:
    """The default settings of an algorithm, with those of ``config`` that are among ``names``."""
    config_type = algorithms.get(name).Config
    known = to_json(config)
    return from_json(config_type, to_json(config_type()) | {key: known[key] for key in names if key in known})
