"""All parts in order: their modules, and with how many threads they are measured."""

import importlib
from types import ModuleType

PARTS: dict[str, tuple[int, ...]] = {
    "step": (1, 2),
    "passes": (1,),
    "scaling": (1,),
    "populations": (1,),
    "startup": (1,),
    "evaluation": (1,),
    "checkpoints": (1,),
    "memory": (1,),
}
"""Numbers of threads by part; each number is measured in a process of its own."""


def module(part: str) -> ModuleType:
    """The module of a part: ``measure(settings)`` and ``lines(result)``."""
    return importlib.import_module(f"benchmarks.{part}")
