"""Where episodes begin and end, for files that leave it open.

- ``ends``: flags of ends, and what is inferred where they are missing
- ``jumps``: rows whose successor is not the next row
- ``order``: the rows of a table in the order of time
"""
