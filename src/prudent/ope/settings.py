"""The settings of off-policy evaluation, and their checks."""

from dataclasses import dataclass, replace
from itertools import pairwise

from prudent.config import check_finite, check_positive, check_whole, check_within
from prudent.data import Dataset
from prudent.engine import memory
from prudent.errors import ConfigError

WIDEST = 1_000
"""Largest number of coefficients of the effects of discrete actions (:mod:`prudent.ope.last_layer`)."""
ROWS = 4096
"""Rows whose features are multiplied at once."""


@dataclass(frozen=True)
class Settings:
    """Settings of off-policy evaluation."""

    members: int = 5  # networks whose features values are fitted with; the estimate is their mean
    folds: int = 3  # parts for cross-fitting: an episode is estimated by models that were not fitted to it
    n_bootstrap: int = 40  # resamples of the episodes, each refitted, for the intervals; 0: to first order, no refits
    steps: int = 3_000  # gradient steps in which the features are learned
    batch_size: int = 256  # rows per step and member
    hidden: tuple[int, ...] = (64, 64)  # hidden layer widths of features and behaviour model; none: linear models
    lr: float = 1e-3  # Adam learning rate; falls to a twentieth over the second half of the steps
    polyak: float = 0.05  # share of the networks that enters their target at each step
    draws: int = 8  # actions drawn per state from a continuous policy
    behaviour_steps: int = 3_000  # gradient steps of the behaviour model; the best on held-out episodes is kept
    components: int = 3  # tanh-Gaussians in the behaviour model of continuous actions
    min_effective: float = 20.0  # smallest effective number of episodes for which importance sampling gives a value
    max_outside: float = 0.1  # largest share of the policy's actions outside the data with a value; 1: always a value

    def __post_init__(self):
        check_whole(self, 1, "members", "steps", "batch_size", "draws", "behaviour_steps", "components")
        check_whole(self, 2, "folds")
        check_whole(self, 0, "n_bootstrap")
        check_positive(self, "lr")
        check_within(self, 0, 1, "polyak", "max_outside")
        check_finite(self)
        if self.n_bootstrap == 1:
            raise ConfigError(f"n_bootstrap must be 0 or 2 or more, got {self.n_bootstrap}")
        if self.hidden and min(self.hidden) < 1:
            raise ConfigError(f"hidden must be layer widths of 1 or more, got {self.hidden}")

    def for_log(self, dataset: Dataset) -> "Settings":
        """The same with as many folds as the log has room for: two episodes or groups in each, two folds at least."""
        return replace(self, folds=max(2, min(self.folds, dataset.n_units // 2)))


def check_memory(settings: Settings, dataset: Dataset) -> None:
    """Refuse settings with which an estimate on ``dataset`` does not fit into memory.

    Raises:
        ConfigError: it does not.
    """
    s, spec, rows = settings, dataset.spec, len(dataset)
    inputs = spec.observation_size if spec.discrete else spec.observation_size + spec.action_size
    # Of each network: weights, their target, gradients and two moments.
    outcomes = spec.observation_size + 5
    outputs = 4 + spec.action_size * outcomes if spec.discrete else 4
    numbers = 5 * s.members * _weights((spec.observation_size, *s.hidden, outputs))
    numbers += 0 if spec.discrete else 5 * s.members * _weights((inputs, *s.hidden, outcomes))
    numbers += s.members * s.batch_size * (inputs + outputs + sum(s.hidden))
    # The features of every row, at s and s', and the systems of one member are numbers of 8 bytes.
    width = 1 + (s.hidden[-1] if s.hidden else inputs)
    size = width + min(width * spec.action_size, WIDEST) if spec.discrete else 2 * width
    numbers += 6 * s.members * rows * width
    numbers += 2 * (4 * ROWS * size + (1 + s.n_bootstrap // max(1, s.members)) * size**2)
    # Resamples and their rows are numbers of 8 bytes.
    numbers += 2 * s.n_bootstrap * (rows + dataset.n_episodes)
    numbers += 0 if spec.discrete else 4 * rows * s.draws * spec.action_size
    outputs = spec.action_size if spec.discrete else s.components * (1 + 2 * spec.action_size)
    numbers += 4 * s.folds * _weights((spec.observation_size, *s.hidden, outputs))
    memory.check(
        4 * numbers,
        f"{s.members} members and {s.n_bootstrap} resamples on {rows} rows",
        "take less of members, n_bootstrap, draws, components, batch_size or hidden",
    )


def _weights(sizes: tuple[int, ...]) -> int:
    return sum((before + 1) * after for before, after in pairwise(sizes))


QUICK = Settings(members=3, steps=2_000, behaviour_steps=1_500)
"""For ranking many policies: fewer steps."""
