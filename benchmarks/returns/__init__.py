"""How good a policy is after how many minutes of training: this library and its peers on the same logs.

Every racer trains on one thread, each with its own published or documented settings. Only the CPU time of its
preparation and of its training steps counts, never that of evaluations. After equal shares of the minutes the policy
acts in the same environment, from the same start states for all racers: likeliest actions for the return, sampled ones
for the realised value beside the one that the racer's own critics predict.

- ``racers``: who races, and the training step and policy of each
- ``logs``: the logs, their environments, and what is recorded in them
- ``course``: one run, mark by mark
- ``results``: the file of results, which grows run by run
- ``table``: the table of the docs
- ``picture``: the figure of the docs
"""
