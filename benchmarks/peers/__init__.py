"""Training steps in processes of their own: of other libraries, and of this one where several processes run at once.

:mod:`benchmarks.peers.server` makes the steps, in the Python environment that the peer needs;
:mod:`benchmarks.peers.client` requests them over a pipe.
"""
