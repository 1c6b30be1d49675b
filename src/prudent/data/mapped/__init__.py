"""Datasets larger than memory: a folder of columns, mapped and read as needed.

- ``folder``: writes and opens such a folder
- ``index``: reads and checks its index file: shapes, figures, fingerprint
- ``seal``: whether the files are still those that were written
- ``rows``: reads single rows of a column from its file
"""
