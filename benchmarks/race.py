"""Time to a useful policy: seconds of training until two evaluations in a row are good and well predicted.

Good means a mean return of at least the task's goal. Well predicted means that the mean predicted value of the start
states is within 30 % of the realised one and not above it. Ours has the settings of the task below, d3rlpy's CQL those
that it documents. Both train in turn, one evaluation interval at a time, in processes of their own on the same data
file. Only the CPU time of training steps counts. Evaluations are the same for both: 20 episodes of the most likely
action for the return, 20 of sampled actions for the realised value. Each library predicts the value of its policy in
its own way: ours with the smallest critic over several draws, d3rlpy with the mean critic of one draw.

A racer stops after the task's number of steps; d3rlpy also stops once it has taken ``--times`` times as long as ours.

    python -m benchmarks.race pendulum --peers PYTHON [--seeds 0 1 2] [--times 12]
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.harness import RESULTS, machine, prepare, rounded, timed
from benchmarks.peers.client import Peer, save_columns
from benchmarks.racers import Visitor, columns_of, figures_of, ours
from prudent.algorithms import cql
from prudent.data import load_dataset
from prudent.evaluation.rollouts import Acting

WITHIN = 0.3
"""How far below the realised value a prediction may be, as a share of that value."""


@dataclass(frozen=True)
class Task:
    """Data, environment, goal, and our settings."""

    data: str
    env: str
    goal: float
    every: int
    steps: int
    config: cql.Config


TASKS = {
    "pendulum": Task(
        "pendulum-mixed",
        "Pendulum-v1",
        goal=-200,
        every=500,
        steps=20_000,
        config=cql.Config(
            hidden=(64, 64),
            alpha=1.0,
            gradient="sampled",
            n_actions=4,
            critic_lr=1e-3,
            actor_lr=5e-4,
            polyak=0.02,
        ),
    ),
    # The actor clones the log throughout the race, while the critics learn the value of its policy.
    "hopper": Task(
        "hopper-medium-expert-v2",
        "Hopper-v5",
        goal=1000,
        every=500,
        steps=20_000,
        config=cql.Config(
            alpha=5.0,
            gradient="sampled",
            n_actions=4,
            critic_lr=1e-3,
            actor_lr=1e-3,
            polyak=0.1,
            temperature=0.01,
            bc_warmup_steps=20_000,
        ),
    ),
}


@dataclass
class Course:
    """The progress of one racer: CPU seconds and figures at each evaluation, and whether it has reached the goal."""

    seconds: float = 0.0
    steps: int = 0
    points: list[dict[str, float]] = field(default_factory=list)
    arrived: bool = False

    def add(self, milliseconds: float, steps: int, figures: Mapping[str, float], goal: float) -> None:
        """Add an interval and the evaluation after it."""
        self.seconds += milliseconds * steps / 1000
        self.steps += steps
        self.points.append({"step": self.steps, "seconds": self.seconds, **figures, "good": good(figures, goal)})
        self.arrived = len(self.points) > 1 and all(point["good"] for point in self.points[-2:])


def good(figures: Mapping[str, float], goal: float) -> bool:
    """Whether the return is high enough and the prediction a close lower bound of the realised value."""
    short = figures["realised"] - figures["predicted"]
    return bool(figures["return"] >= goal and 0 <= short <= WITHIN * abs(figures["realised"]))


def race(task: Task, seed: int, peers: str, times: float) -> dict[str, Course]:
    """Train both racers with one seed."""
    dataset = load_dataset(task.data)
    population, step, before = ours("cql", task.config, dataset, seed)
    courses = {"prudent": Course(before), "d3rlpy": Course()}
    with tempfile.TemporaryDirectory() as folder:
        path = save_columns(Path(folder), columns_of(dataset))
        with Peer("d3rlpy", path, 1, peers, options={"batch": 256, "seed": seed}) as peer:
            racers: dict[str, tuple[Callable[[int], float], Acting]] = {
                "prudent": (timed(step), population),
                "d3rlpy": (peer.measure, Visitor(peer, dataset.spec, float(population.discount[0]))),
            }
            while going := [name for name in racers if not _over(name, courses, task, times)]:
                for name in going:
                    measure, agent = racers[name]
                    courses[name].add(measure(task.every), task.every, figures_of(agent, task.env), task.goal)
                    print(f"seed {seed}: {_told(name, courses[name])}", flush=True)
    return courses


def _over(name: str, courses: Mapping[str, Course], task: Task, times: float) -> bool:
    own, first = courses[name], courses["prudent"]
    late = name != "prudent" and first.arrived and own.seconds > times * first.seconds
    return own.arrived or own.steps >= task.steps or late


def _told(name: str, course: Course) -> str:
    at = course.points[-1]
    figures = ", ".join(f"{key} {at[key]:.1f}" for key in ("return", "predicted", "realised"))
    return f"{name} step {course.steps}, {course.seconds:.1f} s: {figures}{', arrived' if course.arrived else ''}"


def main(words: Sequence[str] | None = None) -> None:
    """Race, print, and write a file under ``benchmarks/results/``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.race", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("--peers", metavar="PYTHON", required=True, help="the Python of an environment with d3rlpy")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one race each (default: 0 1 2)")
    parser.add_argument("--times", type=float, default=12, help="d3rlpy stops at so many times ours (default: 12)")
    found = parser.parse_args(words)
    task = TASKS[found.task]
    prepare(1)
    courses = {seed: race(task, seed, found.peers, found.times) for seed in found.seeds}
    results = {
        "task": asdict(task),
        "times": found.times,
        "environment": machine(),
        "seeds": {str(seed): {name: asdict(course) for name, course in both.items()} for seed, both in courses.items()},
    }
    path = RESULTS / f"race-{found.task}.json"
    path.write_text(json.dumps(rounded(results), indent=1) + "\n", encoding="utf-8")
    for seed, both in courses.items():
        first, second = both["prudent"], both["d3rlpy"]
        verb = "arrived after" if second.arrived else "had not arrived after"
        print(
            f"seed {seed}: prudent {'arrived' if first.arrived else 'had not arrived'} after {first.seconds:.1f} s, "
            f"d3rlpy {verb} {second.seconds:.1f} s, {second.seconds / first.seconds:.1f} times"
        )
    print(f"written to {path}")


if __name__ == "__main__":
    main()
