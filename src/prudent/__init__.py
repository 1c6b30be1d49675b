"""prudent: offline reinforcement learning around Conservative Q-Learning.

>>> import prudent
>>> data = prudent.load_dataset("logs.npz")
>>> agent = prudent.CQL(alpha=5.0, seeds=[0, 1, 2]).fit(data, steps=100_000)
>>> agent.predict(observation)
"""

from typing import TYPE_CHECKING, Any

from prudent.errors import ConfigError, DataError, PrudentError
from prudent.version import __version__

if TYPE_CHECKING:
    from prudent.data import Dataset, load_dataset
    from prudent.estimators import BC, CQL, SAC, Agent, load

__all__ = [
    "BC",
    "CQL",
    "SAC",
    "Agent",
    "ConfigError",
    "DataError",
    "Dataset",
    "PrudentError",
    "__version__",
    "load",
    "load_dataset",
]

_HOMES = {
    "prudent.data": ("Dataset", "load_dataset"),
    "prudent.estimators": ("BC", "CQL", "SAC", "Agent", "load"),
}


def __getattr__(name: str) -> Any:
    # PyTorch takes more than a second to import; `prudent --help` and `import prudent` do not wait for it.
    import importlib

    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'prudent' has no attribute {name!r}")
