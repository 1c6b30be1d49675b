"""What several algorithms share, so that each algorithm's own file holds only what is its own.

- ``settings``: checks of the settings that all algorithms have
- ``networks``: actors, critics and values: how they are made, how they act
- ``losses``: pieces of losses
- ``updates``: the training state and the steps that change it
- ``implicit``: what the implicit algorithms (IQL, sparse Q-learning, CIQL) share
- ``lagrange``: the learned weight of CQL's penalty
- ``schedule``: what the number of a step decides
- ``sampled_gradient``: CQL's gradient through a few of its proposals
"""
