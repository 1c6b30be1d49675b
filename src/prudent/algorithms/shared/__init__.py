"""What several algorithms share. An algorithm's file holds the rest.

- ``settings``: the settings that algorithms have in common, with their checks
- ``networks``: actors, critics and state values: how they are made and applied
- ``losses``: pieces of losses
- ``multi_step``: the critics' target, over one or several logged steps
- ``updates``: the training state, and functions that make an algorithm's update functions
- ``implicit``: what the implicit algorithms (IQL, sparse Q-learning, CIQL) share
- ``lagrange``: the learned weight of CQL's penalty
- ``schedule``: what depends on the step number
- ``sampled_gradient``: CQL's gradient through a few sampled proposals
"""
