"""Training steps that run in processes of their own: other libraries', and the library's own when several run at once.

:mod:`benchmarks.peers.server` makes the steps, in whatever environment the peer needs; :mod:`benchmarks.peers.client`
asks it for them over a pipe.
"""
