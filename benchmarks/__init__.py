"""What the library costs: every part measured against something else in the same run, never in seconds alone.

``python -m benchmarks`` measures all parts of :mod:`benchmarks.suite`, each in a process of its own, and writes
``results/*.json`` and a figure; ``--check`` compares with the stored results instead. A part is a module with

- ``measure(settings) -> Result``, which takes turns with :mod:`benchmarks.harness`, and
- ``lines(result)``, the result for people.

``ope_proof.py``, ``tune_proof.py`` and ``out_of_core.py`` are programs of their own.
"""
