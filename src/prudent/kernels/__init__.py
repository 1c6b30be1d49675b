"""Fast passes that give what the plain functions of :mod:`prudent.nn` give, in less time.

They stand below ``nn``, which hands over to them by itself: an algorithm never meets a kernel, and a kernel knows
tensors and no algorithm.
"""
