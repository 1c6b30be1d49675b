"""Logs of the kind that papers compare on, made by ``prudent data collect`` from this library's own SAC.

- ``recipe``: what is collected, from ``recipe.toml`` to commands
- ``jobs``: several commands at once, what they print, and the time left
- ``table``: what came out, as a table for the docs
"""
