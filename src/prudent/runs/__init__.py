"""A run folder on disk. Nothing here trains.

- ``folder``: making a run folder, and what its ``config.json`` says
- ``foreign``: folders that somebody else made: no links, strict JSON
- ``begin``: what is written before the first step
- ``status``: ``status.json``: how it stands
- ``machine``: ``environment.json``: on what it was made
- ``checkpoint``: saving and loading a population
- ``copies``: a population that is pickled or copied
- ``metrics``: writing and reading ``metrics.jsonl`` and TensorBoard files
- ``loggers``: where metrics go, by the names that ``--logger`` takes
- ``trackers``: experiment trackers of others: Weights & Biases, MLflow
- ``own_loggers``: loggers that installed packages offer
- ``tuned``: a tuned folder in place of a run: its policy, its BC, the parts of its log
- ``read``: everything a finished folder holds, for reports
"""
