"""Which decisions of a policy lie outside the data.

- ``support``: :func:`prudent.support`: folds of the log, scores of every decision, thresholds
- ``result``: what it returns: shares outside, worst decisions, and sentences that say what they mean
- ``neighbours``: distances of decisions to the nearest logged ones
- ``reference``: what is needed to compare single decisions later, away from the log
- ``actions``: the actions of the policies compared with those of the log
"""
