"""Experiment trackers of others: a run folder has one run in each of those that were asked for.

- ``tracker``: what every tracker does: figures wait until they are in a checkpoint, names of a population's members
- ``tracked``: the trackers of a run from its beginning to its end; one that fails does not end the training
- ``wandb_tracker``: Weights & Biases, offline unless the user asks for more
- ``mlflow_tracker``: MLflow, in a local store unless the user names another
"""
