"""Datasets that are generated when they are loaded, without a download.

- ``datasets``: the built-in datasets and how each is collected
- ``controllers``: the controllers that act in them
"""
