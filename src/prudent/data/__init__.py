"""Logs of decisions: the dataset, its readers, its audit, and datasets made on the spot."""

from prudent.data.audit import Finding, audit
from prudent.data.builtin.datasets import BUILTIN
from prudent.data.convert import convert
from prudent.data.dataset import Dataset
from prudent.data.describe import describe, describe_dict
from prudent.data.load import load_dataset
from prudent.data.scores import normalized_score

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
]
