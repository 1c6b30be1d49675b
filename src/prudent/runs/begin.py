"""What a run folder holds before the first step: ``config.json``, ``environment.json``, ``dataset.json``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prudent import algorithms
from prudent.config import to_json
from prudent.data import Dataset
from prudent.data.summary import histograms
from prudent.engine.population import Population
from prudent.runs.checkpoint import keep_code
from prudent.runs.folder import write_json
from prudent.runs.machine import environment


def begin_run(
    folder: Path,
    population: Population,
    dataset: Dataset,
    settings: Mapping[str, Any],
    problems: Sequence[str] = (),
    **more: Any,
) -> None:
    """Write these three files into a new run folder.

    Args:
        folder: the folder, which exists and is locked.
        population: what is going to train.
        dataset: what it learns from.
        settings: the options of the training and the sources of the dataset, ready for JSON.
        problems: what is wrong with the dataset, one line each.
        more: further keys of ``config.json``.
    """
    keep_code(folder, population)
    write_json(folder / "config.json", {**describe(population, dataset, settings, problems), **more})
    write_json(folder / "environment.json", environment(population.device, dataset))
    write_json(folder / "dataset.json", histograms(dataset))


def describe(
    population: Population, dataset: Dataset, settings: Mapping[str, Any], problems: Sequence[str] = ()
) -> dict[str, Any]:
    """``config.json``: algorithm, settings, members, dataset with its ``problems``, and how to train.

    A setting in which members differ is a list in ``config``, and stands beside each member it belongs to.
    """
    configs = [to_json(member.config) for member in population.members]
    shared = {key: value for key, value in configs[0].items() if all(config[key] == value for config in configs)}
    own = algorithms.code_of(population.algorithm)
    return {
        "algorithm": population.algorithm_name,
        **({} if own is None else {"code": own.described()}),
        "config": {key: shared.get(key, [config[key] for config in configs]) for key in configs[0]},
        "members": [
            {"name": member.name, "seed": member.seed, **{k: config[k] for k in config if k not in shared}}
            for member, config in zip(population.members, configs, strict=True)
        ],
        "train": dict(settings),
        "env": settings.get("env"),
        "dataset": {
            "name": dataset.name,
            "transitions": len(dataset),
            "episodes": dataset.n_episodes,
            "mean_return": float(dataset.episode_returns.mean()),
            "fingerprint": dataset.fingerprint,
            **({"first_action": dataset.spec.first_action} if dataset.spec.discrete else {}),
            "notes": list(dataset.notes),
            "problems": list(problems),
        },
    }
