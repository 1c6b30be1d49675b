"""prudent: offline reinforcement learning around Conservative Q-Learning."""

__version__ = "0.1.0"
