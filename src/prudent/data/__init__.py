"""Logs of decisions: from files of many formats to one :class:`Dataset`, checked and described.

- ``dataset``: the dataset; ``columns`` and ``checks`` check its columns, ``choices`` and ``masks`` its discrete
  actions and their masks
- ``target_prob``: the probabilities of a policy to value, in the log itself
- ``logged_prob``: whether the log's own probabilities of its actions can be true
- ``figures``, ``precision``: figures of the observations; which columns float32 would blur
- ``exact``: whole numbers that stay exact; ``terminal``: what may be missing after a terminal row
- ``returns``, ``join``, ``pieces``, ``sampling``: returns of its episodes, several datasets as one, parts of one,
  random batches; ``meanings``: what the numbers of groups and ``dt`` stand for, also in several tables
- ``encoding``: how named values become observations: categories, fill values, labels of actions
- ``load``: :func:`load_dataset`, from a name, file or folder to the dataset; ``find`` looks names up
- ``readers``, ``episodes``: one reader per format; where episodes end when a file does not say
- ``end_names``: the names that columns which mark ends of episodes have in the field
- ``builtin``: datasets that controllers generate
- ``convert``, ``mapped``: datasets larger than memory, as folders of columns; ``split``: a log as folders of its parts
- ``writers``: datasets to files
- ``audit``, ``outcomes``, ``features``, ``finding``: problems with row numbers; those of how episodes end and of
  observation features; what a problem is
- ``describe``, ``summary``: the dataset as text; its figures
- ``spread``, ``suggestions``: how far its returns spread and its recordings reach; a discount and an alpha that suit it
- ``scores``: normalised scores of D4RL
"""

from prudent.data.audit import Finding, audit
from prudent.data.builtin.datasets import BUILTIN
from prudent.data.convert import convert
from prudent.data.dataset import Dataset
from prudent.data.describe import describe, describe_dict
from prudent.data.load import load_dataset
from prudent.data.scores import normalized_score
from prudent.data.split import split

__all__ = [
    "BUILTIN",
    "Dataset",
    "Finding",
    "audit",
    "convert",
    "describe",
    "describe_dict",
    "load_dataset",
    "normalized_score",
    "split",
]
