"""What the settings of every algorithm are checked for."""

from typing import Any

from prudent.config import check_choice, check_positive, check_within
from prudent.errors import ConfigError

VALUE_INITS = ("zero", "constant", "regression")


def check_shared(config: Any) -> None:
    """Ranges of the settings that every algorithm has."""
    check_positive(config, "batch_size", "max_grad_norm", *(("actor_lr",) if hasattr(config, "actor_lr") else ()))
    check_positive(config, "reward_scale")
    if not 0 <= config.discount < 1:
        raise ConfigError(f"discount must lie within [0, 1), got {config.discount}")
    if not config.hidden or min(config.hidden) < 1:
        raise ConfigError(f"hidden must be one or more layer widths, got {config.hidden}")


def check_critic(config: Any) -> None:
    """Ranges of the settings that every algorithm with a critic has."""
    check_positive(config, "critic_lr", "n_critics", "target_period")
    check_within(config, 0, 1, "polyak")
    check_choice(config, "value_init", VALUE_INITS)
