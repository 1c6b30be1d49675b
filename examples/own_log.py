"""From a log of your own to a policy: write it as .npz, look at it, train, ask for actions.

    python examples/own_log.py

The "log" is made up here: a cart on a line, pushed left and right by a careless driver. Your arrays may come from a
database; they need the same form.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

import prudent
from prudent.data import describe

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=2000, help="gradient steps (default: 2000)")
steps = parser.parse_args().steps


# --- 1. A log: one row per decision ---------------------------------------------------------------------------------

EPISODES, LENGTH = 60, 50
rng = np.random.default_rng(0)
rows = []
for _ in range(EPISODES):
    position, speed = rng.uniform(-1, 1), 0.0
    for t in range(LENGTH):
        # The driver aims at position 0, but often just pushes somewhere.
        push = rng.uniform(-1, 1) if rng.random() < 0.5 else np.clip(-2 * position - speed, -1, 1)
        next_speed = 0.9 * speed + 0.1 * push
        next_position = position + next_speed
        reward = -(position**2)
        last = t == LENGTH - 1
        rows.append(((position, speed), (push,), reward, (next_position, next_speed), last))
        position, speed = next_position, next_speed

columns = [np.array(column, dtype=np.float32) for column in zip(*rows, strict=True)]
observations, actions, rewards, next_observations, last = columns

folder = Path(tempfile.mkdtemp())
np.savez(
    folder / "cart.npz",
    observations=observations,  # (rows, features): what the driver saw
    actions=actions,  # (rows, features): what the driver did
    rewards=rewards,  # (rows,): how good that was
    next_observations=next_observations,  # (rows, features): what the driver saw next
    terminals=np.zeros(len(rewards), dtype=bool),  # nothing ever ends the cart's future ...
    timeouts=last.astype(bool),  # ... only our recording stops. A critic has to know the difference.
    action_low=-1.0,  # a policy never leaves these bounds
    action_high=1.0,
)

# --- 2. Look at it before training on it ------------------------------------------------------------------------------

data = prudent.load_dataset(folder / "cart.npz")
print(describe(data))

# --- 3. Train: three seeds at once, because one seed can be lucky -----------------------------------------------------

agent = prudent.CQL(alpha=1.0, hidden=(32, 32), batch_size=128, seeds=[0, 1, 2]).fit(data, steps=steps)

# --- 4. Ask it --------------------------------------------------------------------------------------------------------

for position in (-0.5, 0.0, 0.5):
    observation = np.array([position, 0.0])
    pushes = [agent.predict(observation, member=m)[0] for m in range(3)]
    value = agent.q_value(observation, agent.predict(observation))
    print(f"at {position:+.1f}: push {np.mean(pushes):+.2f} (seeds: {np.round(pushes, 2)}), value {value:.1f}")

# Many observations at once, in the units of the log. And a sampled action with its log-density:
print("a hundred at once:", agent.predict(observations[:100]).shape)
action, log_density = agent.act(observations[0], deterministic=False)

# --- 5. Keep it -------------------------------------------------------------------------------------------------------

agent.save(folder / "agent")
again = prudent.load(folder / "agent")
assert (again.predict(observations[:100]) == agent.predict(observations[:100])).all()
print("saved and loaded: it acts the same")
