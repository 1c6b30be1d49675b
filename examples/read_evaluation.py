"""What the numbers of an evaluation mean, one by one.

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
    # Values start at the data's mean return: from zero, a run as short as this would not get near the true values.
    agent = prudent.CQL(hidden=(64, 64), batch_size=128, value_init="constant", seeds=[0, 1, 2])
    agent.fit(data, steps=arguments.steps, out=run, env="Pendulum-v1", eval_episodes=5)

# The run folder stores its environment and all settings, as JSON.
env = json.loads((run / "config.json").read_text())["env"]
summary = prudent.load(run).evaluate(env, episodes=10)

overall = summary["overall"]
print(
    f"mean return over all members and episodes   {overall['return_mean']:.1f}, deviation {overall['return_std']:.1f}"
)

# One lucky seed moves the mean, but hardly the mean of the middle half of the episodes.
print(f"interquartile mean                          {overall['iqm']:.1f}")

# How much it could differ with other seeds. If the intervals of two methods overlap, neither is shown to be better.
if overall["ci95"] is not None:
    low, high = overall["ci95"]
    print(f"95 % bootstrap interval of it               {low:.1f} to {high:.1f}")

# 0 is a random policy, 100 an expert; only for tasks with published references.
if overall["normalized_score"] is not None:
    print(f"normalised score                            {overall['normalized_score']:.1f}")

# The critics' value of the start states, and the discounted return that followed. Before deployment, only the first is
# known: CQL is meant to predict too little rather than too much.
if overall["predicted_value"] is not None:
    predicted, realized = overall["predicted_value"], overall["realized_value"]
    print(f"predicted / realised value (discounted)     {predicted:.1f} / {realized:.1f}")
    print(f"start states where it was a lower bound     {overall['lower_bound_share']:.0%}")

# Every member has the same numbers: look at them before you trust a mean.
for name, figures in summary["members"].items():
    print(f"  {name}: return {figures['return_mean']:.1f}")
