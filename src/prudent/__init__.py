"""prudent: offline reinforcement learning around Conservative Q-Learning.

>>> import prudent
>>> data = prudent.load_dataset("logs.npz")
>>> agent = prudent.CQL(alpha=5.0, seeds=[0, 1, 2]).fit(data, steps=100_000)
>>> agent.predict(observation)

Every algorithm has an agent: ``prudent.CQL``, ``prudent.IQL``, ``prudent.DiscreteCQL`` ... (``dir(prudent)``).
"""

import importlib
from typing import TYPE_CHECKING, Any

from prudent.errors import ConfigError, DataError, OutsideRangeWarning, PrudentError, StartsAnewWarning
from prudent.version import __version__

if TYPE_CHECKING:
    from prudent.agents import Agent, agent_class, load
    from prudent.coverage.support import support
    from prudent.data import Dataset, load_dataset
    from prudent.ope.value import value
    from prudent.training.callbacks import Callback
    from prudent.training.early_stopping import EarlyStopping
    from prudent.tuning import TuneResult, tune

__all__ = [
    "Agent",
    "Callback",
    "ConfigError",
    "DataError",
    "Dataset",
    "EarlyStopping",
    "OutsideRangeWarning",
    "PrudentError",
    "StartsAnewWarning",
    "TuneResult",
    "__version__",
    "agent_class",
    "load",
    "load_dataset",
    "support",
    "tune",
    "value",
]

_HOMES = {
    "Callback": "prudent.training.callbacks",
    "Dataset": "prudent.data",
    "EarlyStopping": "prudent.training.early_stopping",
    "TuneResult": "prudent.tuning",
    "agent_class": "prudent.agents",
    "load": "prudent.agents",
    "load_dataset": "prudent.data",
    "support": "prudent.coverage.support",
    "tune": "prudent.tuning",
    "value": "prudent.ope.value",
}


def __getattr__(name: str) -> Any:
    # PyTorch takes more than a second to import; `prudent --help` and `import prudent` do not wait for it. Python also
    # asks here for submodules (`from prudent import report`): only the names of agents begin with a capital.
    if name == "hub":
        return importlib.import_module("prudent.hub")
    if name in _HOMES or name[:1].isupper():
        home = importlib.import_module(_HOMES.get(name, "prudent.agents"))
        if hasattr(home, name):
            return getattr(home, name)
    instead = ': write prudent.CQL(backup="soft")' if name == "SQL" else ""
    raise AttributeError(f"module 'prudent' has no attribute {name!r}{instead}")


def __dir__() -> list[str]:
    agents = importlib.import_module("prudent.agents").AGENTS.values()
    return sorted({*globals(), *__all__, *(agent.__name__ for agent in agents)})
