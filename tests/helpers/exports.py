"""Small logs with names, and with choices and masks; tiny policies that learned from them; exports of those."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from helpers.runs import TINY
from prudent.agents import AGENTS
from prudent.coverage.reference import reference
from prudent.data import Dataset
from prudent.data.encoding import Column, Encoding
from prudent.data.meanings import Meanings
from prudent.export import write
from prudent.export.reference import Reference

COLUMNS = (
    Column("on_hand"),
    Column("weekday", "one-hot", ("Mon", "Tue", "1")),
    Column("open", "index", ("false", "true")),
    Column("age", fill=3.0, flag=True),
)


def shop_log() -> Dataset:
    """A log of named columns, as a table would be: 12 episodes of 20 steps, an order of 0 to 50."""
    rng, rows = np.random.default_rng(0), 240
    weekday, gap = rng.integers(3, size=rows), rng.random(rows) < 0.2
    observation = np.column_stack(
        [
            rng.normal(20, 5, rows),
            np.arange(3) == weekday[:, None],
            rng.integers(2, size=rows),
            np.where(gap, 3.0, rng.uniform(1, 9, rows)),
            gap,
        ]
    ).astype(np.float32)
    ends = np.arange(1, rows + 1) % 20 == 0
    dataset = Dataset.from_columns(
        observation=observation,
        action=rng.uniform(0, 50, (rows, 1)).astype(np.float32),
        reward=rng.normal(size=rows).astype(np.float32),
        next_observation=np.roll(observation, -1, axis=0),
        terminated=ends,
        truncated=np.zeros(rows, dtype=bool),
        action_low=0.0,
        action_high=50.0,
        name="shop.csv",
    )
    return replace(dataset, meanings=Meanings(encoding=Encoding(COLUMNS, ("order",))))


def choices_log() -> Dataset:
    """A log of choices 1 to 3 with masks, in which 3 is chosen on the right side only."""
    rng, rows = np.random.default_rng(1), 300
    observation = rng.normal(size=(rows, 2)).astype(np.float32)
    action = np.where(observation[:, 0] > 0, 3, rng.integers(1, 3, rows))
    mask = np.ones((rows, 3), dtype=bool)
    mask[::3, 0] = action[::3] == 1
    ends = np.arange(1, rows + 1) % 20 == 0
    return Dataset.from_columns(
        observation=observation,
        action=action,
        reward=rng.normal(size=rows).astype(np.float32),
        next_observation=np.roll(observation, -1, axis=0),
        terminated=ends,
        truncated=np.zeros(rows, dtype=bool),
        discrete=True,
        first_action=1,
        name="choices.npz",
        extra={"mask": mask, "next_mask": np.roll(mask, -1, axis=0)},
    )


def learned(name: str, dataset: Dataset, **settings):
    """A tiny agent after a few steps."""
    own = {key: value for key, value in TINY[name].items() if not key.startswith("value_init")}
    agent = AGENTS[name](device="cpu", **own, **settings)
    return agent.fit(dataset, steps=3, threads=1)


def near(population, dataset: Dataset, **settings) -> Reference:
    return Reference(**reference(population, dataset, neighbours=3, **settings))


def made(folder, name: str, dataset: Dataset, kind: str, acting: str, fallback: str, **more):
    """An export of a saved agent, with what it was made of."""
    agent = learned(name, dataset)
    run = agent.save(folder / "agent")
    population = agent.population
    request = write.Request(
        population, dataset, kind, acting, fallback, near(population, dataset), run=folder / "agent", **more
    )
    content = write.export(request, folder / "out")
    return SimpleNamespace(agent=agent, dataset=dataset, request=request, content=content, path=folder / "out", run=run)
