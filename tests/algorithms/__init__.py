"""Tests of the algorithms: against the oracles, against known mistakes, against their contract."""
