"""Choosing alpha and a policy from a log alone, and abstaining where the log does not say enough.

>>> import prudent
>>> result = prudent.tune(prudent.load_dataset("logs.npz"), "tuned/logs")
>>> print(result)                        # table, verdict, reasons
>>> result.verdict, result.alpha
>>> agent = prudent.load(result.policy)  # the winner, or BC where the verdict is not to deploy

Where things are:

- :mod:`~prudent.tuning.plan`: what is asked for, and whether the data allow an answer
- :mod:`~prudent.tuning.parts`: the three parts of the episodes
- :mod:`~prudent.tuning.curve`: which checkpoint of a run
- :mod:`~prudent.tuning.stored_values`: estimates, kept in files
- :mod:`~prudent.tuning.verdict`: deploy, keep BC, or neither shown
- :mod:`~prudent.tuning.result`: :class:`TuneResult`, its table and its file
- :mod:`~prudent.tuning.picture`: ``tune.png``; :mod:`prudent.report.tuning` writes ``report.html``
- :mod:`~prudent.tuning.candidates`: the checkpoint of each run that is weighed
- :mod:`~prudent.tuning.run`: all of it in order

Sources: Kumar et al. 2021 (arXiv 2109.10813) for the checkpoint within a run; Paine et al. 2020 (arXiv 2007.09055) and
Tang & Wiens 2021 (arXiv 2107.11003) for ranking runs by fitted Q evaluation.
"""

from prudent.tuning.plan import ALPHAS, SEEDS, Settings
from prudent.tuning.result import Candidate, Split, TuneResult
from prudent.tuning.run import tune

__all__ = ["ALPHAS", "SEEDS", "Candidate", "Settings", "Split", "TuneResult", "tune"]
