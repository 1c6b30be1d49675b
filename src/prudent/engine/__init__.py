"""A population learns. Nothing here knows of run folders.

- ``population``: members, their networks and how they act
- ``members``: who trains together: seeds x hyperparameters
- ``options``: how to train, apart from the algorithm's settings
- ``inputs``: checks of what a caller hands in
- ``batches``: rows of a dataset as batches in the networks' units
- ``scaling``: units of the log to those of the networks, and back
- ``loop``: the training loop
- ``cuda_graphs``: several steps at once on a GPU
- ``prefetch``: the next batch, gathered while a step is computed
- ``guard``: members that diverge are set back or stopped
- ``process``: device, threads and memory of this process
"""
