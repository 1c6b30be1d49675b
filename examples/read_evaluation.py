"""What the numbers of an evaluation say, one by one.

    python examples/read_evaluation.py                 trains a small run first, then explains it
    python examples/read_evaluation.py --run RUN       explains a run you have

``prudent evaluate RUN --json`` prints the same numbers.
"""

import argparse
import json
import tempfile
from pathlib import Path

import prudent

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--run", type=Path, help="a run folder (default: train one)")
parser.add_argument("--steps", type=int, default=2000, help="gradient steps, when one is trained (default: 2000)")
arguments = parser.parse_args()

run = arguments.run
if run is None:
    run = Path(tempfile.mkdtemp()) / "run"
    data = prudent.load_dataset("pendulum-mixed")
    # Values start from the data's mean return: from zero, a run as short as this one would not have learned any.
    agent = prudent.CQL(hidden=(64, 64), batch_size=128, value_init="constant", seeds=[0, 1, 2])
    agent.fit(data, steps=arguments.steps, out=run, env="Pendulum-v1", eval_episodes=5)

# A run folder knows its environment, its data and how often they were asked; everything in it is JSON or a picture.
env = json.loads((run / "config.json").read_text())["env"]
summary = prudent.load(run).evaluate(env, episodes=10)

overall = summary["overall"]
print(
    f"mean return over all members and episodes   {overall['return_mean']:.1f}, deviation {overall['return_std']:.1f}"
)

# The mean follows one lucky seed; the mean of the middle half does not.
print(f"interquartile mean                          {overall['iqm']:.1f}")

# How far that could be off, had other seeds been drawn: if two methods' intervals overlap a lot, nothing is proven.
if overall["ci95"] is not None:
    low, high = overall["ci95"]
    print(f"95 % bootstrap interval of it               {low:.1f} to {high:.1f}")

# 0 is a random policy, 100 an expert; only for tasks with published references.
if overall["normalized_score"] is not None:
    print(f"normalised score                            {overall['normalized_score']:.1f}")

# What the critics promised at the start states, and the discounted return that followed from there. Offline, the first
# is all one has before deployment: CQL is meant to promise too little rather than too much.
if overall["predicted_value"] is not None:
    promised, delivered = overall["predicted_value"], overall["realized_value"]
    print(f"promised / delivered (discounted)           {promised:.1f} / {delivered:.1f}")
    print(f"share of start states that kept the promise {overall['lower_bound_share']:.0%}")

# Each member has the same numbers: look at them before believing a mean.
for name, figures in summary["members"].items():
    print(f"  {name}: return {figures['return_mean']:.1f}")
