"""Settings of a SAC that learns a toy in a moment."""

QUICK = {"hidden": (16,), "batch_size": 32, "learning_starts": 50, "eval_every": 100, "eval_episodes": 3}
FAST = {"actor_lr": 3e-3, "critic_lr": 3e-3, "temperature_lr": 3e-3}
