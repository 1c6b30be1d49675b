"""Logs of decisions: the dataset, its readers, its audit, and datasets made on the spot."""

from prudent.data.dataset import Dataset

__all__ = ["Dataset"]
