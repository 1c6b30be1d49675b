"""One file per algorithm; the file's name is the algorithm's name.

Each file exports

- ``Config``: a frozen dataclass; fields annotated ``float`` may differ between members of a population;
- ``init(spec, hyper, rng) -> State`` and ``draw(spec, hyper, rng) -> noise``;
- ``update_critic(state, batch, noise, hyper)``, ``update_actor(...)``, ``update_target(state, hyper)`` and their
  composition ``update(state, batch, noise, hyper) -> Metrics``, the only functions that change a state;
- ``act(networks, observation, noise=None) -> (action, log_prob)``;
- ``q_value(networks, observation, action) -> (P, B)``, or None where there is no critic.
"""

import importlib
import pkgutil
from difflib import get_close_matches
from types import ModuleType

from prudent.errors import ConfigError


def names() -> list[str]:
    """Every algorithm there is: the files of this folder."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def get(name: str) -> ModuleType:
    """The module of an algorithm.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in names():
        close = get_close_matches(name, names(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f"unknown algorithm {name!r}{hint} (there are {', '.join(names())})")
    return importlib.import_module(f"{__name__}.{name}")
