"""Datasets larger than memory: a folder of columns that are read as needed.

- ``folder``: writing and opening such a folder
- ``index``: its index file: shapes, figures, checksums
- ``rows``: reading single rows of a column
"""
