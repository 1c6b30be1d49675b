"""Acting in an environment: to collect a dataset, or to go on learning.

- ``interaction``: one environment per member, stepped together
- ``explorers``: who chooses the actions
- ``replay_buffer``: the transitions seen so far
- ``finetune``: a finished run goes on in its environment
- ``recording``: transitions of environments that run at once, recorded as a dataset
- ``collect``: datasets made by running policies
- ``sac_learner``: SAC from scratch, until it reaches a return
- ``kept_training``: a folder from which SAC's training goes on
"""
