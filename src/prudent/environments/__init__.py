"""Gymnasium environments; the only package that imports Gymnasium.

- ``make``: makes an environment by name, reads its spaces, checks whether it fits a dataset
- ``vector``: several environments of one kind, stepped together
- ``simulators``: keeps simulators from writing to the terminal and the working directory
"""
