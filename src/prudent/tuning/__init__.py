"""``prudent tune``: chooses alpha and a policy from a log alone, or says that the log does not support a choice.

>>> import prudent
>>> result = prudent.tune(prudent.load_dataset("logs.npz"), "tuned/logs")
>>> print(result)                        # table, verdict, reasons
>>> result.verdict, result.alpha
>>> agent = prudent.load("tuned/logs")     # what is kept; result.policy is None if that is what made the log

The files, in the order of the work:

- :mod:`~prudent.tuning.plan`: the request (grids and settings), and checks of the data before anything is trained
- :mod:`~prudent.tuning.grid`: the grid of one algorithm, its members and the values beyond its edges
- :mod:`~prudent.tuning.budget`: steps and networks that fit the number of rows
- :mod:`~prudent.tuning.horizon`: whether the discount looks past the end of the recordings
- :mod:`~prudent.tuning.parts`: divides the episodes into training, evaluation and final part
- :mod:`~prudent.tuning.saved_parts`: the parts in the folder of the tuning
- :mod:`~prudent.tuning.run`: :func:`tune`, runs all steps in order
- :mod:`~prudent.tuning.estimate`: how long all of it will take
- :mod:`~prudent.tuning.training`: trains a run or goes on with it
- :mod:`~prudent.tuning.growth`: which runs follow while the winner sits at the edge
- :mod:`~prudent.tuning.candidates`: picks one checkpoint of each run
- :mod:`~prudent.tuning.curve`: how to pick it from the curve of average dataset Q
- :mod:`~prudent.tuning.stored_values`: off-policy values of the candidates, stored in files
- :mod:`~prudent.tuning.verdict`: deploy, keep BC, or no improvement shown
- :mod:`~prudent.tuning.result`: :class:`TuneResult`, what :func:`tune` returns: its table and ``tune.json``
- :mod:`~prudent.tuning.tables`: the runs as text
- :mod:`~prudent.tuning.stored_result`: what must stand in a stored result
- :mod:`~prudent.tuning.picture`: ``tune.png``; :mod:`prudent.report.tuning` writes ``report.html``

Sources: Kumar et al. 2021 (arXiv 2109.10813) for the checkpoint within a run; Paine et al. 2020 (arXiv 2007.09055) and
Tang & Wiens 2021 (arXiv 2107.11003) for ranking runs by fitted Q evaluation.
"""

from prudent.tuning.plan import SEEDS, Settings
from prudent.tuning.result import Candidate, Split, TuneResult
from prudent.tuning.run import tune

__all__ = ["SEEDS", "Candidate", "Settings", "Split", "TuneResult", "tune"]
