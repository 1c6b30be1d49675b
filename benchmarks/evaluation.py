"""Part ``evaluation``: environment steps per second of an evaluation, compared with a bare environment.

All of ``evaluate`` is measured: environments are made and reset, a policy of 2 x 256 acts, values are predicted,
figures computed. The unit is the same number of steps of one environment in a bare loop that always takes the same
action.
"""

from collections.abc import Callable

import gymnasium
import numpy as np

from benchmarks import work
from benchmarks.harness import Measure, Result, Settings, clock_name, column, ratio, shown, spread, take_turns, timed
from prudent.algorithms import cql
from prudent.environments.make import spec_of
from prudent.errors import ConfigError
from prudent.evaluation.rollouts import evaluate

EPISODES = {"Pendulum-v1": 10, "Hopper-v5": 50}


def bare(env_id: str, steps: int) -> Callable[[], None]:
    """A function that makes ``steps`` steps of one environment and nothing else."""

    def walk() -> None:
        env = gymnasium.make(env_id)
        env.reset(seed=0)
        action = np.zeros(env.action_space.shape or (), dtype=np.float32)
        for step in range(steps):
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset(seed=step)
        env.close()

    return walk


def measure(settings: Settings) -> Result:
    """Measure evaluations and bare steps of every installed environment, in turn."""
    measures: dict[str, Measure] = {}
    steps: dict[str, int] = {}
    for env_id, episodes in EPISODES.items():
        try:
            policy = work.untrained(spec_of(env_id), cql.Config())
        except ConfigError:
            continue  # its simulator is not installed: the results leave it out
        count = 2 if settings.small else episodes
        steps[env_id] = int(evaluate(policy, env_id, episodes=count).lengths.sum())
        measures[env_id] = timed(lambda p=policy, e=env_id, n=count: evaluate(p, e, episodes=n))
        measures[f"bare {env_id}"] = timed(bare(env_id, steps[env_id]))
    turns = take_turns(measures, settings, calls=1)
    return Result(
        part="evaluation",
        what="environment steps while a policy of 2 x 256 is evaluated",
        clock=clock_name(),
        margin=0.2,
        ratios={f"{env_id}_over_bare": ratio(turns, env_id, f"bare {env_id}") for env_id in steps},
        figures={
            "steps_per_second": {
                name: spread([1000 * steps[name.removeprefix("bare ")] / turn[name] for turn in turns])
                for name in measures
            },
            "ms": {name: column(turns, name) for name in measures},
            "episodes": {env_id: 2 if settings.small else EPISODES[env_id] for env_id in steps},
            "steps": steps,
        },
    )


def lines(result: Result) -> list[str]:
    """A line for each environment."""
    rates = result.figures["steps_per_second"]
    return [
        f"  {env_id:<14} {shown(rates[env_id], ',.0f')} steps/s; bare {shown(rates[f'bare {env_id}'], ',.0f')}; "
        f"time over bare {shown(result.ratios[f'{env_id}_over_bare'])}"
        for env_id in result.figures["steps"]
    ]
