"""How to estimate: every setting of off-policy evaluation, and how it is checked."""

from dataclasses import dataclass

from prudent.config import check_finite, check_positive, check_whole, check_within
from prudent.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """Settings of off-policy evaluation."""

    members: int = 5  # independent fits of the policy's values; their mean is the estimate
    folds: int = 3  # parts of the episodes for cross-fitting: an episode is judged by what did not see it
    n_bootstrap: int = 20  # resamples of the episodes, each refitted, for the intervals; 0 takes the cheaper ones
    steps: int = 10_000  # gradient steps of the values
    batch_size: int = 256  # rows per step and member
    hidden: tuple[int, ...] = (64, 64)  # widths of the hidden layers of values and behaviour; none is a linear model
    lr: float = 1e-3  # Adam learning rate; it falls to a twentieth over the second half of the steps
    polyak: float = 0.05  # share of the values that enters their target at each step
    draws: int = 8  # actions drawn per state out of a continuous policy
    behaviour_steps: int = 3_000  # gradient steps of the behaviour model; the best on held-out episodes is kept
    components: int = 3  # tanh-Gaussians in the behaviour model of continuous actions
    min_effective: float = 20.0  # effective episodes below which importance sampling says unsupported
    max_outside: float = 0.1  # share of the policy's actions outside the data beyond which fitted values do so too

    def __post_init__(self):
        check_whole(self, 1, "members", "steps", "batch_size", "draws", "behaviour_steps", "components")
        check_whole(self, 2, "folds")
        check_whole(self, 0, "n_bootstrap")
        check_positive(self, "lr")
        check_within(self, 0, 1, "polyak", "max_outside")
        check_finite(self)
        if self.n_bootstrap < 0 or self.n_bootstrap == 1:
            raise ConfigError(f"n_bootstrap must be 0 or 2 and more, got {self.n_bootstrap}")
        if self.hidden and min(self.hidden) < 1:
            raise ConfigError(f"hidden must be layer widths of 1 or more, got {self.hidden}")


QUICK = Settings(members=3, n_bootstrap=0, steps=4_000, behaviour_steps=1_500)
"""For ranking many policies: no refits, fewer steps."""
