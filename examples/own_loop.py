"""Your own training loop: you draw the batches and decide when each network is updated.

    python examples/own_loop.py

Use it to log to your own system, for unusual schedules, or to look inside a step.
"""

import argparse

import prudent

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=2000, help="gradient steps (default: 2000)")
steps = parser.parse_args().steps

data = prudent.load_dataset("pendulum-mixed")  # built in
agent = prudent.CQL(alpha=5.0, hidden=(64, 64), batch_size=256)

# --- the short way: one call per step ---------------------------------------------------------------------------------

every = max(1, steps // 4)
for step, batch in enumerate(data.batches(256, steps=steps // 2), start=1):
    metrics = agent.update(batch)  # names as in metrics.jsonl, one number per member of the population
    if step % every == 0:
        print(f"step {step}: critic loss {metrics['critic_loss'][0]:.2f}, gap {metrics['cql_gap'][0]:.2f}")

# --- the long way: the parts of a step apart --------------------------------------------------------------------------

# In this order and on one batch they do exactly what agent.update(batch) does. Here the critics are updated twice for
# each update of the actor.
for step, (first, second) in enumerate(
    zip(data.batches(256, seed=1), data.batches(256, seed=2), strict=False), start=1
):
    agent.update_critic(first)
    agent.update_critic(second)
    actor_metrics = agent.update_actor(second)
    agent.update_target()
    if step % every == 0:
        print(f"step {steps // 2 + step}: entropy of the policy {actor_metrics['entropy'][0]:.2f}")
    if step >= steps - steps // 2:
        break

# --- was it worth it? -------------------------------------------------------------------------------------------------

figures = agent.evaluate("Pendulum-v1", episodes=5)["overall"]
print(f"return {figures['return_mean']:.0f}; the data's mean is {data.episode_returns.mean():.0f}")
