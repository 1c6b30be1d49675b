"""Faults done to runs on purpose, and what is left of them: ``make faults``.

Every module does one kind of harm and returns :class:`faults.lab.Outcome` s; ``__main__`` runs them all.
"""
