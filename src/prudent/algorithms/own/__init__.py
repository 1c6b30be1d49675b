"""Algorithms that a user wrote outside this package, taken as those of the library are.

- ``contract``: what a module must have before anything is run with it
- ``guarded``: the module with functions whose errors and wrong results are one line with the line of the user's file
- ``registry``: those that were given in this process, and those that installed packages offer
"""
