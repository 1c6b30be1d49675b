"""Copies of a population: ``pickle``, ``copy.deepcopy`` and ``torch.save`` take the contents of a checkpoint.

So a copy holds no module and no device, and is checked like a checkpoint when it is made again.
"""

import copyreg
from typing import Any

from safetensors.torch import load as load_tensors

from prudent.engine.population import Population
from prudent.engine.process import choose_device
from prudent.errors import ConfigError
from prudent.runs import checkpoint
from prudent.runs.foreign import parse_json


def restored(contents: dict[str, bytes], device: str) -> Population:
    """The population of the ``contents`` of a checkpoint, on ``device``; on the CPU if this machine has no such device.

    Raises:
        PrudentError: the contents describe no population.
    """
    try:
        place = str(choose_device(device))
    except ConfigError:
        place = "cpu"
    description = parse_json(contents[checkpoint.DESCRIPTION])
    return checkpoint.described(load_tensors(contents[checkpoint.STATE]), description, place)


def _reduced(population: Population) -> tuple[Any, ...]:
    return restored, (checkpoint.contents(population, {}), str(population.device))


def register() -> None:
    """Tell Python how to copy a population, and with it an agent."""
    copyreg.pickle(Population, _reduced)
