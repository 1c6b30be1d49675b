"""Where episodes begin and end, for files that do not say it all.

- ``ends``: the ends of episodes from flags, or inferred where flags are missing; the successor of each row
- ``jumps``: rows after which the observation jumps: the sign of a reset
- ``left_out``: episodes that are left out because of bad rows
- ``order``: the rows of a table in the order of their episodes
"""
