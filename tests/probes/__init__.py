"""Tiny problems whose values are known."""
