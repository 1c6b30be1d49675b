"""One training from start to end, in a run folder.

- ``start``: a new run
- ``in_memory``: a training without a run folder
- ``single_steps``: steps on batches that a program hands over
- ``going_on``: from a trained policy, with new or grown data
- ``callbacks``: code of the user's own that is told what a training does
- ``early_stopping``: a callback that stops a training which no longer improves
- ``resume``: going on with one
- ``session``: logs, status and report around a training
- ``recorder``: what is written while it trains
- ``step_clock``: time spent in steps
- ``best_evaluation``: which evaluation was the best so far
- ``film``: GIFs while it trains
- ``progress``: what is shown while it trains
- ``interrupts``: signals, and a Ctrl-C that says how to go on
- ``groups``: several runs for members that cannot train together
"""
