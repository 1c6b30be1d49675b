"""The only package that imports Gymnasium.

- ``make``: environments by name, their spaces, whether they fit a dataset
- ``vector``: several of them, stepped together
- ``simulators``: simulators that want special treatment
"""
