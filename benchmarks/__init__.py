"""Benchmarks of time and memory. Every part is compared with a reference in the same run, never in seconds alone.

``python -m benchmarks`` measures all parts of :mod:`benchmarks.suite`, each in a process of its own, and writes
``results/*.json`` and a figure; ``--check`` compares with the stored results instead. A part is a module with

- ``measure(settings) -> Result``, which measures in turns with :mod:`benchmarks.harness`, and
- ``lines(result)``, the result as text.

``race.py``, ``gpu.py``, ``out_of_core.py``, ``multi_step.py``, ``fingerprints.py`` and ``ope_proof.py`` are separate
programs. ``practice`` and ``logs`` are packages with a program each.
"""
