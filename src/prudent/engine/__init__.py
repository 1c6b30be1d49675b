"""A population learns. Nothing here knows of run folders.

- ``population``: the members, their networks, a training step, and how they act
- ``members``: seeds x hyperparameters, and which of them train together
- ``options``: how to train, apart from the algorithm's settings
- ``inputs``: checks of what a caller hands in; ``observations``: the same of named values
- ``outside``: values outside the range of the log, in what a policy is asked
- ``batches``: batches of a dataset, or of a user's own, in the networks' units
- ``windows``: the logged steps that targets over several steps follow
- ``scaling``: from the log's units to the networks' and back
- ``rescale``: a trained population on other scales, with the same policy and values
- ``loop``: the training loop
- ``cuda_graphs``: training steps, on a GPU several at once
- ``prefetch``: gathers the next batch while a step is computed
- ``guard``: rolls members back that diverge, or stops them
- ``memory``: what networks and batches take, and what is free
- ``process``: device, threads and memory of this process
"""
