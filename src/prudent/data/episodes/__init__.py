"""Where episodes begin and end, for files that do not say it all.

- ``ends``: the ends of episodes from flags, or inferred where flags are missing; the successor of each row
- ``dropped``: what was lost with rows that have no successor
- ``jumps``: rows after which the observation jumps: the sign of a reset
- ``recorders``: rows of several recorders in turn, put together; refused where nobody declares them
- ``lags``: how well rows follow those some rows before them
- ``left_out``: episodes that are left out because of bad rows
- ``order``: the rows of a table in the order of their episodes
"""
