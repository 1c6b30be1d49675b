"""Logs of decisions: the dataset, its readers, its audit, and datasets made on the spot."""

from prudent.data.dataset import Dataset
from prudent.data.load import load_dataset

__all__ = ["Dataset", "load_dataset"]
