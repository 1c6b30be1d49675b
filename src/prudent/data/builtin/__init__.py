"""Datasets made on the spot, without a download.

- ``datasets``: what there is, and how it is made
- ``controllers``: the controllers whose decisions they hold
"""
