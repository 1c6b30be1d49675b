"""How conservative should it be? Several alphas with several seeds, trained side by side as one population.

    python examples/compare_alphas.py --out runs/alphas

alpha is the weight of the term that pushes down the value of actions that are not in the data. If it is too small, the
policy leaves the data; if it is too large, the policy only repeats them. Training six members as one population costs
less than six runs, so there is no need to guess.
"""

import argparse

import prudent
from prudent.report.terminal import text_table

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=3000, help="gradient steps (default: 3000)")
parser.add_argument("--out", default="runs/alphas", help="run folder to create (default: runs/alphas)")
arguments = parser.parse_args()

data = prudent.load_dataset("pendulum-mixed")

# A list of values for a setting makes a member per value and seed: 2 x 3 = 6 members.
agent = prudent.CQL(alpha=[1.0, 10.0], seeds=[0, 1, 2], hidden=(64, 64), batch_size=128)

# `out` is the run folder to create: metrics, checkpoints and a report.html with curves.
# (The same from a shell: prudent train pendulum-mixed --alpha 1 10 --seeds 0 1 2 --env Pendulum-v1 --out runs/alphas)
agent.fit(
    data,
    steps=arguments.steps,
    out=arguments.out,
    env="Pendulum-v1",
    log_every=max(1, arguments.steps // 3),
    eval_every=max(1, arguments.steps // 3),
    eval_episodes=5,
)

summary = agent.evaluate("Pendulum-v1", episodes=5, seed=1)
rows = []
for alpha in (1, 10):
    members = [figures for name, figures in summary["members"].items() if name.startswith(f"alpha={alpha},")]
    returns = sorted(figures["return_mean"] for figures in members)
    # Show every seed: a mean over three hides whether they agree.
    rows.append([f"{alpha}", f"{sum(returns) / len(returns):.0f}", " ".join(f"{value:.0f}" for value in returns)])
print(text_table(["alpha", "mean return", "of each seed"], rows))
print(f"the data's mean return is {data.episode_returns.mean():.0f}; curves are in {arguments.out}/report.html")
