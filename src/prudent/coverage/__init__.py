"""Which decisions of a policy lie outside the data.

- ``support``: :func:`prudent.support`
- ``result``: what it returns, in figures and in words
- ``neighbours``: how near a decision is to the logged ones
- ``actions``: how the actions of policies are spread beside those of the log
"""
