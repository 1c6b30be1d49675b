"""Tests for what users write: :func:`check_algorithm` says whether an algorithm keeps the contract.

>>> from prudent.testing import check_algorithm
>>> check_algorithm("./my_cql.py")          # a file, a module or a name; ``python -m prudent.testing my_cql.py``

- ``algorithm``: :func:`check_algorithm`, every clause after the other
- ``problem``: a small log and small populations to try an algorithm on
- ``settings``, ``updates``, ``acting``, ``saving``: the clauses
- ``template``: a working start, which ``prudent new algorithm`` writes
- ``__main__``: the check from the command line
"""

from prudent.testing.algorithm import BrokenContractError, broken_clauses, check_algorithm

__all__ = ["BrokenContractError", "broken_clauses", "check_algorithm"]
